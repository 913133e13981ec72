/* Deploying: layers that only feed losses go, as dead code does in a compiler.
 *
 * Alive is what an answer of the network is computed from. Answers are the last layer, every section that answers
 * ([softmax], [yolo], ...) and every layer of a reused classifier, unless one says deploy=0 or [teachers] lets another
 * answer. From the end on, what a live layer reads is alive too. Two kinds of layers are what they read, and go
 * although they are read: a loss's stand-in, and a [route] back to the trunk whose one layer stands right before it
 * once the branch is gone.
 *
 * A training run's weights file holds what goes, too. So each layer's shape knows how many floats come before its own
 * there, and whoever reads such a file by the deployed shapes skips them (weights_file.c). */
#include "lower_build.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

typedef struct pruning {
    lower_build *build;
    char *alive;          /* per layer, owned */
    int *stands;          /* per layer: the one that is what it is, most often itself; owned */
    int *number;          /* per layer: its number once the others are gone; owned */
    net_shape *before;    /* the shape with all layers; owned */
} pruning;

/* Sections that give an answer by themselves. */
static const char *const answering[] = { "softmax", "logistic", "yolo", "Gaussian_yolo", "region", "detection",
                                        "iseg", NULL };

static int answers(const cfg_section *section)
{
    for (const char *const *name = answering; *name; ++name)
        if (cfg_is(section, *name)) return 1;
    return 0;
}

/* The head whose tail layer i is part of; NULL for none. */
static const lower_head *head_of_tail(const lowered *low, int i)
{
    for (int k = 0; k < low->heads; ++k)
        if (low->head[k].tail >= 0 && i >= low->head[k].tail && i < low->head[k].tail + low->head[k].tails)
            return &low->head[k];
    return NULL;
}

static int is_answer(const lowered *low, int i)
{
    const lower_head *head = head_of_tail(low, i);
    if (head) return head->deploys;
    if (low->role[i] == ROLE_LABELS) return 0;
    return i == low->shape->n - 1 || answers(cfg_layer(low->cfg, i));
}

/* Marks what layer i reads. */
static void mark_read(pruning *pruning, int i)
{
    const cfg_section *section = cfg_layer(pruning->build->low->cfg, i);
    const char *key = lower_reader_key(section);
    int *from, n = key ? cfg_ints(section, key, &from) : 0;
    for (int k = 0; k < n; ++k) pruning->alive[from[k]] = 1;
    if (key) free(from);
    if (i && !cfg_is(section, "route")) pruning->alive[i - 1] = 1;
}

/* The one layer that a [route] passes on; -1 where it joins several or is none. */
static int passed_on(const cfg_section *section)
{
    int *from, n = cfg_is(section, "route") && !cfg_find(section, "groups") ? cfg_ints(section, "layers", &from) : 0;
    int one = n == 1 ? from[0] : -1;
    if (n) free(from);
    return one;
}

/* Decides who stays, and numbers them anew. */
static void choose(pruning *pruning)
{
    const lowered *low = pruning->build->low;
    int kept = 0, last = -1;
    for (int i = low->shape->n - 1; i >= 0; --i) {
        pruning->alive[i] |= (char)is_answer(low, i);
        if (pruning->alive[i]) mark_read(pruning, i);
    }
    for (int i = 0; i < low->shape->n; ++i) {
        int same = low->role[i] == ROLE_LOSS ? i - 1 : passed_on(cfg_layer(low->cfg, i));
        int gone = low->role[i] == ROLE_LOSS || (same >= 0 && same < i - 1 && pruning->stands[same] == last);
        pruning->stands[i] = gone ? pruning->stands[same] : i;
        if (gone || !pruning->alive[i]) pruning->alive[i] = 0;
        else last = i;
        pruning->number[i] = pruning->alive[i] ? kept++ : -1;
    }
}

static int new_number(const pruning *pruning, int i) { return i < 0 ? -1 : pruning->number[pruning->stands[i]]; }

