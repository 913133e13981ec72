/* The size an image file declares, before any memory is spent on it. */
#ifndef DISTILL_IMAGE_SIZE_H
#define DISTILL_IMAGE_SIZE_H
#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct image_size {
    size_t w, h;
    size_t per_byte;     /* pixels that a byte of such a file can stand for at most; 0: any number */
} image_size;

/* Reads the header of a file open at its beginning. 0, or -1: none of the formats in the table, or its header is
 * damaged. */
int image_size_read(FILE *file, image_size *size);
/* Is the end of such a file there, as far as its format says where that is? `bytes` is its length; any place in it is
 * left. */
int image_size_is_whole(FILE *file, size_t bytes);
extern const char image_size_formats[];   /* "JPEG, PNG, ..." */

#ifdef __cplusplus
}
#endif
#endif
