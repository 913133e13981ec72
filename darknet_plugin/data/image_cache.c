/* One file of blocks of entries and pixels (see image_cache.h).
 *
 *   0      MAGIC, then lines of what it was made with, zeros up to 4096
 *   4096   a block: 64 KB, 128 bytes of head (where the next block is, or 0), 511 entries
 *   ...    pixels, and more blocks, in the order in which they came; all of them at multiples of 128
 *
 * Pixels are written before their entry, a block before the one before it names it. They are read by pread, not by a
 * map: a file that another process cuts short would end a map's reader in SIGBUS. They are not compressed: zstd at
 * level 1 saves a sixth of a photograph (`zstd -b1 -B900000` on the cache of 128 of them: 1.20 times fewer bytes) and
 * costs milliseconds, where JPEG costs three. A disk is never filled to its end: checkpoints go there, too. */
#include "image_cache.h"

#include "image_cache_table.h"
#include "image_io.h"
#include "darknet_plugin/base/file_at.h"
#include "darknet_plugin/base/key_text.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/out_file.h"
#include "darknet_plugin/base/path.h"
#include "weights_tools/file/weights_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zlib.h>

#define MAGIC "darknet-distill images 1\n"
enum { HEADER = 4096, UNIT = 128, ENTRIES = 512, BLOCK_BYTES = UNIT * ENTRIES };
enum { MARK = 0x47414d49, BLOCK_MARK = 0x4b434c42 };
static const double SPARE = 2e8;         /* bytes of a disk that are left to others */

_Static_assert(sizeof(image_entry) == UNIT, "an entry's size is the file's");

/* The first of a block's entries. */
typedef struct block_head {
    uint64_t next;                       /* where the next block is; 0: this is the last */
    uint64_t zeros[UNIT / 8 - 2];
    uint32_t crc, mark;                  /* of all before */
} block_head;

struct image_cache {
    char *path;                          /* owned */
    int fd;                              /* -1: there is no file */
    pthread_mutex_t lock;                /* guards all below */
    image_table table;
    image_cache_count count;
    uint64_t end;                        /* of the file, as far as we know */
    uint64_t block;                      /* where the last block is */
    int used;                            /* entries of it, its head among them */
    int writes;
    const char *trouble;                 /* why nothing is stored any more, until it was said */
};

static uint64_t rounded(uint64_t n) { return (n + UNIT - 1) / UNIT * UNIT; }
static uint32_t crc_of(const void *data, size_t n) { return (uint32_t)crc32_z(0, data, n); }
static uint32_t entry_crc(const image_entry *entry) { return crc_of(entry, offsetof(image_entry, crc)); }
static uint32_t head_crc(const block_head *head) { return crc_of(head, offsetof(block_head, crc)); }

/* ---- opening ---- */

static int trouble(const image_cache *cache, const char *what, diag *d)
{
    diag_error(d, cache->path, 0, NULL, "%s: %s", what, strerror(errno));
    return -1;
}

static char *key(void)
{
    return mem_printf("decoder=%s, %s\n", image_io_version(), image_decode_version());
}

/* An empty block at the file's end; 0, or -1 with errno. */
static int write_block(image_cache *cache)
{
    uint64_t at = rounded(cache->end);
    block_head head = { .mark = BLOCK_MARK }, before = { .next = at, .mark = BLOCK_MARK };
    head.crc = head_crc(&head);
    before.crc = head_crc(&before);
    char *zeros = mem_calloc(BLOCK_BYTES, 1);
    memcpy(zeros, &head, sizeof head);
    int failed = file_write_at(cache->fd, zeros, BLOCK_BYTES, at);
    free(zeros);
    if (failed || (cache->block && file_write_at(cache->fd, &before, sizeof before, cache->block))) return -1;
    cache->block = at;
    cache->used = 1;
    cache->end = at + BLOCK_BYTES;
    return 0;
}

/* A new one: the header, then a block. Who is killed in between leaves less than both, and the next begins again. */
static int make_file(image_cache *cache, diag *d)
{
    char header[HEADER] = MAGIC, *text = key();
    strncat(header, text, sizeof header - sizeof MAGIC);
    free(text);
    cache->end = HEADER;
    if (!file_write_at(cache->fd, header, HEADER, 0) && !write_block(cache)) return 0;
    (void)trouble(cache, "cannot be written", d);
    return ftruncate(cache->fd, 0) - 1;
}

/* Is it a cache, of this version and of this decoder? */
static int check_header(const image_cache *cache, diag *d)
{
    char header[HEADER + 1] = "", *want = key();
    if (file_read_at(cache->fd, header, HEADER, 0)) header[0] = 0;
    const char *has = header + strlen(MAGIC), *wanted = want;
    key_difference k;
    int magic = !strncmp(header, MAGIC, strlen(MAGIC)), differs = magic ? key_next_difference(&has, &wanted, &k) : 0;
    if (!magic) diag_error(d, cache->path, 0, NULL, "is not an image cache");
    else if (differs > 0)
        diag_error(d, cache->path, 0, NULL, "was made with %.*s, this program has %.*s", k.has_length, k.has,
                   k.want_length, k.want);
    else if (differs < 0) diag_error(d, cache->path, 0, NULL, "was made by another version of this program");
    if (differs) diag_hint(d, "name another file, or remove this one");
    free(want);
    return magic && !differs ? 0 : -1;
}

