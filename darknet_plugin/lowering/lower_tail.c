/* [reused_classifier]: the teacher's own sections after the tap, copied.
 *
 * A copy keeps its keys and its origin (the teacher's file and line); only layer numbers change. A number that meant
 * the tap now means the layer that stands for it: the loss's stand-in while training, what it read when deploying.
 * [dropout] passes its input on and [cost] is no part of a prediction: neither is copied. While training a copied
 * [softmax] has noloss=1, since nothing here learns from labels. Deploying, a 1x1 convolution with a stride is listed
 * twice: first its [maxpool] is appended, then itself. */
#include "lower_build.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

static const char *const outputs[] = { "softmax", "yolo", "region", NULL };
static const char *const skipped[] = { "dropout", "cost", NULL };

static int is_any(const cfg_section *s, const char *const *list)
{
    for (; *list; ++list)
        if (cfg_is(s, *list)) return 1;
    return 0;
}

static void add_tail_layer(lower_head *h, int layer)
{
    h->tail_of = mem_realloc(h->tail_of, (size_t)h->tails + 1, sizeof *h->tail_of);
    h->tail_of[h->tails++] = layer;
}

/* All that follow the tap, up to the first output. */
static int default_tail(lower_head *h, const teacher_spec *t, const cfg_section *s, diag *d)
{
    for (int j = h->tap + 1; j < t->shape->n; ++j) {
        const cfg_section *layer = cfg_layer(t->cfg, j);
        if (!is_any(layer, skipped)) add_tail_layer(h, j);
        if (is_any(layer, outputs)) return 0;
    }
    diag_error(d, s->file, s->line, s->name, "no [softmax], [yolo] or [region] in %s after the tap, layer %d", t->cfg_path, h->tap);
    diag_hint(d, "layers= says which of the teacher's layers to reuse");
    return -1;
}

static int chosen_tail(lower_head *h, const teacher_spec *t, const cfg_section *s, diag *d)
{
    int *layer, n = cfg_ints(s, "layers", &layer), last = h->tap, bad = 0;
    for (int k = 0; k < n && !bad; ++k) {
        bad = layer[k] <= last || layer[k] >= t->shape->n;
        if (bad) {
            diag_error(d, s->file, cfg_line(s, "layers"), s->name, "layers: teacher layer %d is not among %d to %d, in rising order",
                       layer[k], last + 1, t->shape->n - 1);
            if (layer[k] <= h->tap) diag_hint(d, "the tap is layer %d, only what follows can be reused", h->tap);
        } else if (!is_any(cfg_layer(t->cfg, layer[k]), skipped)) {
            add_tail_layer(h, layer[k]);
        }
        last = layer[k];
    }
    free(layer);
    return bad;
}

/* Teacher layer -> lowered layer for one tail. */
typedef struct tail_map {
    const lower_build *b;
    const lower_head *h;
    int done;      /* tail layers copied so far */
    int stands;    /* for the tap */
} tail_map;

/* -1 if it is not copied. A dropout is what it reads. */
static int tail_reference(const tail_map *m, int layer)
{
    while (layer > m->h->tap && cfg_is(cfg_layer(lower_teacher(m->b, m->h)->cfg, layer), "dropout")) --layer;
    if (layer == m->h->tap) return m->stands;
    for (int k = m->done - 1; k >= 0 && m->h->tail_of[k] >= layer; --k)
        if (m->h->tail_of[k] == layer) return m->h->tail + k;
    return -1;
}

static int not_copied(const tail_map *m, const cfg_section *s, int line, int from)
{
    if (from < m->h->tap) {
        diag_error(m->b->d, s->file, line, s->name, "tail reaches back before the tap: layer %d reads layer %d, the tap is layer %d",
                   s->index, from, m->h->tap);
        diag_hint(m->b->d, "choose a later tap, or layers= that do not need it");
    } else {
        diag_error(m->b->d, s->file, line, s->name, "layer %d is reused but layer %d, which it reads, is not", s->index, from);
        diag_hint(m->b->d, "[reused_classifier] layers= must name it too");
    }
    return -1;
}

static int rewrite_numbers(const tail_map *m, const cfg_section *s, const char *key, cfg_section *out)
{
    int *from, n = cfg_ints(s, key, &from), bad = 0;
    char *text = mem_calloc((size_t)n + 1, 12), *end = text;
    for (int k = 0; k < n; ++k) {
        int layer = from[k] < 0 ? s->index + from[k] : from[k], to = tail_reference(m, layer);
        if (to < 0) bad = not_copied(m, s, cfg_line(s, key), layer);
        end += snprintf(end, 12, "%s%d", k ? "," : "", to);
    }
    if (n && !bad) cfg_set(out, key, "%s", text);
    free(text);
    free(from);
    return bad;
}

