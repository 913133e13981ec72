/* One file, memory-mapped for reading, appended to with pwrite (see feature_cache.h).
 *
 * Writing through the map would end in SIGBUS on a full disk; pwrite says ENOSPC. The map covers the largest file there
 * can be, so it need not move while the file grows; nothing behind the file's end is touched. zstd at level 1 halves
 * half floats behind a ReLU (60 % zeros: `zstd -b1 -B12608` on the demo's cache, 2.1 times fewer bytes, 620 MB/s back),
 * which for a student's thousand images a second is some 2 % of the time. */
#include "feature_cache.h"

#include "darknet_plugin/base/file_at.h"
#include "darknet_plugin/base/key_text.h"
#include "darknet_plugin/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define MAGIC "darknet-distill features 2\n"
#define OLD_MAGIC "darknet-distill features 1\n"   /* without prints */
enum { HEADER = 4096, HEAD = 64, MARK = 0x54414546, PRINT_MARK = 0x544e5250, LEVEL = 1, LET_GO = 1 << 25 };

typedef struct record_head {
    uint32_t mark, crc;
    uint64_t image, view, bytes, contents;
} record_head;

/* 64 bytes, so that none lies across a sector's border. */
typedef struct kept_print {
    data_print print;
    uint64_t zeros[2];
    uint32_t crc, mark;
} kept_print;

typedef struct index_entry {
    uint64_t at, bytes;
} index_entry;

struct feature_cache {
    feature_cache_spec s;
    char *path;               /* owned */
    int fd, writes;
    size_t maps;              /* bytes of a record's maps */
    size_t prints, records;   /* where they begin */
    size_t most;              /* bytes of the largest file there can be: mapped */
    size_t end;               /* of the file, as far as we know */
    size_t read;              /* bytes since pages were let go */
    size_t at[FEATURE_TAPS];  /* of each tap's map in the maps */
    const char *map;
};

static size_t rounded(size_t n) { return (n + HEAD - 1) / HEAD * HEAD; }
static size_t entry_at(const feature_cache *cache, uint64_t view, uint64_t image)
{
    return HEADER + (size_t)(view * cache->s.count + image) * sizeof(index_entry);
}

static index_entry entry_of(const feature_cache *cache, uint64_t view, uint64_t image)
{
    index_entry e = { 0 };
    if (pread(cache->fd, &e, sizeof e, (off_t)entry_at(cache, view, image)) != sizeof e) e.at = 0;
    return e;
}

/* ---- the key ---- */

/* Names the first line that differs. */
static int keys_differ(const char *path, const char *has, const char *want, diag *d)
{
    key_difference k;
    int differs = key_next_difference(&has, &want, &k);
    if (differs < 0) diag_error(d, path, 0, NULL, "was made by another version of this program");
    if (differs < 1) return differs;
    diag_error(d, path, 0, NULL, "was made with %.*s, this run has %.*s", k.has_length, k.has, k.want_length, k.want);
    diag_hint(d, "name another file, or remove this one");
    return -1;
}

/* ---- opening ---- */

static int trouble(const feature_cache *cache, const char *what, diag *d)
{
    diag_error(d, cache->path, 0, NULL, "%s: %s", what, strerror(errno));
    return -1;
}

/* a + b * c, or SIZE_MAX. */
static size_t added(size_t a, size_t b, size_t c)
{
    size_t product, sum;
    return __builtin_mul_overflow(b, c, &product) || __builtin_add_overflow(a, product, &sum) ? SIZE_MAX : sum;
}

/* Where maps, index, prints and records lie in the file; 0, or -1 with a message if it would be too large. */
static int measure_file(feature_cache *cache, diag *d)
{
    const feature_cache_spec *s = &cache->s;
    for (int i = 0; i < s->taps; ++i) {
        cache->at[i] = cache->maps;
        cache->maps += feature_bytes(s->type, s->tap[i].c, (size_t)s->tap[i].h * (size_t)s->tap[i].w);
    }
    size_t all = added(0, s->count, s->views), index = added(HEADER + HEAD, all, sizeof(index_entry));
    size_t records = added(index, s->prints ? s->count : 0, sizeof(kept_print));
    size_t most = added(records, all, cache->maps + HEAD);
    if (records < (size_t)1 << 45 && most < (size_t)1 << 46) {
        cache->prints = rounded(index - HEAD);
        cache->records = cache->prints + (s->prints ? s->count : 0) * sizeof(kept_print);
        cache->most = cache->records + all * (cache->maps + HEAD);
        return 0;
    }
    diag_error(d, cache->path, 0, NULL, "%llu views of %llu images are too many", (unsigned long long)s->views,
               (unsigned long long)s->count);
    return -1;
}