/* The cfg of those that stay. */
static cfg_file *kept_cfg(const pruning *pruning)
{
    const cfg_file *whole = pruning->build->low->cfg;
    cfg_file *out = cfg_new(whole->path);
    for (int i = 0; i < whole->n; ++i) {
        int layer = whole->section[i].index;
        if (layer >= 0 && !pruning->alive[layer]) continue;
        cfg_section *section = cfg_append_copy(out, &whole->section[i]);
        const char *key = layer < 0 ? NULL : lower_reader_key(section);
        int *from, n = key ? cfg_ints(section, key, &from) : 0;
        for (int k = 0; k < n; ++k) from[k] = new_number(pruning, from[k]);
        if (n) cfg_set_ints(section, key, from, n);
        if (key) free(from);
    }
    return out;
}

static void move_marks(const pruning *pruning)
{
    lowered *low = pruning->build->low;
    for (int i = 0; i < pruning->before->n; ++i) {
        if (!pruning->alive[i]) continue;
        low->role[pruning->number[i]] = low->role[i];
        low->type[pruning->number[i]] = low->type[i];
        low->trained_as[pruning->number[i]] = low->trained_as[i];
    }
}

/* Is it, not having a classifier of its own any more, in the one that is combined? Then the number it has there is the
 * one that it gets. */
static int is_combined(lowered *low, int head, int becomes)
{
    for (int k = 0; k < low->combine.heads; ++k) {
        if (low->combine.head[k] != head) continue;
        low->combine.head[k] = becomes;
        return 1;
    }
    return 0;
}

/* Heads whose classifier is gone are heads no longer, but for those of a combined one: they have no tail. */
static void move_heads(const pruning *pruning)
{
    lowered *low = pruning->build->low;
    int kept = 0;
    for (int i = 0; i < low->heads; ++i) {
        lower_head head = low->head[i];
        int combined = is_combined(low, i, kept);
        if (!head.deploys) {
            free(head.tail_of);
            head.tail_of = NULL;
            head.tail = -1;
            head.tails = 0;
            if (!combined) continue;
        }
        head.feeds = new_number(pruning, head.feeds);
        head.pool = new_number(pruning, head.pool);
        head.projector = new_number(pruning, head.projector);
        head.tail = new_number(pruning, head.tail);
        low->head[kept++] = head;
    }
    low->heads = kept;
    if (low->combine.kind == COMBINE_LOGITS) low->combine.layer = new_number(pruning, low->combine.layer);
}

/* Tells the shapes what a training run's weights file holds besides. */
static void count_skipped(const pruning *pruning)
{
    net_shape *shape = pruning->build->low->shape;
    size_t skipped = 0;
    for (int i = 0; i < pruning->before->n; ++i) {
        if (!pruning->alive[i]) {
            skipped += pruning->before->layer[i].stored;
            continue;
        }
        shape->layer[pruning->number[i]].trained_before = skipped;
        shape->trained_before += skipped;
        skipped = 0;
    }
    shape->trained_behind = skipped;
}

/* A network ends on its answer: what follows a branch would be taken for it. */
int lower_check_end(const lower_build *build)
{
    const cfg_section *last = lower_at(build, cfg_layers(build->low->source) - 1);
    if (!last || !lower_is_free(last)) return 0;
    diag_error(build->d, last->file, last->line, last->name, "the student ends on it, not on an answer");
    diag_hint(build->d, "put it before the classifier; a branch goes back to the trunk by [route] layers=N");
    return -1;
}

int lower_prune(lower_build *build)
{
    lowered *low = build->low;
    size_t n = (size_t)low->shape->n;
    pruning pruning = { .build = build, .alive = mem_calloc(n + 1, 1), .stands = mem_calloc(n + 1, sizeof(int)),
                        .number = mem_calloc(n + 1, sizeof(int)), .before = low->shape };
    choose(&pruning);
    cfg_file *cfg = kept_cfg(&pruning);
    cfg_free(low->cfg);
    low->cfg = cfg;
    low->shape = shapes_infer(cfg, build->d);
    if (low->shape) {
        count_skipped(&pruning);
        move_marks(&pruning);
        move_heads(&pruning);
    }
    shapes_free(pruning.before);
    free(pruning.alive);
    free(pruning.stands);
    free(pruning.number);
    return low->shape ? 0 : -1;
}
