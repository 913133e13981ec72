/* The feature cache: a teacher's maps for every view of every image, computed once and read back.
 *
 *   bytes 0..4095       what the maps depend on, as lines of text "name=value" behind the line "darknet-distill features 1",
 *                       zeros to the end
 *   then count * views  records of one size: view 0 of all images, view 1 of all images, ...
 *   a record            64 bytes (below), then each tap's map as feature_type.h stores it, a multiple of 64 bytes
 *   its head            u32 mark "FEAT" once the record is whole, u32 CRC-32 (zlib's) of the maps, u64 image, u64 view, zeros
 *
 * Numbers are little-endian. A record is written behind its head, the head last: a program killed in between leaves a
 * record without a mark, a pulled plug one whose CRC differs, and both are simply computed again. The file is sparse
 * until it is full. Readers map it and take no lock; one writer at a time holds flock on it. */
#ifndef DISTILL_FEATURE_CACHE_H
#define DISTILL_FEATURE_CACHE_H
#include "../darknet_plugin/diag.h"
#include "feature_type.h"

typedef struct feature_cache feature_cache;

enum { FEATURE_TAPS = 16 };
typedef struct feature_cache_spec {
    const char *key;              /* "name=value" lines, all that decides the maps' values; borrowed */
    feature_type type;
    int taps;
    struct { int c, h, w; } tap[FEATURE_TAPS];
    uint64_t count, views;
} feature_cache_spec;

/* Opens `path` or makes it; an existing file whose key differs is refused, naming what does. Checks that the disk has room
 * for what is missing. If another process writes to it, it is opened for reading and a warning says so. NULL with messages. */
feature_cache *feature_cache_open(const char *path, const feature_cache_spec *s, diag *d);
/* Closes; what was written is on its way to the disk, feature_cache_sync waits for it (0 or -1 with a message). */
void feature_cache_close(feature_cache *c);
int feature_cache_sync(feature_cache *c, diag *d);

/* The stored maps of a view of an image, one a tap, borrowed until feature_cache_done: 1; 0 if they are not there or, counted
 * in feature_cache_damaged, not as they were written. */
int feature_cache_get(feature_cache *c, uint64_t view, uint64_t image, feature_map *maps);
/* Is there a whole record? Its CRC is not checked. */
int feature_cache_has(const feature_cache *c, uint64_t view, uint64_t image);
/* Memory for one record; what feature_store puts at feature_cache_at is what _put writes. */
size_t feature_cache_record_bytes(const feature_cache *c);
void *feature_cache_at(const feature_cache *c, void *record, int tap);
/* Fills in the record's head and writes it where this process is the writer. If that fails, a warning says why and nothing
 * is written any more: a run of hours goes on without. */
void feature_cache_put(feature_cache *c, uint64_t view, uint64_t image, void *record, diag *d);
/* The process need not keep these pages any longer. */
void feature_cache_done(feature_cache *c, uint64_t view, uint64_t image);

uint64_t feature_cache_damaged(const feature_cache *c);
uint64_t feature_cache_missing(const feature_cache *c);   /* counted from the heads */

#endif
