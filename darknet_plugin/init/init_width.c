/* A teacher with fewer filters (see init.h).
 *
 * Every layer that has filters gets width * filters of them, to the nearest multiple of 8, at least 8 and never more
 * than the teacher's. Depthwise convolutions stay depthwise; other groups become the largest number that still divides.
 * Where the teacher adds or multiplies maps of equally many channels the student's are equal, too: the convolution that
 * made one of them is given the other's number; what is parted by groups is made a multiple of them. What belongs to an
 * answer stays as it is: the teacher's takes its place. */
#include "init_internal.h"

#include "darknet_plugin/base/mem.h"

#include <limits.h>
#include <stdlib.h>

enum { MULTIPLE = 8, ROUNDS = 16 };

typedef struct narrowing {
    const init_net *net;
    double width;
    char *stays;                     /* layers of answers */
    int *filters;                    /* the student's, of layers that have some; 0: none */
    int *channels;                   /* of each of the student's layers */
    int changed;                     /* in this round */
} narrowing;

static int has_filters(const cfg_section *section)
{
    return cfg_is(section, "convolutional") || cfg_is(section, "deconvolutional") || cfg_is(section, "local");
}

static const cfg_section *at(const narrowing *now, int i) { return cfg_layer(now->net->cfg, i); }
static const layer_shape *shape_of(const narrowing *now, int i) { return &now->net->shape->layer[i]; }
static int before(const narrowing *now, int i) { return i ? now->channels[i - 1] : now->net->shape->c; }

static int is_depthwise(const narrowing *now, int i)
{
    int groups = cfg_int(at(now, i), "groups", 1);
    return cfg_is(at(now, i), "convolutional") && groups > 1 && groups == shape_of(now, i)->in_c;
}

static int narrowed(const narrowing *now, int filters)
{
    int rounded = (int)(filters * now->width / MULTIPLE + .5) * MULTIPLE;
    if (rounded < MULTIPLE) rounded = MULTIPLE;
    return rounded < filters ? rounded : filters;
}

/* The layer that section i reads by number; the first of several. */
static int named_layer(const narrowing *now, int i)
{
    int *number, n = cfg_ints(at(now, i), lower_reader_key(at(now, i)), &number);
    int layer = n ? init_meant(at(now, i), number[0]) : -1;
    free(number);
    return layer;
}

/* All that a [route] joins. */
static int joined(const narrowing *now, int i)
{
    const cfg_section *section = at(now, i);
    int *number, n = cfg_ints(section, "layers", &number), groups = cfg_int(section, "groups", 1);
    int64_t sum = 0;
    for (int k = 0; k < n; ++k) sum += now->channels[init_meant(section, number[k])] / groups;
    free(number);
    return sum < INT_MAX ? (int)sum : INT_MAX;
}

static int product(int one, int other)
{
    int64_t all = (int64_t)one * other;
    return all < INT_MAX ? (int)all : INT_MAX;
}

/* The student's channels behind layer i: as many times its input's as the teacher's are. */
static int channels_behind(const narrowing *now, int i)
{
    const cfg_section *section = at(now, i);
    const layer_shape *shape = shape_of(now, i);
    if (now->filters[i]) return now->filters[i];
    if (cfg_is(section, "route")) return joined(now, i);
    if (cfg_is(section, "scale_channels") || cfg_is(section, "sam")) return now->channels[named_layer(now, i)];
    if (!shape->c || !shape->in_c) return shape->c;
    if (shape->c < shape->in_c) return before(now, i) / (shape->in_c / shape->c);
    return product(before(now, i), shape->c / shape->in_c);
}

/* The layer whose filters are the channels behind layer i; -1: no single one's are. */
static int maker(const narrowing *now, int i)
{
    while (i >= 0) {
        const cfg_section *section = at(now, i);
        if (now->stays[i]) return -1;
        if (now->filters[i] && !is_depthwise(now, i)) return i;
        if (cfg_is(section, "route")) {
            int alone = joined(now, i) == now->channels[named_layer(now, i)];
            if (!alone) return -1;
            i = named_layer(now, i);
        } else if (shape_of(now, i)->c == shape_of(now, i)->in_c) {
            --i;
        } else {
            return -1;
        }
    }
    return -1;
}

