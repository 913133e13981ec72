/* [reused_classifier]: the teacher's own sections after the tap, copied.
 *
 * A copy keeps its keys and its origin (the teacher's file and line); only layer numbers change. A number that meant
 * the tap now means the layer that stands for it: the loss's stand-in while training, what it read when deploying.
 * [dropout] passes its input on and [cost] is no part of a prediction: neither is copied. While training a copied
 * [softmax] has noloss=1, since labels= has a loss of its own on class scores; boxes learn from labels themselves,
 * where labels= asks for it. In LOWER_LABELS all of it does. Deploying, a 1x1 convolution with a stride is listed
 * twice: first its [maxpool] is appended, then itself. */
#include "lower_build.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

static int is_output(const cfg_section *section) { return cfg_is(section, "softmax") || cfg_is_boxes(section); }
static int is_skipped(const cfg_section *section) { return cfg_is(section, "dropout") || cfg_is(section, "cost"); }

static void add_tail_layer(lower_head *head, int layer)
{
    head->tail_of = mem_realloc(head->tail_of, (size_t)head->tails + 1, sizeof *head->tail_of);
    head->tail_of[head->tails++] = layer;
}

/* All that follow the tap, up to the first output. */
static int default_tail(lower_head *head, const teacher_spec *teacher, const cfg_section *section, diag *d)
{
    for (int j = head->tap + 1; j < teacher->shape->n; ++j) {
        const cfg_section *layer = cfg_layer(teacher->cfg, j);
        if (!is_skipped(layer)) add_tail_layer(head, j);
        if (is_output(layer)) return 0;
    }
    diag_error(d, section->file, section->line, section->name,
               "no [softmax], [yolo] or [region] in %s after the tap, layer %d", teacher->cfg_path, head->tap);
    diag_hint(d, "layers= says which of the teacher's layers to reuse");
    return -1;
}

/* The layers that layers= names; not 0 after reporting. */
static int chosen_tail(lower_head *head, const teacher_spec *teacher, const cfg_section *section, diag *d)
{
    int *layer, n = cfg_ints(section, "layers", &layer), last = head->tap, bad = 0;
    for (int k = 0; k < n && !bad; ++k) {
        bad = layer[k] <= last || layer[k] >= teacher->shape->n;
        if (bad) {
            diag_error(d, section->file, cfg_line(section, "layers"), section->name,
                       "layers: teacher layer %d is not among %d to %d, in rising order",
                       layer[k], last + 1, teacher->shape->n - 1);
            if (layer[k] <= head->tap) diag_hint(d, "the tap is layer %d, only what follows can be reused", head->tap);
        } else if (!is_skipped(cfg_layer(teacher->cfg, layer[k]))) {
            add_tail_layer(head, layer[k]);
        }
        last = layer[k];
    }
    free(layer);
    return bad;
}

/* Teacher layer -> lowered layer for one tail. */
typedef struct tail_map {
    const lower_build *build;
    const lower_head *head;
    int done;      /* tail layers copied so far */
    int stands;    /* for the tap */
} tail_map;

/* Stand-ins of losses that follow the copied layer k pass its output on: the last of them stands for it. */
static int behind_losses(const tail_map *map, int k)
{
    while (k + 1 < map->done && map->head->tail_of[k + 1] < 0) ++k;
    return k;
}

/* -1 if it is not copied. A dropout is what it reads. */
static int tail_reference(const tail_map *map, int layer)
{
    const cfg_file *teacher = lower_teacher(map->build, map->head)->cfg;
    int last = behind_losses(map, -1);
    while (layer > map->head->tap && cfg_is(cfg_layer(teacher, layer), "dropout")) --layer;
    if (layer == map->head->tap) return last < 0 ? map->stands : map->head->tail + last;
    for (int k = map->done - 1; k >= 0; --k)
        if (map->head->tail_of[k] == layer) return map->head->tail + behind_losses(map, k);
    return -1;
}

/* Says why a copied layer cannot read layer `from` of the teacher. */
static int not_copied(const tail_map *map, const cfg_section *section, int line, int from)
{
    if (from < map->head->tap) {
        diag_error(map->build->d, section->file, line, section->name,
                   "tail reaches back before the tap: layer %d reads layer %d, the tap is layer %d",
                   section->index, from, map->head->tap);
        diag_hint(map->build->d, "choose a later tap, or layers= that do not need it");
    } else {
        diag_error(map->build->d, section->file, line, section->name,
                   "layer %d is reused but layer %d, which it reads, is not", section->index, from);
        diag_hint(map->build->d, "[reused_classifier] layers= must name it too");
    }
    return -1;
}

/* Rewrites the teacher's numbers in the copy `out`; not 0 after reporting. */
static int rewrite_numbers(const tail_map *map, const cfg_section *section, const char *key, cfg_section *out)
{
    int *number, n = cfg_ints(section, key, &number), bad = 0;
    for (int k = 0; k < n; ++k) {
        int layer = number[k] < 0 ? section->index + number[k] : number[k];
        number[k] = tail_reference(map, layer);
        if (number[k] < 0) bad = not_copied(map, section, cfg_line(section, key), layer);
    }
    if (n && !bad) cfg_set_ints(out, key, number, n);
    free(number);
    return bad;
}

