/* Reading image files (see image_file.h). The size that the header declares is looked at before memory is spent on the
 * image, and held against the file's own size, both ways. Behind the bytes stands the end of a JPEG: without any, the
 * library that decodes it from memory would leave rows as they were. */
#include "image_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const size_t MOST_PIXELS = (size_t)1 << 27;    /* 400 MB as RGB */
/* Bytes of a pixel, at most, and of what is no pixel: profiles, notes, a short film behind the picture. */
static const size_t MOST_BYTES = 16, MOST_BESIDE = (size_t)1 << 26;

static int fail(char *why, size_t len, const char *reason)
{
    snprintf(why, len, "%s", reason);
    return -1;
}

int image_check_size(size_t w, size_t h, char *why, size_t why_len)
{
    if (w && h && w <= MOST_PIXELS / h) return 0;
    snprintf(why, why_len, "image of %zux%zu pixels, at most %zu are accepted", w, h, MOST_PIXELS);
    return -1;
}

/* A regular file, opened; a pipe would wait for its other end. NULL with a reason. */
static FILE *open_regular(const char *path, struct stat *st, char *why, size_t len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FILE *file = fd >= 0 && !fstat(fd, st) && S_ISREG(st->st_mode) ? fdopen(fd, "rb") : NULL;
    if (file) return file;
    (void)fail(why, len, fd >= 0 && !S_ISREG(st->st_mode) ? "not a regular file" : strerror(errno));
    if (fd >= 0) close(fd);
    return NULL;
}

/* Are there as many bytes as so many pixels can have? */
static int check_bytes(const image_size *size, size_t bytes, char *why, size_t len)
{
    size_t pixels = size->w * size->h;
    if (size->per_byte && pixels / size->per_byte > bytes)
        snprintf(why, len, "damaged: %zux%zu pixels are more than %zu bytes can hold", size->w, size->h, bytes);
    else if (bytes > pixels * MOST_BYTES + MOST_BESIDE || bytes > INT_MAX / 2)
        snprintf(why, len, "damaged: %zu bytes are more than %zux%zu pixels need", bytes, size->w, size->h);
    else return 0;
    return -1;
}

/* The header, and the end. */
static int check_file(FILE *file, size_t bytes, image_size *size, char *why, size_t len)
{
    if (image_size_read(file, size)) {
        snprintf(why, len, "not an image (%s), or damaged", image_size_formats);
        return -1;
    }
    if (image_check_size(size->w, size->h, why, len) || check_bytes(size, bytes, why, len)) return -1;
    return image_size_is_whole(file, bytes) ? 0 : fail(why, len, "cut short: the end of the image is missing");
}

/* All bytes, with the end of a JPEG behind them. */
static int read_bytes(FILE *in, image_file *file, char *why, size_t len)
{
    file->byte = malloc(file->n + IMAGE_PADDING);
    if (!file->byte) return fail(why, len, "out of memory");
    if (fseek(in, 0, SEEK_SET) || fread(file->byte, 1, file->n, in) != file->n)
        return fail(why, len, "cannot be read to its end");
    file->byte[file->n] = 0xff;
    file->byte[file->n + 1] = 0xd9;
    return 0;
}

int image_file_read(const char *path, image_file *file, char *why, size_t why_len)
{
    struct stat st = { 0 }, after;
    *file = (image_file){ 0 };
    FILE *in = open_regular(path, &st, why, why_len);
    if (!in) return -1;
    file->n = (size_t)st.st_size;
    file->print = data_print_of(&st);
    int failed = check_file(in, file->n, &file->size, why, why_len) || read_bytes(in, file, why, why_len);
    data_print last = fstat(fileno(in), &after) ? (data_print){ 0 } : data_print_of(&after);
    if (!data_print_agrees(&file->print, &last)) file->print.inode = 0;    /* it is being written */
    fclose(in);
    if (failed) image_file_free(file);
    return failed ? -1 : 0;
}

void image_file_free(image_file *file)
{
    free(file->byte);
    file->byte = NULL;
}

int image_file_size(const char *path, image_size *size)
{
    struct stat st = { 0 };
    char why[200];
    FILE *in = open_regular(path, &st, why, sizeof why);
    int failed = !in || image_size_read(in, size) || !image_size_is_whole(in, (size_t)st.st_size);
    if (in) fclose(in);
    return failed ? -1 : 0;
}
