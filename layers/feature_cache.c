/* One file, fixed slots, memory-mapped for reading, pwrite for writing (see feature_cache.h).
 *
 * Writing through the map would end in SIGBUS on a full disk; pwrite says ENOSPC. Slots of one size make a record's place a
 * multiplication, so there is no index that could disagree with the records, damage is repaired in place, and the loss reads
 * the maps where they lie. A compressed record would have neither: zstd (level 1) takes a third off post-ReLU half floats,
 * which does not pay for an index, a copy and a decompression. */
#include "feature_cache.h"

#include "../darknet_plugin/mem.h"

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

#define MAGIC "darknet-distill features 1\n"
enum { HEADER = 4096, HEAD = 64, MARK = 0x54414546 };   /* "FEAT" */

typedef struct record_head {
    uint32_t mark, crc;
    uint64_t image, view;
} record_head;

struct feature_cache {
    feature_cache_spec s;
    char *path;               /* owned */
    int fd, writes;
    size_t record, bytes;     /* of a record, of the whole file */
    size_t at[FEATURE_TAPS];  /* of each tap's map in a record */
    const char *map;          /* bytes */
    uint64_t damaged;
};

static size_t place(const feature_cache *c, uint64_t view, uint64_t image)
{
    return HEADER + (size_t)(view * c->s.count + image) * c->record;
}

static const record_head *head_of(const feature_cache *c, uint64_t view, uint64_t image)
{
    return (const record_head *)(const void *)(c->map + place(c, view, image));
}

/* ---- the key ---- */

/* The line at `at`; its length without the newline. */
static size_t line_length(const char *at) { return strcspn(at, "\n"); }

/* Names the first line that differs. Both keys have the same names in the same order unless the program's version differs. */
static int keys_differ(const char *path, const char *has, const char *want, diag *d)
{
    while (*has && *want) {
        size_t a = line_length(has), b = line_length(want);
        if (a != b || memcmp(has, want, a)) {
            diag_error(d, path, 0, NULL, "was made with %.*s, this run has %.*s", (int)a, has, (int)b, want);
            diag_hint(d, "name another file, or remove this one");
            return -1;
        }
        has += a + (has[a] == '\n');
        want += b + (want[b] == '\n');
    }
    if (!*has && !*want) return 0;
    diag_error(d, path, 0, NULL, "was made by another version of this program");
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
    size_t at = HEAD, records;
    for (int i = 0; i < c->s.taps; ++i) {
        c->at[i] = at;
        at += feature_bytes(c->s.type, c->s.tap[i].c, (size_t)c->s.tap[i].h * (size_t)c->s.tap[i].w);
    }
    c->record = at;
    if (!__builtin_mul_overflow(c->s.count, c->s.views, &records) && !__builtin_mul_overflow(records, c->record, &c->bytes)
        && !__builtin_add_overflow(c->bytes, (size_t)HEADER, &c->bytes) && c->bytes < (size_t)1 << 62) return 0;
    diag_error(d, c->path, 0, NULL, "%llu views of %llu images are too many", (unsigned long long)c->s.views, (unsigned long long)c->s.count);
    return -1;
}

/* Room for what is not on the disk yet; a sparse file's blocks say what is. */
static int check_room(const feature_cache *c, const struct stat *st, diag *d)
{
    struct statvfs v;
    if (!c->writes || fstatvfs(c->fd, &v)) return 0;
    double have = (double)v.f_bavail * (double)v.f_frsize, need = (double)c->bytes - (double)st->st_blocks * 512;
    if (need <= have) return 0;
    diag_error(d, c->path, 0, NULL, "needs %.3g GB, %.3g GB free", need / 1e9, have / 1e9);
    diag_hint(d, "fewer views=, or cache_type=u8, takes less");
    return -1;
}

