/* What the dataset formats share (see dataset_internal.h): files that a .data file names, labels, pixels kept in
 * memory. */
#include "dataset_internal.h"

#include "darknet_plugin/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int data_read_whole(FILE *in, const char *path, diag *d)
{
    if (!ferror(in)) return 0;
    diag_error(d, path, 0, NULL, "cannot be read to its end: %s", strerror(errno));
    return -1;
}

void data_free_strings(char **text, size_t n)
{
    for (size_t i = 0; text && i < n; ++i) free(text[i]);
    free(text);
}

char **data_split_commas(const char *text, int *n)
{
    char **item = NULL;
    *n = 0;
    while (*text) {
        size_t len = strcspn(text, ","), skip = strspn(text, " \t");
        size_t end = len;
        while (end > skip && strchr(" \t", text[end - 1])) --end;
        if (end > skip) {
            item = mem_realloc(item, (size_t)*n + 1, sizeof *item);
            item[(*n)++] = mem_printf("%.*s", (int)(end - skip), text + skip);
        }
        text += len;
        if (*text) ++text;
    }
    return item;
}

void data_add_part(dataset *set, const char *file)
{
    set->part = mem_realloc(set->part, (size_t)set->parts + 1, sizeof *set->part);
    set->part[set->parts++] = (data_part){ mem_strdup(file), set->count };
}

int data_check_labels(const dataset *set, size_t first, size_t n, const char *file, diag *d)
{
    size_t bad = 0, at = 0;
    for (size_t i = first; i < first + n; ++i)
        if (set->label[i] < 0 || set->label[i] >= set->classes) {
            if (!bad++) at = i;
        }
    if (!bad) return 0;
    diag_error(d, file, 0, NULL, "label %d of image %zu is not in 0..%d (%zu such labels)", set->label[at], at - first,
               set->classes - 1, bad);
    diag_hint(d, "set classes= in the .data file to the number of classes of these labels");
    return -1;
}

/* Grey as OpenCV has it: .299 R + .587 G + .114 B in 14-bit fixed point. */
static void convert_pixels(const uint8_t *in, int c, uint8_t *out, int channels, size_t n)
{
    if (c == channels) memcpy(out, in, n * (size_t)c);
    else if (c == 1)
        for (size_t i = 0; i < n; ++i) out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = in[i];
    else
        for (size_t i = 0; i < n; ++i)
            out[i] = (uint8_t)((in[3 * i] * 4899 + in[3 * i + 1] * 9617 + in[3 * i + 2] * 1868 + 8192) >> 14);
}

int data_read_memory(const dataset *set, size_t i, int channels, uint8_t **pixels, int *w, int *h, char *why,
                     size_t why_len)
{
    size_t n = (size_t)set->w * (size_t)set->h;
    uint8_t *out = malloc(n * (size_t)channels);
    if (!out) {
        snprintf(why, why_len, "out of memory for %zu pixels", n);
        return -1;
    }
    convert_pixels(set->pixels + i * n * (size_t)set->c, set->c, out, channels, n);
    *pixels = out;
    *w = set->w;
    *h = set->h;
    return 0;
}

int dataset_too_many_left_out(const dataset *set, size_t left_out) { return left_out > set->count / 100; }