/* Room for what is not on the disk yet. */
static int check_room(const feature_cache *cache, const struct stat *st, diag *d)
{
    struct statvfs v;
    if (!cache->writes || cache->s.use == CACHE_SHARD || fstatvfs(cache->fd, &v)) return 0;
    double have = (double)v.f_bavail * (double)v.f_frsize, need = (double)cache->most - (double)st->st_blocks * 512;
    if (need <= have) return 0;
    diag_error(d, cache->path, 0, NULL, "needs up to %.3g GB, %.3g GB free", need / 1e9, have / 1e9);
    diag_hint(d, "fewer views=, or cache_type=u8, takes less");
    return -1;
}

/* The index is looked at through the map before it is filled: on a tmpfs that is full, reading a hole ends in
 * SIGBUS. */
static int take_room(const feature_cache *cache)
{
    if (!fallocate(cache->fd, 0, 0, (off_t)cache->records)) return 0;
    return errno == EOPNOTSUPP || errno == ENOSYS ? ftruncate(cache->fd, (off_t)cache->records) : -1;
}

/* A new one: the header, then room for the index. Whoever is killed in between leaves a header alone, which the next
 * one takes for what it is. */
static int make_file(feature_cache *cache, diag *d)
{
    char header[HEADER] = MAGIC;
    if (strlen(MAGIC) + strlen(cache->s.key) >= HEADER) {
        diag_error(d, cache->path, 0, NULL, "this run's description does not fit into a cache's header");
        return -1;
    }
    strcat(header, cache->s.key);
    cache->end = cache->records;
    if (!file_write_at(cache->fd, header, HEADER, 0) && !take_room(cache)) return 0;
    (void)trouble(cache, "cannot be written", d);
    return ftruncate(cache->fd, 0) - 1;   /* an empty one goes again */
}

/* Is it a cache at all, of this version? */
static int check_magic(const feature_cache *cache, const char *header, diag *d)
{
    if (!strncmp(header, MAGIC, strlen(MAGIC))) return 0;
    if (!strncmp(header, OLD_MAGIC, strlen(OLD_MAGIC))) {
        diag_error(d, cache->path, 0, NULL,
                   "was made by an older version of this program, which did not keep what the images held");
        diag_hint(d, "remove it; it will be made again");
    } else {
        diag_error(d, cache->path, 0, NULL, "is not a feature cache");
    }
    return -1;
}

/* Is what is there a cache, this run's, and whole? */
static int check_file(feature_cache *cache, off_t size, diag *d)
{
    char header[HEADER + 1] = "";
    if (pread(cache->fd, header, HEADER, 0) != HEADER) header[0] = 0;
    if (check_magic(cache, header, d)) return -1;
    if (keys_differ(cache->path, header + strlen(MAGIC), cache->s.key, d)) return -1;
    if (size == HEADER && cache->writes) return make_file(cache, d);
    cache->end = (size_t)size;
    if (cache->end >= cache->records && cache->end <= 2 * cache->most) return 0;
    diag_error(d, cache->path, 0, NULL, "has %lld bytes, expected at least %zu: it was cut", (long long)size,
               cache->records);
    diag_hint(d, "remove it; it will be made again");
    return -1;
}

static int map_file(feature_cache *cache, diag *d)
{
    if (cache->end > cache->most) cache->most = cache->end;   /* damaged records have been replaced */
    cache->most += cache->most / 8;                   /* and may be again */
    void *p = mmap(NULL, cache->most, PROT_READ, MAP_SHARED, cache->fd, 0);
    if (p == MAP_FAILED) return trouble(cache, "cannot be mapped", d);
    cache->map = p;
    madvise(p, cache->most, MADV_RANDOM);
    return 0;
}

