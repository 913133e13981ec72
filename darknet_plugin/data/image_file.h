/* An image file in memory: read once, so that what is looked at, hashed and decoded is the same. */
#ifndef DISTILL_IMAGE_FILE_H
#define DISTILL_IMAGE_FILE_H
#include "dataset_prints.h"
#include "image_size.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { IMAGE_PADDING = 2 };   /* bytes behind the file's own, the end of a JPEG */

typedef struct image_file {
    uint8_t *byte;            /* n + IMAGE_PADDING, owned: image_file_free */
    size_t n;
    image_size size;
    data_print print;         /* without a hash */
} image_file;

/* Reads a regular file whose header is that of an image which is not too large and which is there to its end. 0, or -1
 * with a reason in `why`; then `file` holds no bytes. */
int image_file_read(const char *path, image_file *file, char *why, size_t why_len);
void image_file_free(image_file *file);
/* What its header alone says, and whether its end is there, where that can be told without decoding. 0, or -1. */
int image_file_size(const char *path, image_size *size);
/* Are w x h pixels no more than are accepted? 0, or -1 with a reason. */
int image_check_size(size_t w, size_t h, char *why, size_t why_len);

#ifdef __cplusplus
}
#endif
#endif
