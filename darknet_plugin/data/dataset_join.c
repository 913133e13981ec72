/* Images without labels, unlabelled= of a .data file, behind those of a training split (see dataset.h): one set, whose
 * first `labelled` images may have labels. Both are files, or both lie in memory at one size. */
#include "dataset_internal.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Room for n images' labels, of which those from count on are none. */
static void grow_labels(dataset *set, size_t n)
{
    set->label = mem_realloc(set->label, n, sizeof *set->label);
    for (size_t i = set->count; i < n; ++i) set->label[i] = DATA_NO_CLASS;
    if (!set->box_at) return;
    set->box_at = mem_realloc(set->box_at, n + 1, sizeof *set->box_at);
    for (size_t i = set->count + 1; i <= n; ++i) set->box_at[i] = set->box_at[set->count];
}

/* Paths that are listed and not used go. */
static void drop_unused(dataset *set)
{
    for (size_t i = set->count; i < set->listed; ++i) free(set->path[i]);
    set->listed = set->count;
}

/* Paths move from one to the other, and what was known of files is forgotten: nothing has been read. */
static void join_files(dataset *set, dataset *more)
{
    size_t n = set->count + more->count;
    drop_unused(set);
    drop_unused(more);
    set->path = mem_realloc(set->path, n, sizeof *set->path);
    set->left_out = mem_realloc(set->left_out, n, sizeof *set->left_out);
    memcpy(set->path + set->count, more->path, more->count * sizeof *set->path);
    memcpy(set->left_out + set->count, more->left_out, more->count * sizeof *set->left_out);
    more->listed = 0;             /* the paths are the set's now */
    data_prints_free(set->prints);
    set->prints = data_prints_new(n);
    set->listed = set->room = n;
}

static void join_memory(dataset *set, const dataset *more)
{
    size_t size = (size_t)set->w * (size_t)set->h * (size_t)set->c, n = set->count + more->count;
    set->pixels = mem_realloc(set->pixels, n, size);
    memcpy(set->pixels + set->count * size, more->pixels, more->count * size);
    while (set->parts > 1 && set->part[set->parts - 1].first >= set->count) free(set->part[--set->parts].file);
    set->part = mem_realloc(set->part, (size_t)(set->parts + more->parts), sizeof *set->part);
    for (int i = 0; i < more->parts; ++i)
        set->part[set->parts++] = (data_part){ mem_strdup(more->part[i].file), set->count + more->part[i].first };
}

/* Are the images of one kind? -1 after reporting. */
static int check_kind(const dataset *set, const dataset *more, const data_file *file, diag *d)
{
    if (!set->path != !more->path) {
        diag_error(d, file->path, 0, NULL, "unlabelled= names %s, train= %s: one set is of one kind",
                   more->format->what, set->format->what);
        return -1;
    }
    if (set->path || (set->w == more->w && set->h == more->h && set->c == more->c)) return 0;
    diag_error(d, file->path, 0, NULL, "images of unlabelled= are %dx%dx%d, those of train= %dx%dx%d", more->w, more->h,
               more->c, set->w, set->h, set->c);
    return -1;
}

int dataset_join_unlabelled(dataset *set, const data_file *file, int need, diag *d)
{
    if (!file->unlabelled) return 0;
    dataset *more = dataset_open(file, DATA_UNLABELLED, 0, need, d);
    int failed = !more || check_kind(set, more, file, d);
    if (!failed) {
        grow_labels(set, set->count + more->count);
        if (set->path) join_files(set, more);
        else join_memory(set, more);
        set->count += more->count;
    }
    dataset_free(more);
    return failed ? -1 : 0;
}