/* Opens or makes it; who may not write, or finds it being written, reads only. */
static int open_file(feature_cache *cache, diag *d)
{
    struct stat st;
    int only = cache->s.use == CACHE_READ ? O_RDONLY : O_RDWR | O_CREAT;
    cache->fd = open(cache->path, O_CLOEXEC | only, 0666);
    cache->writes = cache->fd >= 0 && only != O_RDONLY;
    if (cache->fd < 0 && (errno == EACCES || errno == EROFS)) cache->fd = open(cache->path, O_RDONLY | O_CLOEXEC);
    if (cache->fd < 0) return trouble(cache, "cannot be opened", d);
    if (cache->writes && flock(cache->fd, LOCK_EX | LOCK_NB)) {
        diag_warn(d, cache->path, 0, NULL, "another process is filling it; what is missing is computed and not stored");
        cache->writes = 0;
    }
    if (fstat(cache->fd, &st)) return trouble(cache, "cannot be read", d);
    if (!S_ISREG(st.st_mode)) {
        diag_error(d, cache->path, 0, NULL, "is not a regular file");
        return -1;
    }
    if (check_room(cache, &st, d)) return -1;
    if (!st.st_size && cache->writes) return make_file(cache, d);
    return check_file(cache, st.st_size, d);
}

feature_cache *feature_cache_open(const char *path, const feature_cache_spec *spec, diag *d)
{
    feature_cache *c = mem_calloc(1, sizeof *c);
    c->s = *spec;
    c->path = mem_strdup(path);
    c->fd = -1;
    if (!measure_file(c, d) && !open_file(c, d) && !map_file(c, d)) return c;
    struct stat st;
    if (c->fd >= 0 && c->writes && !fstat(c->fd, &st) && !st.st_size) unlink(path);   /* made just now, and of no use */
    feature_cache_close(c);
    return NULL;
}

void feature_cache_close(feature_cache *cache)
{
    if (!cache) return;
    if (cache->map) munmap((void *)(uintptr_t)cache->map, cache->most);
    if (cache->fd >= 0) close(cache->fd);
    free(cache->path);
    free(cache);
}

int feature_cache_sync(feature_cache *cache, diag *d)
{
    return cache->writes && fsync(cache->fd) ? trouble(cache, "cannot be written", d) : 0;
}

/* ---- records ---- */

static uint32_t crc_of(const void *data, size_t n) { return (uint32_t)crc32_z(0, data, n); }

int feature_cache_has(const feature_cache *cache, uint64_t view, uint64_t image)
{
    return entry_of(cache, view, image).at != 0;
}
size_t feature_cache_maps_bytes(const feature_cache *cache) { return cache->maps; }
size_t feature_cache_at(const feature_cache *cache, int tap) { return cache->at[tap]; }
size_t feature_cache_packed_room(const feature_cache *cache) { return rounded(HEAD + ZSTD_compressBound(cache->maps)); }
size_t feature_cache_file_bytes(const feature_cache *cache) { return cache->end; }

/* By other hands the file may have grown since we looked, or shrunk: what the map has behind its end ends in SIGBUS. */
static int within_file(const feature_cache *cache, index_entry e)
{
    struct stat st;
    if (e.at % HEAD || e.at < cache->records || e.at > cache->most - HEAD || e.bytes > cache->maps ||
        e.bytes > cache->most - HEAD - e.at) return 0;
    return !fstat(cache->fd, &st) && (uint64_t)st.st_size >= e.at + HEAD + e.bytes;
}

static uint32_t crc_of_print(const kept_print *kept) { return crc_of(kept, offsetof(kept_print, crc)); }

static kept_print print_at(const feature_cache *cache, uint64_t image)
{
    kept_print kept = { .mark = 0 };
    if (pread(cache->fd, &kept, sizeof kept, (off_t)(cache->prints + (size_t)image * sizeof kept)) != sizeof kept)
        kept.mark = 0;
    return kept;
}

void feature_cache_prints(const feature_cache *cache, data_print *prints)
{
    for (uint64_t i = 0; i < cache->s.count; ++i) {
        prints[i] = (data_print){ 0 };
        if (!cache->s.prints) continue;
        kept_print kept = print_at(cache, i);
        if (kept.mark == PRINT_MARK && kept.crc == crc_of_print(&kept)) prints[i] = kept.print;
    }
}

/* Nothing is written any more. */
static void give_up(feature_cache *cache, diag *d)
{
    diag_warn(d, cache->path, 0, NULL, "cannot be written any more: %s; the rest is computed and not stored",
              strerror(errno));
    cache->writes = 0;
}

void feature_cache_keep_print(feature_cache *cache, uint64_t image, const data_print *print, diag *d)
{
    if (!cache->writes || !cache->s.prints || !print->hash) return;
    kept_print kept = { .print = *print, .mark = PRINT_MARK }, there = print_at(cache, image);
    kept.crc = crc_of_print(&kept);
    if (!memcmp(&kept, &there, sizeof kept)) return;
    if (file_write_at(cache->fd, &kept, sizeof kept, cache->prints + (size_t)image * sizeof kept)) give_up(cache, d);
}