/* A section without numbers reads the layer before, which must be what stands before its copy. */
static int check_previous(const tail_map *map, const cfg_section *section)
{
    int before = map->build->lowered_layers - 1, want = cfg_is(section, "route") ? before : tail_reference(map,
        section->index - 1);
    return want == before ? 0 : not_copied(map, section, section->line, section->index - 1);
}

/* Lists each 1x1 convolution with a stride a second time. */
static void list_strides(lower_head *head, const teacher_spec *teacher)
{
    for (int k = 0; k < head->tails; ++k) {
        if (!lower_strided_1x1(cfg_layer(teacher->cfg, head->tail_of[k]))) continue;
        add_tail_layer(head, 0);
        memmove(head->tail_of + k + 1, head->tail_of + k, (size_t)(head->tails - 1 - k) * sizeof *head->tail_of);
        ++k;
    }
}

/* Is entry k the [maxpool] of the entry behind it? */
static int is_stride(const lower_head *head, int k)
{
    return k + 1 < head->tails && head->tail_of[k] >= 0 && head->tail_of[k] == head->tail_of[k + 1];
}

static int copy_stride(lower_build *build, tail_map *map, const cfg_section *section)
{
    int bad = check_previous(map, section);
    lower_append_stride(build, section, ROLE_TAIL);
    ++map->done;
    return bad;
}

/* Appends entry k of the tail; not 0 after reporting. */
static int copy_layer(lower_build *build, tail_map *map, int k)
{
    const cfg_section *s = cfg_layer(lower_teacher(build, map->head)->cfg, map->head->tail_of[k]);
    if (is_stride(map->head, k)) return copy_stride(build, map, s);
    const char *key = lower_reader_key(s);
    int bad = k && is_stride(map->head, k - 1) ? 0 : check_previous(map, s);
    cfg_section *out = cfg_append_copy(build->low->cfg, s);
    if (key) bad |= rewrite_numbers(map, s, key, out);
    lower_strip_frozen(out);
    if (build->mode == LOWER_DEPLOY) lower_deploy_layer(out);
    else if (build->mode == LOWER_LABELS) lower_for_labels(out);
    else if (cfg_is(s, "softmax")) cfg_set(out, "noloss", "1");
    else lower_limit_boxes(out);
    lower_mark(build, build->mode == LOWER_LABELS ? ROLE_STUDENT : ROLE_TAIL);
    ++map->done;
    return bad;
}

/* ---- losses behind the tail ---- */

/* The k-th section behind source layer i, where it is a loss on the tail's class scores; else NULL. */
static const cfg_section *loss_behind(const lower_build *build, int i, int k)
{
    const cfg_section *section = lower_at(build, i + 1 + k);
    return section && lower_behind_tail(build, section->index) == i ? section : NULL;
}

/* Does something of the triple whose last section is source layer i measure itself against cross-entropy? */
static int wants_yardstick(const lower_build *build, int i)
{
    int wants = section_scale_is_auto(lower_neighbour(build, i, -1));
    for (int k = 0; loss_behind(build, i, k); ++k) wants |= section_scale_is_auto(loss_behind(build, i, k));
    return wants;
}

/* Appends the stand-in of one, as entry head->tail_of[map->done]. */
static void insert_loss(lower_build *build, tail_map *map, const cfg_section *section, const section_type *type,
                        loss_kind kind)
{
    lower_head *head = &build->low->head[build->head];
    int k = map->done++;
    add_tail_layer(head, -1);
    memmove(head->tail_of + k + 1, head->tail_of + k, (size_t)(head->tails - 1 - k) * sizeof *head->tail_of);
    head->tail_of[k] = -1;
    if (head->scores < 0) head->scores = build->lowered_layers - 1;
    lower_append_loss(build, section, type, kind);
}

/* The row of a loss behind the tail: boxes or class scores are there. */
static const section_type *row_behind(const lower_build *build, const char *name)
{
    int boxes = lower_teacher(build, &build->low->head[build->head])->outs > 0;
    return boxes ? section_type_on_boxes(name) : section_type_named(name);
}

/* What losses of the triple are measured by, and labels= stands for where there are class scores; NULL: it is there. */
static const section_type *own_loss(const lower_build *build, int i)
{
    const section_type *kd = row_behind(build, "kd");
    int boxes = kd->asks == TEACH_HEAD, there = 0;
    if (!boxes) return section_type_named("cross_entropy");
    for (int k = 0; loss_behind(build, i, k); ++k) there |= cfg_is(loss_behind(build, i, k), "kd");
    return there ? NULL : kd;
}