static void give(narrowing *now, int layer, int filters)
{
    if (now->filters[layer] == filters) return;
    now->filters[layer] = filters;
    now->changed = 1;
}

/* Layers i - 1 and `other` are to have equally many channels where the teacher's do. */
static void make_equal(narrowing *now, int i, int other)
{
    if (i < 1 || now->channels[i - 1] == now->channels[other] || shape_of(now, i)->in_c != shape_of(now, other)->c)
        return;
    int ours = maker(now, i - 1), theirs = maker(now, other);
    if (ours >= 0) give(now, ours, now->channels[other]);
    else if (theirs >= 0) give(now, theirs, now->channels[i - 1]);
}

/* What a [route] with groups= reads is to be a multiple of them. */
static void make_divisible(narrowing *now, int i, int layer)
{
    int groups = cfg_int(at(now, i), "groups", 1), made = maker(now, layer), over = now->channels[layer] % groups;
    if (over && made >= 0) give(now, made, now->channels[layer] + groups - over);
}

/* What joins maps, once. */
static void mend(narrowing *now, int i)
{
    const cfg_section *section = at(now, i);
    const char *key = lower_reader_key(section);
    int *number, n = key ? cfg_ints(section, key, &number) : 0;
    for (int k = 0; k < n; ++k) {
        if (cfg_is(section, "route")) make_divisible(now, i, init_meant(section, number[k]));
        else if (!cfg_int(section, "scale_wh", 0)) make_equal(now, i, init_meant(section, number[k]));
    }
    if (key) free(number);
}

/* All channels, until nothing has to be mended. */
static void settle(narrowing *now)
{
    int n = now->net->shape->n;
    now->changed = 1;
    for (int round = 0; now->changed && round < ROUNDS; ++round) {
        now->changed = 0;
        for (int i = 0; i < n; ++i) {
            int times = is_depthwise(now, i) ? cfg_int(at(now, i), "filters", 1) / cfg_int(at(now, i), "groups", 1) : 0;
            if (times && !now->stays[i]) now->filters[i] = product(before(now, i), times);
            now->channels[i] = channels_behind(now, i);
        }
        for (int i = 0; i < n; ++i)
            if (!now->stays[i]) mend(now, i);
    }
}

static int common_divisor(int one, int other)
{
    while (other) {
        int rest = one % other;
        one = other;
        other = rest;
    }
    return one;
}

static void write_layer(const narrowing *now, int i, cfg_section *copy)
{
    int groups = cfg_int(copy, "groups", 1);
    if (!now->filters[i] || now->stays[i]) return;
    cfg_set(copy, "filters", "%d", now->filters[i]);
    if (is_depthwise(now, i)) groups = before(now, i);
    else if (groups > 1) groups = common_divisor(groups, common_divisor(before(now, i), now->filters[i]));
    if (cfg_find(copy, "groups")) cfg_set(copy, "groups", "%d", groups);
}

static void begin(narrowing *now)
{
    const init_net *net = now->net;
    init_mark_answers(net, now->stays);
    for (int i = 0; i < net->shape->n; ++i) {
        int filters = has_filters(at(now, i)) ? shape_of(now, i)->c : 0;
        now->filters[i] = now->stays[i] ? filters : narrowed(now, filters);
        if (!filters) now->filters[i] = 0;
    }
}

/* Nothing of it can fail: what does not fit is met by those who infer its shapes. */
cfg_file *init_narrower(const init_net *teacher, double width)
{
    size_t n = (size_t)teacher->shape->n;
    cfg_file *cfg = cfg_copy(teacher->cfg);
    if (width >= 1) return cfg;
    narrowing now = { .net = teacher, .width = width, .stays = mem_calloc(n + 1, 1),
                      .filters = mem_calloc(n + 1, sizeof *now.filters),
                      .channels = mem_calloc(n + 1, sizeof *now.channels) };
    begin(&now);
    settle(&now);
    for (int i = 0; i < cfg->n; ++i)
        if (cfg->section[i].index >= 0) write_layer(&now, cfg->section[i].index, &cfg->section[i]);
    free(now.stays);
    free(now.filters);
    free(now.channels);
    return cfg;
}