int feature_cache_get(const feature_cache *cache, uint64_t view, uint64_t image, uint64_t contents, void *room,
                      feature_map *maps)
{
    index_entry e = entry_of(cache, view, image);
    record_head h;
    if (!e.at) return 0;
    if (!within_file(cache, e)) return -1;
    const char *from = cache->map + e.at + HEAD;
    memcpy(&h, from - HEAD, sizeof h);
    if (h.mark != MARK || h.image != image || h.view != view || h.bytes != e.bytes || h.contents != contents ||
        h.crc != crc_of(from, e.bytes))
        return -1;
    if (e.bytes < cache->maps) {
        if (ZSTD_decompress(room, cache->maps, from, e.bytes) != cache->maps) return -1;
        from = room;
    }
    for (int i = 0; i < cache->s.taps; ++i) maps[i] = feature_stored(cache->s.type, cache->s.tap[i].c,
                                                                     from + cache->at[i]);
    return 1;
}

size_t feature_cache_pack(const feature_cache *cache, uint64_t view, uint64_t image, uint64_t contents,
                          const void *maps, void *packed)
{
    char *to = packed;
    size_t n = ZSTD_compress(to + HEAD, feature_cache_packed_room(cache) - HEAD, maps, cache->maps, LEVEL);
    if (ZSTD_isError(n) || n >= cache->maps) memcpy(to + HEAD, maps, n = cache->maps);
    record_head h = { .mark = MARK, .crc = crc_of(to + HEAD, n), .image = image, .view = view, .bytes = n,
                      .contents = contents };
    memset(to, 0, HEAD);
    memcpy(to, &h, sizeof h);
    return HEAD + n;
}

void feature_cache_put(feature_cache *cache, uint64_t view, uint64_t image, const void *packed, size_t bytes, diag *d)
{
    size_t at = rounded(cache->end);
    index_entry e = { .at = at, .bytes = bytes - HEAD };
    if (!cache->writes) return;
    if (at + bytes > cache->most) errno = EFBIG;
    else if (!file_write_at(cache->fd, packed, bytes, at) && !file_write_at(cache->fd, &e, sizeof e,
                                                                    entry_at(cache, view, image))) {
        cache->end = at + bytes;
        return;
    }
    give_up(cache, d);
}

int feature_cache_writes(const feature_cache *cache) { return cache->writes; }

/* Copies one that `to` lacks, if it is as it was written. */
static void take_record(feature_cache *to, const feature_cache *from, uint64_t view, uint64_t image, diag *d)
{
    index_entry e = entry_of(from, view, image);
    record_head h;
    if (!e.at || feature_cache_has(to, view, image) || !within_file(from, e)) return;
    const char *record = from->map + e.at;
    memcpy(&h, record, sizeof h);
    if (h.mark != MARK || h.image != image || h.view != view || h.bytes != e.bytes ||
        h.crc != crc_of(record + HEAD, e.bytes))
        return;
    feature_cache_put(to, view, image, record, HEAD + e.bytes, d);
}

void feature_cache_take(feature_cache *to, const feature_cache *from, diag *d)
{
    for (uint64_t i = 0; from->s.prints && i < from->s.count; ++i) {
        kept_print kept = print_at(from, i);
        if (kept.mark == PRINT_MARK && kept.crc == crc_of_print(&kept)) feature_cache_keep_print(to, i, &kept.print, d);
    }
    for (uint64_t v = 0; v < from->s.views; ++v)
        for (uint64_t i = 0; i < from->s.count; ++i) take_record(to, from, v, i, d);
}

void feature_cache_done(feature_cache *cache, int records)
{
    cache->read += (size_t)records * (HEAD + cache->maps);
    if (cache->read < LET_GO) return;
    cache->read = 0;
    madvise((char *)(uintptr_t)cache->map, cache->most, MADV_DONTNEED);
}

uint64_t feature_cache_missing(const feature_cache *cache)
{
    uint64_t missing = 0;
    for (uint64_t v = 0; v < cache->s.views; ++v)
        for (uint64_t i = 0; i < cache->s.count; ++i) missing += !feature_cache_has(cache, v, i);
    return missing;
}

double feature_cache_wants(const feature_cache *cache, dev_t *dev)
{
    struct stat st;
    if (!cache->writes || fstat(cache->fd, &st)) return 0;
    *dev = st.st_dev;
    return (double)feature_cache_missing(cache) * (double)(HEAD + cache->maps);
}
