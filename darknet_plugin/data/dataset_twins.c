/* Images of one set that are in another, too (see dataset.h): an accuracy measured on what was trained on says little.
 *
 * Files are the same where their bytes are: sizes first, which cost no reading, then hashes of those that agree in
 * size with one of the other set. Images in memory are the same where their pixels are. A picture that was saved
 * anew, or scaled, is another one here. */
#include "dataset_internal.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/words.h"

#include <stdlib.h>
#include <sys/stat.h>

enum { SHOWN = 5 };

typedef struct twin_entry {
    const dataset *set;
    size_t image;
    int second;                  /* of which set: 0 or 1 */
    uint64_t bytes, hash;        /* hash 0: not known, or unreadable */
} twin_entry;

typedef struct twin_entries {
    twin_entry *entry;           /* n, owned */
    size_t n;
} twin_entries;

static int by_content(const void *left, const void *right)
{
    const twin_entry *a = left, *b = right;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1;
    if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
    if (a->second != b->second) return a->second - b->second;
    return a->image < b->image ? -1 : a->image > b->image;
}

/* Of a file its size; of pixels their hash, too. */
static void add_set(twin_entries *all, const dataset *set, int second)
{
    size_t pixels = (size_t)set->w * (size_t)set->h * (size_t)set->c;
    for (size_t i = 0; i < set->count; ++i) {
        twin_entry entry = { .set = set, .image = i, .second = second, .bytes = pixels };
        struct stat st;
        if (set->pixels) entry.hash = data_hash(set->pixels + i * pixels, pixels);
        else if (set->left_out[i] == DATA_NO_IMAGE || stat(set->path[i], &st)) continue;
        else entry.bytes = (uint64_t)st.st_size;
        all->entry[all->n++] = entry;
    }
}

/* The end of the run of entries from `from` on that are equal: in size, or in hash, too. */
static size_t run_end(const twin_entries *all, size_t from, int hash)
{
    size_t to = from + 1;
    while (to < all->n && all->entry[to].bytes == all->entry[from].bytes &&
           (!hash || all->entry[to].hash == all->entry[from].hash))
        ++to;
    return to;
}

/* Are both sets in that run? */
static int has_both(const twin_entries *all, size_t from, size_t to)
{
    int seen = 0;
    for (size_t i = from; i < to; ++i) seen |= 1 << all->entry[i].second;
    return seen == 3;
}

static void read_hash(twin_entry *entry)
{
    data_print print = dataset_print(entry->set, entry->image);
    if (!print.hash && data_print_read(entry->set->path[entry->image], &print)) print.hash = 0;
    entry->hash = print.hash;
}

/* Reads the files that could be twins; not one of them where they are more than `most` bytes. */
static void read_candidates(twin_entries *all, uint64_t most)
{
    uint64_t bytes = 0;
    for (int reading = 0; reading < 2 && bytes <= most; ++reading)
        for (size_t i = 0, to; i < all->n; i = to) {
            to = run_end(all, i, 0);
            if (!has_both(all, i, to)) continue;
            for (size_t k = i; k < to && reading; ++k) read_hash(&all->entry[k]);
            bytes += reading ? 0 : all->entry[i].bytes * (to - i);
        }
}

static void name_twin(const twin_entry *entry, const twin_entry *of, char **names, int *words)
{
    char one[1024], other[1024];
    char *pair = mem_printf("%s = %s", dataset_name(entry->set, entry->image, one, sizeof one),
                            dataset_name(of->set, of->image, other, sizeof other));
    words_list(names, words, SHOWN, pair);
    free(pair);
}

/* Each entry of the second set that one of the first equals. */
static size_t count_twins(const twin_entries *all, char **names)
{
    size_t n = 0;
    int words = 0;
    for (size_t i = 0, to; i < all->n; i = to) {
        to = run_end(all, i, 1);
        if (!all->entry[i].hash || all->entry[i].second) continue;
        for (size_t k = i; k < to; ++k) {
            if (!all->entry[k].second) continue;
            name_twin(&all->entry[k], &all->entry[i], names, &words);
            ++n;
        }
    }
    return n;
}

size_t dataset_twins(const dataset *set, const dataset *other, uint64_t most, char **names)
{
    *names = NULL;
    if (!set->pixels != !other->pixels || (!set->pixels && (!set->path || !other->path))) return 0;
    if (set->pixels && (set->w != other->w || set->h != other->h || set->c != other->c)) return 0;
    twin_entries all = { .entry = mem_calloc(set->count + other->count, sizeof *all.entry) };
    add_set(&all, other, 0);
    add_set(&all, set, 1);
    qsort(all.entry, all.n, sizeof *all.entry, by_content);
    if (!set->pixels) {
        read_candidates(&all, most);
        qsort(all.entry, all.n, sizeof *all.entry, by_content);
    }
    size_t n = count_twins(&all, names);
    free(all.entry);
    return n;
}