/* Is there an image where the entry says, of the size that it says? */
static int is_sound(const image_cache *cache, const image_entry *entry)
{
    char why[200];
    if (entry->mark != MARK || entry->crc != entry_crc(entry) || !entry->print.hash) return 0;
    if (entry->channels != 1 && entry->channels != 3) return 0;
    if (image_check_size(entry->w, entry->h, why, sizeof why)) return 0;
    uint64_t bytes = (uint64_t)entry->w * entry->h * entry->channels;
    return entry->at % UNIT == 0 && entry->at >= HEADER + BLOCK_BYTES && entry->at <= cache->end &&
           bytes <= cache->end - entry->at;
}

/* All entries of one block; *next is where the next one is. */
static int read_block(image_cache *cache, image_entry *block, uint64_t *next)
{
    block_head head;
    if (file_read_at(cache->fd, block, BLOCK_BYTES, cache->block)) return -1;
    memcpy(&head, block, sizeof head);
    if (head.mark != BLOCK_MARK || head.crc != head_crc(&head) || (head.next && head.next <= cache->block)) return -1;
    cache->used = 1;
    for (int i = 1; i < ENTRIES; ++i) {
        if (block[i].mark) cache->used = i + 1;
        if (!is_sound(cache, &block[i])) continue;
        image_table_add(&cache->table, &block[i]);
        ++cache->count.images;
    }
    *next = head.next;
    return 0;
}

/* All blocks, each further back in the file than the one before. */
static int read_blocks(image_cache *cache, diag *d)
{
    image_entry *block = mem_calloc(1, BLOCK_BYTES);
    uint64_t next = HEADER;
    int failed = 0;
    while (next && !failed) {
        cache->block = next;
        failed = read_block(cache, block, &next);
    }
    free(block);
    if (!failed) return 0;
    diag_error(d, cache->path, 0, NULL, "was cut, or is damaged at byte %llu", (unsigned long long)cache->block);
    diag_hint(d, "remove it; it will be made again");
    return -1;
}

/* What is there: nothing yet, the beginning of one that was never finished, or a cache. */
static int open_contents(image_cache *cache, diag *d)
{
    struct stat st;
    if (fstat(cache->fd, &st)) return trouble(cache, "cannot be read", d);
    if (!S_ISREG(st.st_mode)) {
        diag_error(d, cache->path, 0, NULL, "is not a regular file");
        return -1;
    }
    cache->end = (uint64_t)st.st_size;
    if (st.st_size && check_header(cache, d)) return -1;
    if (cache->end >= HEADER + BLOCK_BYTES) return read_blocks(cache, d);
    return cache->writes ? make_file(cache, d) : 0;
}

/* A folder that is not there yet is made, as those of checkpoints are. */
static int own_file(const char *path, diag *d)
{
    char *folder = path_folder(path);
    int failed = *folder ? weights_make_folder(folder, d) : 0;
    free(folder);
    return failed || out_file_own(&path, 1, d);
}