/* A section without numbers reads the layer before, which must be what stands before its copy. */
static int check_previous(const tail_map *m, const cfg_section *s)
{
    int before = m->b->lowered_layers - 1, want = cfg_is(s, "route") ? before : tail_reference(m, s->index - 1);
    return want == before ? 0 : not_copied(m, s, s->line, s->index - 1);
}

/* Lists each 1x1 convolution with a stride a second time. */
static void list_strides(lower_head *h, const teacher_spec *t)
{
    for (int k = 0; k < h->tails; ++k) {
        if (!lower_strided_1x1(cfg_layer(t->cfg, h->tail_of[k]))) continue;
        add_tail_layer(h, 0);
        memmove(h->tail_of + k + 1, h->tail_of + k, (size_t)(h->tails - 1 - k) * sizeof *h->tail_of);
        ++k;
    }
}

/* Is entry k the [maxpool] of the entry behind it? */
static int is_stride(const lower_head *h, int k)
{
    return k + 1 < h->tails && h->tail_of[k] == h->tail_of[k + 1];
}

static int copy_stride(lower_build *b, tail_map *m, const cfg_section *s)
{
    int bad = check_previous(m, s);
    lower_append_stride(b, s);
    lower_mark(b, ROLE_TAIL);
    ++m->done;
    return bad;
}

static int copy_layer(lower_build *b, tail_map *m, int k)
{
    const cfg_section *s = cfg_layer(lower_teacher(b, m->h)->cfg, m->h->tail_of[k]);
    if (is_stride(m->h, k)) return copy_stride(b, m, s);
    const char *key = lower_reader_key(s);
    int bad = k && is_stride(m->h, k - 1) ? 0 : check_previous(m, s);
    cfg_section *out = cfg_append_copy(b->l->cfg, s);
    if (key) bad |= rewrite_numbers(m, s, key, out);
    lower_strip_frozen(out);
    if (b->mode == LOWER_DEPLOY) lower_deploy_layer(out);
    else if (cfg_is(s, "softmax")) cfg_set(out, "noloss", "1");
    lower_mark(b, ROLE_TAIL);
    ++m->done;
    return bad;
}

int lower_tail(lower_build *b, int i)
{
    const cfg_section *s = lower_at(b, i);
    lower_head *h = &b->l->head[b->head];
    const teacher_spec *t = lower_teacher(b, h);
    tail_map m = { .b = b, .h = h, .stands = b->map[i - 1] };
    int bad = cfg_find(s, "layers") ? chosen_tail(h, t, s, b->d) : default_tail(h, t, s, b->d);
    if (b->mode == LOWER_DEPLOY && !bad) list_strides(h, t);
    h->tail = h->tails ? b->lowered_layers : -1;
    for (int k = 0; k < h->tails && !bad; ++k) bad |= copy_layer(b, &m, k);
    b->map[i] = b->lowered_layers - 1;
    ++b->head;
    return bad ? -1 : 0;
}

static int check_copy(const lower_build *b, const teacher_spec *t, const cfg_section *at, int copy, int original)
{
    const layer_shape *s = &b->l->shape->layer[copy], *o = &t->shape->layer[original];
    const cfg_section *layer = cfg_layer(t->cfg, original);
    int weights = s->stored == o->stored && (!s->stored || (s->in_c == o->in_c && s->c == o->c));
    if (weights && (!cfg_is(layer, "softmax") || s->outputs == o->outputs)) return 0;
    diag_error(b->d, at->file, at->line, at->name,
               "teacher layer %d [%s] (%s:%d) has %d inputs, %d outputs and %zu weights there, but %d, %d and %zu here", original,
               layer->name, layer->file, layer->line, o->inputs, o->outputs, o->stored, s->inputs, s->outputs, s->stored);
    diag_hint(b->d, "it needs the teacher's map size: give the student the same stride, or a tap further down");
    return -1;
}

int lower_check_tails(const lower_build *b)
{
    int bad = 0, head = 0;
    for (int i = 0; i < cfg_layers(b->l->source) && head < b->l->heads; ++i) {
        if (!cfg_is(lower_at(b, i), "reused_classifier")) continue;
        const lower_head *h = &b->l->head[head++];
        for (int k = 0; k < h->tails; ++k)
            if (!is_stride(h, k)) bad |= check_copy(b, lower_teacher(b, h), lower_at(b, i), h->tail + k, h->tail_of[k]);
    }
    return bad;
}
