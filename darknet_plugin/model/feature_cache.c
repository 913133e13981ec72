/* One file, memory-mapped for reading, appended to with pwrite (see feature_cache.h).
 *
 * Writing through the map would end in SIGBUS on a full disk; pwrite says ENOSPC. The map covers the largest file there can
 * be, so it need not move while the file grows; nothing behind the file's end is touched. zstd at level 1 halves half floats
 * behind a ReLU (60 % zeros: `zstd -b1 -B12608` on the demo's cache, 2.1 times fewer bytes, 620 MB/s back), which for a
 * student's thousand images a second is some 2 % of the time. */
#include "feature_cache.h"

#include "darknet_plugin/base/key_text.h"
#include "darknet_plugin/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define MAGIC "darknet-distill features 1\n"
enum { HEADER = 4096, HEAD = 64, MARK = 0x54414546, LEVEL = 1, LET_GO = 1 << 25 };   /* "FEAT"; zstd's */

typedef struct record_head {
    uint32_t mark, crc;
    uint64_t image, view, bytes;
} record_head;

typedef struct index_entry {
    uint64_t at, bytes;
} index_entry;

struct feature_cache {
    feature_cache_spec s;
    char *path;               /* owned */
    int fd, writes;
    size_t maps, records;     /* bytes of a record's maps, where records begin */
    size_t most;              /* bytes of the largest file there can be: mapped */
    size_t end;               /* of the file, as far as we know */
    size_t read;              /* bytes since pages were let go */
    size_t at[FEATURE_TAPS];  /* of each tap's map in the maps */
    const char *map;
};

static size_t rounded(size_t n) { return (n + HEAD - 1) / HEAD * HEAD; }
static size_t entry_at(const feature_cache *c, uint64_t view, uint64_t image)
{
    return HEADER + (size_t)(view * c->s.count + image) * sizeof(index_entry);
}

static index_entry entry_of(const feature_cache *c, uint64_t view, uint64_t image)
{
    index_entry e;
    memcpy(&e, c->map + entry_at(c, view, image), sizeof e);
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

static int write_all(int fd, const void *data, size_t n, size_t at)
{
    const char *p = data;
    while (n) {
        ssize_t w = pwrite(fd, p, n, (off_t)at);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) return -1;
        p += w;
        at += (size_t)w;
        n -= (size_t)w;
    }
    return 0;
}

/* ---- opening ---- */

static int trouble(const feature_cache *c, const char *what, diag *d)
{
    diag_error(d, c->path, 0, NULL, "%s: %s", what, strerror(errno));
    return -1;
}

static int measure_file(feature_cache *c, diag *d)
{
    size_t all, index;
    for (int i = 0; i < c->s.taps; ++i) {
        c->at[i] = c->maps;
        c->maps += feature_bytes(c->s.type, c->s.tap[i].c, (size_t)c->s.tap[i].h * (size_t)c->s.tap[i].w);
    }
    if (!__builtin_mul_overflow(c->s.count, c->s.views, &all) && !__builtin_mul_overflow(all, sizeof(index_entry), &index)
        && !__builtin_mul_overflow(all, c->maps + HEAD, &c->most) && index < (size_t)1 << 45 && c->most < (size_t)1 << 46) {
        c->records = rounded(HEADER + index);
        c->most += c->records;
        return 0;
    }
    diag_error(d, c->path, 0, NULL, "%llu views of %llu images are too many", (unsigned long long)c->s.views, (unsigned long long)c->s.count);
    return -1;
}

/* Room for what is not on the disk yet. */
static int check_room(const feature_cache *c, const struct stat *st, diag *d)
{
    struct statvfs v;
    if (!c->writes || fstatvfs(c->fd, &v)) return 0;
    double have = (double)v.f_bavail * (double)v.f_frsize, need = (double)c->most - (double)st->st_blocks * 512;
    if (need <= have) return 0;
    diag_error(d, c->path, 0, NULL, "needs up to %.3g GB, %.3g GB free", need / 1e9, have / 1e9);
    diag_hint(d, "fewer views=, or cache_type=u8, takes less");
    return -1;
}

