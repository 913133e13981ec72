/* The entries of an image cache in memory, found by what a file holds or by its size and times. */
#ifndef DISTILL_IMAGE_CACHE_TABLE_H
#define DISTILL_IMAGE_CACHE_TABLE_H
#include "dataset_prints.h"
#include "image_cache.h"

/* As it stands in the file, 128 bytes, so that none lies across a sector's border. */
typedef struct image_entry {
    data_print print;          /* of the image's file */
    uint64_t at, hash;         /* of the pixels: where they are, data_hash of them */
    uint32_t w, h, channels, side;
    uint64_t zeros[6];
    uint32_t crc, mark;        /* of all before */
} image_entry;

typedef struct image_table {
    struct image_slot *slot;   /* n, owned */
    size_t *by_hash, *by_print; /* buckets, owned: 1 + the last slot of each; a power of two of them */
    size_t n, room, buckets;
} image_table;

/* Adds an entry, which is found before those that came earlier. */
void image_table_add(image_table *table, const image_entry *entry);
/* The entry of this kind, of a file with that hash; the entry of any kind whose print agrees. Borrowed until the next
 * is added; NULL: there is none. */
image_entry *image_table_of(const image_table *table, uint64_t hash, image_kind kind);
const image_entry *image_table_agreeing(const image_table *table, const data_print *print);
void image_table_free(image_table *table);

#endif
