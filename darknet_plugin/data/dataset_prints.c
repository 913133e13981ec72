/* What files held (see dataset_prints.h and dataset.h). */
#include "dataset_internal.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/words.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 16, SHOWN = 3 };
static const int64_t SECOND = 1000000000, TICK = 20000000;   /* ns; kernels stamp files every 1 to 10 ms */

/* ---- hashes ---- */

/* Each word is mixed in by steps that can be undone, so that a changed word always changes the result. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9fb21c651e98df25u;
    return hash ^ hash >> 32;
}

/* n is a multiple of 8 but at the end. */
static uint64_t hash_more(uint64_t hash, const unsigned char *bytes, size_t n)
{
    uint64_t word;
    for (; n >= sizeof word; n -= sizeof word, bytes += sizeof word) {
        memcpy(&word, bytes, sizeof word);
        hash = mix(hash, word);
    }
    word = 0;
    memcpy(&word, bytes, n);
    return n ? mix(hash, word) : hash;
}

static uint64_t hash_end(uint64_t hash, size_t n)
{
    hash = mix(hash, n);
    return hash ? hash : 1;
}

uint64_t data_hash(const void *bytes, size_t n) { return hash_end(hash_more(0, bytes, n), n); }

/* ---- prints ---- */

static int64_t nanoseconds(const struct timespec *time) { return time->tv_sec * SECOND + time->tv_nsec; }

data_print data_print_of(const struct stat *st)
{
    struct timespec clock;
    int64_t now = clock_gettime(CLOCK_REALTIME, &clock) ? 0 : nanoseconds(&clock);
    data_print print = { .inode = st->st_ino, .bytes = (uint64_t)st->st_size, .modified = nanoseconds(&st->st_mtim),
                         .changed = nanoseconds(&st->st_ctim) };
    if (now - print.modified < TICK || now - print.changed < TICK) print.inode = 0;
    return print;
}

int data_print_agrees(const data_print *one, const data_print *other)
{
    return one->inode && one->inode == other->inode && one->bytes == other->bytes &&
           one->modified == other->modified && one->changed == other->changed;
}

/* All of an open file. */
static int hash_file(int fd, data_print *print)
{
    unsigned char *piece = mem_calloc(PIECE, 1);
    uint64_t hash = 0;
    size_t all = 0, held = 0;
    ssize_t got;
    while ((got = read(fd, piece + held, PIECE - held)) > 0) {
        held += (size_t)got;
        all += (size_t)got;
        size_t whole = held / 8 * 8;
        hash = hash_more(hash, piece, whole);
        held -= whole;
        memmove(piece, piece + whole, held);
    }
    print->hash = hash_end(hash_more(hash, piece, held), all);
    free(piece);
    return got < 0 ? -1 : 0;
}

int data_print_read(const char *path, data_print *print)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int failed = fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode);
    if (!failed) {
        *print = data_print_of(&st);
        failed = hash_file(fd, print);
        data_print after = fstat(fd, &st) ? (data_print){ 0 } : data_print_of(&st);
        if (!data_print_agrees(print, &after)) print->inode = 0;
    }
    if (fd >= 0) close(fd);
    return failed ? -1 : 0;
}

/* ---- those of a set ---- */

data_prints *data_prints_new(size_t n)
{
    data_prints *prints = mem_calloc(1, sizeof *prints);
    prints->print = mem_calloc(n, sizeof *prints->print);
    prints->n = n;
    pthread_mutex_init(&prints->lock, NULL);
    return prints;
}

void data_prints_free(data_prints *prints)
{
    if (!prints) return;
    pthread_mutex_destroy(&prints->lock);
    free(prints->print);
    free(prints);
}

int data_prints_met(data_prints *prints, size_t i, const data_print *print)
{
    pthread_mutex_lock(&prints->lock);
    uint64_t before = prints->print[i].hash;
    int differs = before && before != print->hash;
    if (!differs) prints->print[i] = *print;
    pthread_mutex_unlock(&prints->lock);
    return differs ? -1 : 0;
}

int data_prints_know(data_prints *prints, size_t i, data_print *print)
{
    pthread_mutex_lock(&prints->lock);
    int known = prints->print[i].hash && data_print_agrees(&prints->print[i], print);
    if (known) print->hash = prints->print[i].hash;
    pthread_mutex_unlock(&prints->lock);
    return known;
}

size_t dataset_prints(const dataset *set) { return set->prints ? set->prints->n : 0; }

data_print dataset_print(const dataset *set, size_t i)
{
    data_print print = { 0 };
    if (i >= dataset_prints(set)) return print;
    pthread_mutex_lock(&set->prints->lock);
    print = set->prints->print[i];
    pthread_mutex_unlock(&set->prints->lock);
    return print;
}

/* ---- those that were kept ---- */

static int is_left_out(const dataset *set, size_t i) { return set->left_out && set->left_out[i] != DATA_USED; }

static int agrees_now(const char *path, const data_print *kept)
{
    struct stat st;
    if (stat(path, &st)) return 0;
    data_print now = data_print_of(&st);
    return data_print_agrees(kept, &now);
}

/* Does image i hold what it held? What it holds now is noted. */
static int holds_still(const dataset *set, size_t i, const data_print *kept)
{
    data_print now = dataset_print(set, i);
    if (now.hash) return now.hash == kept->hash;
    if (agrees_now(set->path[i], kept)) now = *kept;
    else if (data_print_read(set->path[i], &now)) return 0;
    (void)data_prints_met(set->prints, i, &now);
    return now.hash == kept->hash;
}

char *dataset_trust(const dataset *set, const data_print *kept, size_t n)
{
    size_t differ = 0, all = dataset_prints(set);
    char *names = NULL, *text = NULL;
    int words = 0;
    for (size_t i = 0; i < n && i < all; ++i) {
        if (!kept[i].hash || is_left_out(set, i) || holds_still(set, i, &kept[i])) continue;
        words_list(&names, &words, SHOWN, set->path[i]);
        ++differ;
    }
    if (differ) text = mem_printf("%zu of %zu images hold something else now: %s", differ, all, names);
    free(names);
    return text;
}

int dataset_untouched(const dataset *set, const data_print *kept, size_t n)
{
    size_t all = dataset_prints(set);
    for (size_t i = 0; i < n && i < all; ++i) {
        data_print known = dataset_print(set, i);
        if (!kept[i].hash || is_left_out(set, i)) continue;
        if (known.hash ? known.hash != kept[i].hash : !agrees_now(set->path[i], &kept[i])) return 0;
    }
    return 1;
}