/* The index is looked at through the map before it is filled: on a tmpfs that is full, reading a hole ends in SIGBUS. */
static int take_room(const feature_cache *c)
{
    if (!fallocate(c->fd, 0, 0, (off_t)c->records)) return 0;
    return errno == EOPNOTSUPP || errno == ENOSYS ? ftruncate(c->fd, (off_t)c->records) : -1;
}

static int make_file(feature_cache *c, diag *d)
{
    char header[HEADER] = MAGIC;
    if (strlen(MAGIC) + strlen(c->s.key) >= HEADER) {
        diag_error(d, c->path, 0, NULL, "this run's description does not fit into a cache's header");
        return -1;
    }
    strcat(header, c->s.key);
    c->end = c->records;
    if (take_room(c) || write_all(c->fd, header, HEADER, 0)) return trouble(c, "cannot be written", d);
    return 0;
}

static int check_file(feature_cache *c, off_t size, diag *d)
{
    char header[HEADER + 1] = "";
    if (pread(c->fd, header, HEADER, 0) != HEADER || strncmp(header, MAGIC, strlen(MAGIC))) {
        diag_error(d, c->path, 0, NULL, "is not a feature cache");
        return -1;
    }
    if (keys_differ(c->path, header + strlen(MAGIC), c->s.key, d)) return -1;
    c->end = (size_t)size;
    if (c->end >= c->records && c->end <= 2 * c->most) return 0;
    diag_error(d, c->path, 0, NULL, "has %lld bytes, expected at least %zu: it was cut", (long long)size, c->records);
    diag_hint(d, "remove it; it will be made again");
    return -1;
}

static int map_file(feature_cache *c, diag *d)
{
    if (c->end > c->most) c->most = c->end;   /* damaged records have been replaced */
    c->most += c->most / 8;                   /* and may be again */
    void *p = mmap(NULL, c->most, PROT_READ, MAP_SHARED, c->fd, 0);
    if (p == MAP_FAILED) return trouble(c, "cannot be mapped", d);
    c->map = p;
    madvise(p, c->most, MADV_RANDOM);
    return 0;
}

