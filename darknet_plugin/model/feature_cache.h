/* The feature cache: a teacher's maps for every view of every image, computed once and read back.
 *
 *   bytes 0..4095   what the maps depend on, as lines of text "name=value" behind the line
 *                   "darknet-distill features 2", zeros to the end
 *   index           count * views entries: view 0 of all images, view 1 of all images, ...; u64 where the record begins
 *                   (0: there is none), u64 bytes of its maps in the file
 *   prints          of images in files, count entries of 64 bytes: a data_print (dataset_prints.h), zeros, u32 CRC-32
 *                   of these, u32 mark "PRNT"; anything else: none is kept
 *   records         in the order they were made, each on a multiple of 64 bytes: 64 bytes of head, then the maps
 *   a head          u32 mark "FEAT", u32 CRC-32 (zlib's) of what follows, u64 image, u64 view, u64 bytes, u64 hash of
 *                   what the image's file held (0: images are not in files), zeros
 *   the maps        each tap's as feature_type.h stores it, a multiple of 64 bytes; all together compressed by zstd
 *                   where that makes them fewer, as they are where not: their number says which
 *
 * Numbers are little-endian. The index entry is written last: a program killed before that leaves some bytes nobody
 * reads; a pulled plug may leave a record whose CRC differs, which is computed again. A record says itself what it was
 * made from; prints are for knowing, without a look at the images, whether they still hold that. Readers map the file
 * and take no lock; one writer at a time holds flock on it. */
#ifndef DISTILL_FEATURE_CACHE_H
#define DISTILL_FEATURE_CACHE_H
#include "darknet_plugin/base/diag.h"
#include "darknet_plugin/data/dataset_prints.h"
#include "layers/feature_type.h"

#include <sys/types.h>

typedef struct feature_cache feature_cache;

enum { FEATURE_TAPS = 16 };
/* Written to, unless another process is; read only; what one rank of several adds to a cache, until that takes it. */
typedef enum { CACHE_OWN, CACHE_READ, CACHE_SHARD } feature_cache_use;
typedef struct feature_cache_spec {
    const char *key;              /* "name=value" lines, all that decides the maps' values; borrowed while opening */
    feature_type type;
    int taps;
    struct { int c, h, w; } tap[FEATURE_TAPS];
    uint64_t count, views;
    int prints;                   /* images are in files, whose prints are kept */
    feature_cache_use use;
} feature_cache_spec;

/* Opens `path` or makes it; an existing file whose key differs is refused, naming what does. Checks that the disk has
 * room for what is missing, uncompressed. If another process writes to it, it is opened for reading and a warning says
 * so. NULL with messages. */
feature_cache *feature_cache_open(const char *path, const feature_cache_spec *spec, diag *d);
void feature_cache_close(feature_cache *cache);
/* Waits until what was written is on the disk. 0, or -1 with a message. */
int feature_cache_sync(feature_cache *cache, diag *d);

/* Does this process write to it? */
int feature_cache_writes(const feature_cache *cache);
/* Copies all records that `to` lacks, and what is known of their images, of a cache with the same key. */
void feature_cache_take(feature_cache *to, const feature_cache *from, diag *d);

/* Bytes of one record's maps, and where each tap's is. */
size_t feature_cache_maps_bytes(const feature_cache *cache);
size_t feature_cache_at(const feature_cache *cache, int tap);

/* The count prints that are kept, to `prints`; hash 0 where there is none. */
void feature_cache_prints(const feature_cache *cache, data_print *prints);
/* Keeps that of an image, where this process is the writer; a failure is one of feature_cache_put's. */
void feature_cache_keep_print(feature_cache *cache, uint64_t image, const data_print *print, diag *d);

/* Reads into the file, or unpacks into `room` (feature_cache_maps_bytes): maps[tap] borrow one or the other until
 * feature_cache_done. 1; 0 if there is no record, -1 if it is not as it was written, or of an image whose hash is not
 * `contents`. Safe from several threads. */
int feature_cache_get(const feature_cache *cache, uint64_t view, uint64_t image, uint64_t contents, void *room,
                      feature_map *maps);
/* Is there an index entry? */
int feature_cache_has(const feature_cache *cache, uint64_t view, uint64_t image);
/* A record of these maps, of an image with that hash, for _put: its bytes in `packed` (feature_cache_packed_room). Safe
 * from several threads. */
size_t feature_cache_pack(const feature_cache *cache, uint64_t view, uint64_t image, uint64_t contents,
                          const void *maps, void *packed);
size_t feature_cache_packed_room(const feature_cache *cache);
/* Appends a record where this process is the writer. If that fails, a warning says why and nothing is written any more:
 * a run of hours goes on without. */
void feature_cache_put(feature_cache *cache, uint64_t view, uint64_t image, const void *packed, size_t bytes, diag *d);
/* What _get lent for so many records is not needed any more. Now and then the pages read so far are let go, so that the
 * process stays small however large the file is. */
void feature_cache_done(feature_cache *cache, int records);

uint64_t feature_cache_missing(const feature_cache *cache);
/* Bytes that what is missing may still take on device *dev; 0 where this process does not write. */
double feature_cache_wants(const feature_cache *cache, dev_t *dev);
size_t feature_cache_file_bytes(const feature_cache *cache);

#endif
