/* Decoded images in a file, so that each is decoded once: image_cache= of a .data file.
 *
 * An image is known by what its file holds (the hash of its bytes), so lists may change, splits and runs share one
 * cache and moved files are found again; as long as a file's inode, size and times are those that were kept, it is not
 * read to know that. Two kinds of an image are two: other channels, another size.
 *
 * The file begins with 4096 bytes that say what decoded them: of another version of the decoder it is refused. Then
 * come blocks of 512 entries, each naming the next, and the pixels they name, as they came. Nothing is believed that
 * it says: entries have checksums, pixels a hash, sizes are held against the file's. What was cut off or damaged is as
 * if it had never been stored. One process writes, others read; on a full disk nothing more is stored. */
#ifndef DISTILL_IMAGE_CACHE_H
#define DISTILL_IMAGE_CACHE_H
#include "dataset_prints.h"
#include "darknet_plugin/base/diag.h"

typedef struct image_cache image_cache;

/* What was asked of it so far. */
typedef struct image_cache_count {
    uint64_t read, missed;     /* images that were there, that were not */
    uint64_t damaged;          /* of the latter those that could not be used */
    uint64_t images, bytes;    /* in the file now */
} image_cache_count;

/* What is kept of an image. */
typedef struct image_kind {
    int channels;              /* 1 or 3 */
    int side;                  /* the shorter side's most pixels; 0: as it was decoded */
} image_kind;

/* (h, w, channels) bytes. */
typedef struct image_pixels {
    uint8_t *pixels;
    int w, h;
} image_pixels;

/* Opens or makes it, with its folder; read only where `writes` is 0, then a file that is not there is an empty one.
 * NULL after reporting. The caller ends it with image_cache_close. */
image_cache *image_cache_open(const char *path, int writes, diag *d);
void image_cache_close(image_cache *cache);

/* These are safe to call from several threads. Completes `print`, which agrees with a file's size and times, with the
 * hash of what it holds: 1, or 0 where that is not known. */
int image_cache_know(image_cache *cache, data_print *print);
/* The image whose file has this print, hash and all: 1 with out->pixels, the caller's to free(); or 0. */
int image_cache_get(image_cache *cache, const data_print *print, image_kind kind, image_pixels *out);
/* Keeps it; what is there already is not stored twice. */
void image_cache_put(image_cache *cache, const data_print *print, image_kind kind, const image_pixels *image);
image_cache_count image_cache_counts(image_cache *cache);
/* Says, once, that nothing more can be stored, and why. For one thread. */
void image_cache_trouble(image_cache *cache, diag *d);

#endif