static int open_file(feature_cache *c, diag *d)
{
    struct stat st;
    c->fd = open(c->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    c->writes = c->fd >= 0;
    if (c->fd < 0 && (errno == EACCES || errno == EROFS)) c->fd = open(c->path, O_RDONLY | O_CLOEXEC);
    if (c->fd < 0) return trouble(c, "cannot be opened", d);
    if (c->writes && flock(c->fd, LOCK_EX | LOCK_NB)) {
        diag_warn(d, c->path, 0, NULL, "another process is filling it; what is missing is computed and not stored");
        c->writes = 0;
    }
    if (fstat(c->fd, &st)) return trouble(c, "cannot be read", d);
    if (!S_ISREG(st.st_mode)) {
        diag_error(d, c->path, 0, NULL, "is not a regular file");
        return -1;
    }
    if (check_room(c, &st, d)) return -1;
    if (!st.st_size && c->writes) return make_file(c, d);
    return check_file(c, st.st_size, d);
}

feature_cache *feature_cache_open(const char *path, const feature_cache_spec *s, diag *d)
{
    feature_cache *c = mem_calloc(1, sizeof *c);
    c->s = *s;
    c->path = mem_strdup(path);
    c->fd = -1;
    if (!measure_file(c, d) && !open_file(c, d) && !map_file(c, d)) return c;
    struct stat st;
    if (c->fd >= 0 && c->writes && !fstat(c->fd, &st) && !st.st_size) unlink(path);   /* made just now, and of no use */
    feature_cache_close(c);
    return NULL;
}

void feature_cache_close(feature_cache *c)
{
    if (!c) return;
    if (c->map) munmap((void *)(uintptr_t)c->map, c->most);
    if (c->fd >= 0) close(c->fd);
    free(c->path);
    free(c);
}

int feature_cache_sync(feature_cache *c, diag *d) { return c->writes && fsync(c->fd) ? trouble(c, "cannot be written", d) : 0; }

/* ---- records ---- */

static uint32_t crc_of(const void *data, size_t n) { return (uint32_t)crc32_z(0, data, n); }

int feature_cache_has(const feature_cache *c, uint64_t view, uint64_t image) { return entry_of(c, view, image).at != 0; }
size_t feature_cache_maps_bytes(const feature_cache *c) { return c->maps; }
size_t feature_cache_at(const feature_cache *c, int tap) { return c->at[tap]; }
size_t feature_cache_packed_room(const feature_cache *c) { return rounded(HEAD + ZSTD_compressBound(c->maps)); }
size_t feature_cache_file_bytes(const feature_cache *c) { return c->end; }

/* The file may have grown by another process's hand since we looked. */
static int within_file(const feature_cache *c, index_entry e)
{
    struct stat st;
    if (e.at % HEAD || e.at < c->records || e.at > c->most - HEAD || e.bytes > c->maps || e.bytes > c->most - HEAD - e.at) return 0;
    return e.at + HEAD + e.bytes <= c->end || (!fstat(c->fd, &st) && (uint64_t)st.st_size >= e.at + HEAD + e.bytes);
}

int feature_cache_get(const feature_cache *c, uint64_t view, uint64_t image, void *room, feature_map *maps)
{
    index_entry e = entry_of(c, view, image);
    record_head h;
    if (!e.at) return 0;
    if (!within_file(c, e)) return -1;
    const char *from = c->map + e.at + HEAD;
    memcpy(&h, from - HEAD, sizeof h);
    if (h.mark != MARK || h.image != image || h.view != view || h.bytes != e.bytes || h.crc != crc_of(from, e.bytes)) return -1;
    if (e.bytes < c->maps) {
        if (ZSTD_decompress(room, c->maps, from, e.bytes) != c->maps) return -1;
        from = room;
    }
    for (int i = 0; i < c->s.taps; ++i) maps[i] = feature_stored(c->s.type, c->s.tap[i].c, from + c->at[i]);
    return 1;
}

size_t feature_cache_pack(const feature_cache *c, uint64_t view, uint64_t image, const void *maps, void *packed)
{
    char *to = packed;
    size_t n = ZSTD_compress(to + HEAD, feature_cache_packed_room(c) - HEAD, maps, c->maps, LEVEL);
    if (ZSTD_isError(n) || n >= c->maps) memcpy(to + HEAD, maps, n = c->maps);
    record_head h = { .mark = MARK, .crc = crc_of(to + HEAD, n), .image = image, .view = view, .bytes = n };
    memset(to, 0, HEAD);
    memcpy(to, &h, sizeof h);
    return HEAD + n;
}

void feature_cache_put(feature_cache *c, uint64_t view, uint64_t image, const void *packed, size_t bytes, diag *d)
{
    size_t at = rounded(c->end);
    index_entry e = { .at = at, .bytes = bytes - HEAD };
    if (!c->writes) return;
    if (at + bytes > c->most) errno = EFBIG;
    else if (!write_all(c->fd, packed, bytes, at) && !write_all(c->fd, &e, sizeof e, entry_at(c, view, image))) {
        c->end = at + bytes;
        return;
    }
    diag_warn(d, c->path, 0, NULL, "cannot be written any more: %s; the rest is computed and not stored", strerror(errno));
    c->writes = 0;
}

void feature_cache_done(feature_cache *c, int records)
{
    c->read += (size_t)records * (HEAD + c->maps);
    if (c->read < LET_GO) return;
    c->read = 0;
    madvise((char *)(uintptr_t)c->map, c->most, MADV_DONTNEED);
}

uint64_t feature_cache_missing(const feature_cache *c)
{
    uint64_t missing = 0;
    for (uint64_t v = 0; v < c->s.views; ++v)
        for (uint64_t i = 0; i < c->s.count; ++i) missing += !feature_cache_has(c, v, i);
    return missing;
}

double feature_cache_wants(const feature_cache *c, dev_t *dev)
{
    struct stat st;
    if (!c->writes || fstat(c->fd, &st)) return 0;
    *dev = st.st_dev;
    return (double)feature_cache_missing(c) * (double)(HEAD + c->maps);
}