static int make_file(feature_cache *c, diag *d)
{
    char header[HEADER] = MAGIC;
    if (strlen(MAGIC) + strlen(c->s.key) >= HEADER) {
        diag_error(d, c->path, 0, NULL, "this run's description does not fit into a cache's header");
        return -1;
    }
    strcat(header, c->s.key);
    if (ftruncate(c->fd, (off_t)c->bytes) || write_all(c->fd, header, HEADER, 0)) return trouble(c, "cannot be written", d);
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
    if ((size_t)size == c->bytes) return 0;
    diag_error(d, c->path, 0, NULL, "has %lld bytes, expected %zu: it was cut", (long long)size, c->bytes);
    diag_hint(d, "remove it; it will be made again");
    return -1;
}

static int map_file(feature_cache *c, diag *d)
{
    void *p = mmap(NULL, c->bytes, PROT_READ, MAP_SHARED, c->fd, 0);
    if (p == MAP_FAILED) return trouble(c, "cannot be mapped", d);
    c->map = p;
    madvise(p, c->bytes, MADV_RANDOM);
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
    if (c->map) munmap((void *)c->map, c->bytes);
    if (c->fd >= 0) close(c->fd);
    free(c->path);
    free(c);
}

int feature_cache_sync(feature_cache *c, diag *d) { return c->writes && fsync(c->fd) ? trouble(c, "cannot be written", d) : 0; }

/* ---- records ---- */

static uint32_t crc_of(const feature_cache *c, const void *record)
{
    return (uint32_t)crc32_z(0, (const unsigned char *)record + HEAD, c->record - HEAD);
}

int feature_cache_has(const feature_cache *c, uint64_t view, uint64_t image)
{
    const record_head *h = head_of(c, view, image);
    return h->mark == MARK && h->image == image && h->view == view;
}

int feature_cache_get(feature_cache *c, uint64_t view, uint64_t image, feature_map *maps)
{
    const char *record = c->map + place(c, view, image);
    if (!feature_cache_has(c, view, image)) {
        if (head_of(c, view, image)->mark) ++c->damaged;
        return 0;
    }
    if (head_of(c, view, image)->crc != crc_of(c, record)) return ++c->damaged, 0;
    for (int i = 0; i < c->s.taps; ++i) maps[i] = feature_stored(c->s.type, c->s.tap[i].c, record + c->at[i]);
    return 1;
}

size_t feature_cache_record_bytes(const feature_cache *c) { return c->record; }
void *feature_cache_at(const feature_cache *c, void *record, int tap) { return (char *)record + c->at[tap]; }

void feature_cache_put(feature_cache *c, uint64_t view, uint64_t image, void *record, diag *d)
{
    record_head h = { .mark = MARK, .crc = crc_of(c, record), .image = image, .view = view };
    size_t at = place(c, view, image);
    memset(record, 0, HEAD);
    memcpy(record, &h, sizeof h);
    if (!c->writes) return;
    if (!write_all(c->fd, (char *)record + HEAD, c->record - HEAD, at + HEAD) && !write_all(c->fd, record, HEAD, at)) return;
    diag_warn(d, c->path, 0, NULL, "cannot be written any more: %s; the rest is computed and not stored", strerror(errno));
    c->writes = 0;
}

/* Pages that the record shares with its neighbours stay; they go with them. */
void feature_cache_done(feature_cache *c, uint64_t view, uint64_t image)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), from = place(c, view, image) / page * page, to = place(c, view, image) + c->record;
    madvise((char *)(uintptr_t)c->map + from, to - from, MADV_DONTNEED);
}

uint64_t feature_cache_damaged(const feature_cache *c) { return c->damaged; }

uint64_t feature_cache_missing(const feature_cache *c)
{
    uint64_t missing = 0;
    for (uint64_t v = 0; v < c->s.views; ++v)
        for (uint64_t i = 0; i < c->s.count; ++i) missing += !feature_cache_has(c, v, i);
    madvise((char *)(uintptr_t)c->map, c->bytes, MADV_DONTNEED);
    return missing;
}
