/* A teacher with fewer repeated blocks (see init.h).
 *
 * A block is some sections in a row that come again at once, equal but for the numbers of the layers they read, and
 * those are equal counted from the section: the residual blocks of a stage. Of `n` in a row ceil(n * depth) stay, the
 * first ones; who read a layer of one that goes reads the same layer of the last that stays. Rows that cover most
 * layers are looked for first, so that a stage is cut into its blocks and not across them. A block that changes the
 * map's size, reads further up than the layer before it, has no convolution or is part of an answer is none. */
#include "init_internal.h"

#include "darknet_plugin/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 64 };               /* layers of a block that is looked for */

/* Some blocks in a row. */
typedef struct row {
    int start, length, times;        /* first layer, layers a block, how many blocks */
} row;

typedef struct search {
    const init_net *net;
    int *kind;                       /* layers of one kind are alike */
    char *taken;                     /* part of an answer, or of a row that has been found */
    int *stands;                     /* the layer that stays for each; itself for those that stay */
} search;

/* The same numbers, counted from the section? */
static int same_numbers(const cfg_section *one, const cfg_section *other, const char *key)
{
    int *a, *b, n = cfg_ints(one, key, &a), m = cfg_ints(other, key, &b), same = n == m;
    for (int i = 0; same && i < n; ++i)
        same = init_meant(one, a[i]) - one->index == init_meant(other, b[i]) - other->index;
    free(a);
    free(b);
    return same;
}

/* Equal, their numbers counted from each? */
static int are_alike(const cfg_section *one, const cfg_section *other)
{
    const char *key = lower_reader_key(one);
    if (strcmp(one->name, other->name) || one->n != other->n) return 0;
    for (int i = 0; i < one->n; ++i) {
        const char *name = one->pair[i].key, *value = cfg_str(other, name, NULL);
        if (key && !strcmp(name, key)) {
            if (!same_numbers(one, other, key)) return 0;
        } else if (!value || strcmp(one->pair[i].value, value)) {
            return 0;
        }
    }
    return 1;
}

/* Gives each layer the number of the first that is like it. */
static void find_kinds(search *search)
{
    const init_net *net = search->net;
    for (int i = 0; i < net->shape->n; ++i) {
        int k = 0;
        while (k < i && (search->kind[k] != k || !are_alike(cfg_layer(net->cfg, k), cfg_layer(net->cfg, i)))) ++k;
        search->kind[i] = k;
    }
}

/* Has a block a convolution, and does it read nothing further up than the layer before it? */
static int is_whole(const search *search, const row *row)
{
    int convolutions = 0;
    for (int i = row->start; i < row->start + row->length; ++i) {
        const cfg_section *section = cfg_layer(search->net->cfg, i);
        const char *key = lower_reader_key(section);
        int *number, n = key ? cfg_ints(section, key, &number) : 0;
        convolutions += cfg_is(section, "convolutional");
        for (int k = 0; k < n; ++k)
            if (init_meant(section, number[k]) < row->start - 1) convolutions = -row->length;
        if (key) free(number);
    }
    return convolutions > 0;
}

/* Does a block leave the map's size as it is? */
static int keeps_size(const search *search, const row *row)
{
    const net_shape *shape = search->net->shape;
    const layer_shape *first = &shape->layer[row->start], *end = first + row->length - 1;
    return end->c > 0 && first->in_h == end->h && first->in_w == end->w;
}

/* Fills in, for each layer, how many from it on are like those `length` further down, and are free. */
static void compare(const search *search, int length, int *same)
{
    int n = search->net->shape->n;
    same[n - length] = 0;
    for (int i = n - length - 1; i >= 0; --i) {
        int alike = search->kind[i] == search->kind[i + length] && !search->taken[i] && !search->taken[i + length];
        same[i] = alike ? same[i + 1] + 1 : 0;
    }
}

/* The row that covers most layers, of those the one of the shortest blocks; times 0: there is none. */
static row find_row(const search *search)
{
    row best = { .times = 0 };
    int n = search->net->shape->n, *same = mem_calloc((size_t)n + 1, sizeof *same);
    for (int length = 1; length <= n / 2 && length <= LONGEST; ++length) {
        compare(search, length, same);
        for (int start = 0; start + 2 * length <= n; ++start) {
            row now = { start, length, 1 + same[start] / length };
            if (now.times < 2 || length * now.times <= best.length * best.times) continue;
            if (is_whole(search, &now) && keeps_size(search, &now)) best = now;
        }
    }
    free(same);
    return best;
}

/* The last blocks of a row are stood for by the last one that stays. */
static void shorten(search *search, const row *row, double depth)
{
    int stay = (int)ceil(row->times * depth - 1e-9);
    for (int i = 0; i < row->length * row->times; ++i) {
        int block = i / row->length, kept = block < stay ? block : stay - 1;
        search->taken[row->start + i] = 1;
        search->stands[row->start + i] = row->start + kept * row->length + i % row->length;
    }
}

/* Writes what a section reads by the new numbers. */
static void renumber(const search *search, const int *number, const cfg_section *section, cfg_section *copy)
{
    const char *key = lower_reader_key(section);
    int *read, n = key ? cfg_ints(section, key, &read) : 0;
    if (!n) return;
    for (int i = 0; i < n; ++i) {
        int layer = number[search->stands[init_meant(section, read[i])]];
        read[i] = read[i] < 0 ? layer - number[section->index] : layer;
    }
    cfg_set_ints(copy, key, read, n);
    free(read);
}

/* The layers that stay. */
static cfg_file *without(const search *search)
{
    const cfg_file *cfg = search->net->cfg;
    cfg_file *out = cfg_new(cfg->path);
    int next = 0, *number = mem_calloc((size_t)search->net->shape->n + 1, sizeof *number);
    for (int i = 0; i < search->net->shape->n; ++i) number[i] = search->stands[i] == i ? next++ : -1;
    for (int i = 0; i < cfg->n; ++i) {
        const cfg_section *section = &cfg->section[i];
        if (section->index >= 0 && number[section->index] < 0) continue;
        cfg_section *copy = cfg_append_copy(out, section);
        if (section->index >= 0) renumber(search, number, section, copy);
    }
    free(number);
    return out;
}

cfg_file *init_shallower(const init_net *teacher, double depth, diag *d)
{
    size_t n = (size_t)teacher->shape->n;
    if (depth >= 1) return cfg_copy(teacher->cfg);
    search search = { .net = teacher, .kind = mem_calloc(n + 1, sizeof *search.kind),
                      .taken = mem_calloc(n + 1, 1), .stands = mem_calloc(n + 1, sizeof *search.stands) };
    for (int i = 0; i < teacher->shape->n; ++i) search.stands[i] = i;
    find_kinds(&search);
    init_mark_answers(teacher, search.taken);
    int rows = 0;
    for (row row = find_row(&search); row.times; row = find_row(&search), ++rows) shorten(&search, &row, depth);
    if (!rows)
        diag_warn(d, teacher->cfg->path, 0, NULL, "has no repeated blocks: -depth %g changes nothing", depth);
    cfg_file *cfg = without(&search);
    free(search.kind);
    free(search.taken);
    free(search.stands);
    return cfg;
}