/* All of them, before the output; unless distilling, their numbers are left out. What only measures comes last. */
static void insert_losses(lower_build *build, tail_map *map, int i)
{
    const cfg_section *tail = lower_at(build, i), *section;
    const section_type *own = own_loss(build, i);
    int labels = own && own->asks == TEACH_LABELS && cfg_float(tail, "labels", 0) > 0;
    int yardstick = own && !labels && wants_yardstick(build, i), n = 0;
    while (loss_behind(build, i, n)) ++n;
    if (build->mode != LOWER_TRAIN) {
        build->training_layers += n + labels + yardstick;
        return;
    }
    for (int k = 0; (section = loss_behind(build, i, k)); ++k)
        insert_loss(build, map, section, row_behind(build, section->name), LOSS_BEHIND_TAIL);
    if (labels || yardstick) insert_loss(build, map, tail, own, labels ? LOSS_BEHIND_TAIL : LOSS_YARDSTICK);
}

/* Losses by labels and scale=auto need class scores, or boxes behind them. 0, or -1 after reporting. */
static int check_scores(const lower_build *build, int i, int boxes)
{
    const cfg_section *tail = lower_at(build, i);
    const teacher_spec *teacher = lower_teacher(build, &build->low->head[build->head]);
    int labels = cfg_float(tail, "labels", 0) > 0;
    if (teacher->answer >= 0 || boxes || !(labels || wants_yardstick(build, i))) return 0;
    if (teacher->outs) {
        diag_error(build->d, tail->file, cfg_line(tail, "layers"), tail->name,
                   "%s needs the detector's own [yolo] or [region], which layers= leaves out",
                   labels ? "labels=" : "scale=auto");
        return -1;
    }
    diag_error(build->d, tail->file, cfg_line(tail, "labels"), tail->name,
               "%s needs class scores, and %s does not end on [softmax]", labels ? "labels=" : "scale=auto",
               teacher->cfg_path);
    return -1;
}

/* Before the last of a tail that ends on boxes is copied: while training they learn from labels, if those are asked
 * for. */
static void learn_boxes(lower_build *build, int i)
{
    lower_head *head = &build->low->head[build->head];
    double weight = cfg_float(lower_at(build, i), "labels", 0);
    if (build->mode != LOWER_TRAIN || !(weight > 0)) return;
    head->labels = weight;
    if (head->scores < 0) head->scores = build->lowered_layers - 1;
    build->low->trained = build->lowered_layers + 1;
}

/* Appends the copies, and closes the triple. */
int lower_tail(lower_build *build, int i)
{
    const cfg_section *s = lower_at(build, i);
    lower_head *h = &build->low->head[build->head];
    const teacher_spec *t = lower_teacher(build, h);
    tail_map m = { .build = build, .head = h, .stands = build->map[i - 1] };
    int bad = cfg_find(s, "layers") ? chosen_tail(h, t, s, build->d) : default_tail(h, t, s, build->d);
    int ends = h->tails && is_output(cfg_layer(t->cfg, h->tail_of[h->tails - 1]));
    int boxes = ends && cfg_is_boxes(cfg_layer(t->cfg, h->tail_of[h->tails - 1]));
    bad |= check_scores(build, i, boxes);
    if (build->mode == LOWER_DEPLOY && !bad) list_strides(h, t);
    h->tail = h->tails ? build->lowered_layers : -1;
    while (m.done < h->tails && !bad) {
        if (ends && m.done == h->tails - 1) insert_losses(build, &m, i);
        if (boxes && m.done == h->tails - 1) learn_boxes(build, i);
        bad |= copy_layer(build, &m, m.done);
    }
    if (!ends && !bad) insert_losses(build, &m, i);
    build->map[i] = build->lowered_layers - 1;
    ++build->head;
    return bad ? -1 : 0;
}

/* A copy must store what its original does, and a [softmax] answer as many classes. */
static int check_copy(const lower_build *build, const teacher_spec *teacher, const cfg_section *at, int copy,
                      int original)
{
    const layer_shape *s = &build->low->shape->layer[copy], *o = &teacher->shape->layer[original];
    const cfg_section *layer = cfg_layer(teacher->cfg, original);
    int weights = s->stored == o->stored && (!s->stored || (s->in_c == o->in_c && s->c == o->c));
    if (weights && (!cfg_is(layer, "softmax") || s->outputs == o->outputs)) return 0;
    diag_error(build->d, at->file, at->line, at->name,
               "teacher layer %d [%s] (%s:%d) has %d inputs, %d outputs and %zu weights there, but %d, %d and %zu here",
               original, layer->name, layer->file, layer->line, o->inputs, o->outputs, o->stored, s->inputs,
               s->outputs, s->stored);
    diag_hint(build->d, "it needs the teacher's map size: give the student the same stride, or a tap further down");
    return -1;
}

int lower_check_tails(const lower_build *build)
{
    int bad = 0, head = 0;
    for (int i = 0; i < cfg_layers(build->low->source) && head < build->low->heads; ++i) {
        if (!cfg_is(lower_at(build, i), "reused_classifier")) continue;
        const lower_head *h = &build->low->head[head++];
        for (int k = 0; k < h->tails; ++k) {
            if (h->tail_of[k] < 0 || is_stride(h, k)) continue;
            bad |= check_copy(build, lower_teacher(build, h), lower_at(build, i), h->tail + k, h->tail_of[k]);
        }
    }
    return bad;
}