/* Who may not write, or finds it being written, reads only. */
static int open_file(image_cache *cache, diag *d)
{
    int only = cache->writes ? O_RDWR | O_CREAT : O_RDONLY;
    if (cache->writes && own_file(cache->path, d)) return -1;
    cache->fd = open(cache->path, O_CLOEXEC | O_NONBLOCK | only, 0666);
    if (cache->fd < 0 && (errno == EACCES || errno == EROFS)) {
        cache->fd = open(cache->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        cache->writes = 0;
    }
    if (cache->fd < 0 && errno == ENOENT && !cache->writes) return 0;
    if (cache->fd < 0) return trouble(cache, "cannot be opened", d);
    if (cache->writes && flock(cache->fd, LOCK_EX | LOCK_NB)) {
        diag_warn(d, cache->path, 0, NULL, "another process is filling it; what is missing is decoded and not stored");
        cache->writes = 0;
    }
    return open_contents(cache, d);
}

image_cache *image_cache_open(const char *path, int writes, diag *d)
{
    image_cache *cache = mem_calloc(1, sizeof *cache);
    cache->path = mem_strdup(path);
    cache->fd = -1;
    cache->writes = writes;
    pthread_mutex_init(&cache->lock, NULL);
    if (!open_file(cache, d)) return cache;
    image_cache_close(cache);
    return NULL;
}

void image_cache_close(image_cache *cache)
{
    if (!cache) return;
    if (cache->fd >= 0) close(cache->fd);
    pthread_mutex_destroy(&cache->lock);
    image_table_free(&cache->table);
    free(cache->path);
    free(cache);
}

/* ---- reading ---- */

int image_cache_know(image_cache *cache, data_print *print)
{
    pthread_mutex_lock(&cache->lock);
    const image_entry *entry = image_table_agreeing(&cache->table, print);
    if (entry) print->hash = entry->print.hash;
    pthread_mutex_unlock(&cache->lock);
    return entry != NULL;
}

/* A copy of the entry, since others add to the table. */
static int find(image_cache *cache, uint64_t hash, image_kind kind, image_entry *entry)
{
    pthread_mutex_lock(&cache->lock);
    const image_entry *there = image_table_of(&cache->table, hash, kind);
    if (there) *entry = *there;
    else ++cache->count.missed;
    pthread_mutex_unlock(&cache->lock);
    return there != NULL;
}

/* NULL where they are not what they were. */
static uint8_t *read_pixels(const image_cache *cache, const image_entry *entry)
{
    size_t n = (size_t)entry->w * entry->h * entry->channels;
    uint8_t *pixels = malloc(n);
    if (pixels && !file_read_at(cache->fd, pixels, n, entry->at) && data_hash(pixels, n) == entry->hash) return pixels;
    free(pixels);
    return NULL;
}

/* Counts a reading; what is damaged is forgotten, and may be stored again. */
static void count_reading(image_cache *cache, const image_entry *entry, image_kind kind, int good)
{
    pthread_mutex_lock(&cache->lock);
    image_entry *there = image_table_of(&cache->table, entry->print.hash, kind);
    if (good) ++cache->count.read;
    else ++cache->count.missed;
    if (!good && there && there->at == entry->at) {
        there->channels = 0;             /* no kind has none */
        --cache->count.images;
        ++cache->count.damaged;
    }
    pthread_mutex_unlock(&cache->lock);
}

int image_cache_get(image_cache *cache, const data_print *print, image_kind kind, image_pixels *out)
{
    image_entry entry;
    if (!print->hash || !find(cache, print->hash, kind, &entry)) return 0;
    out->pixels = read_pixels(cache, &entry);
    out->w = (int)entry.w;
    out->h = (int)entry.h;
    count_reading(cache, &entry, kind, out->pixels != NULL);
    return out->pixels != NULL;
}

image_cache_count image_cache_counts(image_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    image_cache_count count = cache->count;
    count.bytes = cache->end;
    pthread_mutex_unlock(&cache->lock);
    return count;
}

/* ---- storing ---- */

/* Nothing is stored any more. Under the lock. */
static void give_up(image_cache *cache, const char *why)
{
    cache->writes = 0;
    cache->trouble = why;
}

void image_cache_trouble(image_cache *cache, diag *d)
{
    pthread_mutex_lock(&cache->lock);
    const char *why = cache->trouble;
    cache->trouble = NULL;
    pthread_mutex_unlock(&cache->lock);
    if (!why) return;
    diag_warn(d, cache->path, 0, NULL, "cannot be written any more: %s; the rest is decoded and not stored", why);
}

/* Is there room for n bytes, and some left? */
static int has_room(const image_cache *cache, size_t n)
{
    struct statvfs v;
    return fstatvfs(cache->fd, &v) || (double)v.f_bavail * (double)v.f_frsize >= (double)n + SPARE;
}

/* Room in the file for n bytes, and for their entry; 0, or -1: nothing is to be stored. */
static int reserve(image_cache *cache, const image_entry *entry, size_t n, uint64_t *at, uint64_t *entry_at)
{
    image_kind kind = { (int)entry->channels, (int)entry->side };
    pthread_mutex_lock(&cache->lock);
    int wanted = cache->writes && !image_table_of(&cache->table, entry->print.hash, kind);
    if (wanted && !has_room(cache, n)) give_up(cache, "its disk is nearly full");
    else if (wanted && cache->used == ENTRIES && write_block(cache)) give_up(cache, strerror(errno));
    wanted &= cache->writes;
    if (wanted) {
        *at = rounded(cache->end);
        *entry_at = cache->block + (uint64_t)cache->used++ * UNIT;
        cache->end = *at + n;
    }
    pthread_mutex_unlock(&cache->lock);
    return wanted ? 0 : -1;
}

void image_cache_put(image_cache *cache, const data_print *print, image_kind kind, const image_pixels *image)
{
    size_t n = (size_t)image->w * (size_t)image->h * (size_t)kind.channels;
    uint64_t entry_at;
    image_entry entry = { .print = *print, .w = (uint32_t)image->w, .h = (uint32_t)image->h, .mark = MARK,
                          .channels = (uint32_t)kind.channels, .side = (uint32_t)kind.side };
    if (!print->hash || reserve(cache, &entry, n, &entry.at, &entry_at)) return;
    entry.hash = data_hash(image->pixels, n);
    entry.crc = entry_crc(&entry);
    int failed = file_write_at(cache->fd, image->pixels, n, entry.at) ||
                 file_write_at(cache->fd, &entry, sizeof entry, entry_at);
    int problem = errno;
    pthread_mutex_lock(&cache->lock);
    if (failed) {
        if (cache->writes) give_up(cache, strerror(problem));
    } else {
        image_table_add(&cache->table, &entry);
        ++cache->count.images;
    }
    pthread_mutex_unlock(&cache->lock);
}
