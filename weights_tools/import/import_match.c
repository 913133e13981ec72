/* Which tensors go to which layer.
 *
 * Groups (tensor_groups.h) are taken in the file's order, each into a layer that has none yet and the same shape: the
 * weights' sizes, and batch norm or none. If more than one such layer is left:
 *
 *   all behind the layer filled last, or all before it     the first of them
 *   some before, some behind                               refused: order does not tell
 *
 * So layers of one shape are always filled in their order. This carries the usual difference of order, PyTorch's
 * shortcut convolutions that are defined behind their block's where the cfg has them before, as long as no layer of the
 * same shape was passed over. It does not see an order that is wrong between layers of the same shape that follow
 * one another (a bottleneck's last convolution and its shortcut are both 256x64x1x1): the printed lines show it, and
 * lines of a map file, which count before everything else, put it right.
 *
 * Linear weights (out x in) fit a [connected], and a 1x1 [convolutional]; a convolution's (out x c x h x w) fit a
 * [connected] that reads a map of c x h x w: both lie in the same order. */
#include "import.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>

/* A layer's place for weights. */
typedef struct slot {
    size_t out, rows[4];         /* weights as Darknet has them; rows[0] = out */
    int dims, norm;
    size_t in[3];                /* map that a [connected] reads */
} slot;

static int read_slot(const import_job *j, int i, slot *s)
{
    const layer *l = &j->net->layers[i];
    const layer_shape *shape = &j->low->shape->layer[i];
    *s = (slot){ .norm = l->batch_normalize };
    if (l->type == CONVOLUTIONAL) {
        size_t k = (size_t)l->size;
        *s = (slot){ .out = (size_t)l->n, .rows = { (size_t)l->n, (size_t)(l->c / l->groups), k, k }, .dims = 4, .norm = l->batch_normalize };
    } else if (l->type == CONNECTED) {
        *s = (slot){ .out = (size_t)l->outputs, .rows = { (size_t)l->outputs, (size_t)l->inputs }, .dims = 2, .norm = l->batch_normalize,
                     .in = { (size_t)shape->in_c, (size_t)shape->in_h, (size_t)shape->in_w } };
    }
    return s->dims > 0;
}

static int same_sizes(const size_t *a, const size_t *b, int n)
{
    return !memcmp(a, b, (size_t)n * sizeof *a);
}

static int weights_fit(const named_tensor *w, const slot *s)
{
    if (w->dims == s->dims) return same_sizes(w->dim, s->rows, s->dims);
    if (s->dims == 4 && w->dims == 2) return s->rows[2] == 1 && same_sizes(w->dim, s->rows, 2);
    if (s->dims != 2 || w->dims != 4 || w->dim[0] != s->out) return 0;
    return same_sizes(w->dim + 1, s->in, 3) || (w->dim[1] == s->rows[1] && w->dim[2] == 1 && w->dim[3] == 1);
}

static int fits(const import_job *j, const tensor_group *g, const slot *s)
{
    int norm = g->part[PART_MEAN] != NULL;
    for (int p = PART_BIAS; p < PARTS; ++p)
        if (g->part[p] && g->part[p]->n != s->out) return 0;
    return weights_fit(g->part[PART_WEIGHT], s) && (norm == s->norm || (j->tensors->folded && !norm));
}

/* ---- messages ---- */

static const cfg_section *section_of(const import_job *j, int i) { return cfg_layer(j->low->cfg, i); }

static const char *slot_text(const slot *s, char *out)
{
    char sizes[TENSOR_TEXT];
    snprintf(out, TENSOR_TEXT + 30, "%s%s", tensor_text(s->dims, s->rows, sizes), s->norm ? " with batch norm" : " without batch norm");
    return out;
}

static void group_text(const tensor_group *g, char *out, size_t room)
{
    char sizes[TENSOR_TEXT];
    const named_tensor *w = g->part[PART_WEIGHT];
    snprintf(out, room, "'%s' %s with%s batch norm", w->name, tensor_text(w->dims, w->dim, sizes), g->part[PART_MEAN] ? "" : "out");
}

static int first_free(const import_job *j, const char *taken, slot *s)
{
    for (int i = 0; i < j->net->n; ++i)
        if (!taken[i] && read_slot(j, i, s)) return i;
    return -1;
}

static int fits_nothing(const import_job *j, const tensor_group *g, const char *taken, diag *d)
{
    char what[TENSOR_TEXT + 1200], want[TENSOR_TEXT + 30];
    slot s;
    int i = first_free(j, taken, &s);
    group_text(g, what, sizeof what);
    if (i < 0) diag_error(d, j->model, 0, NULL, "%s fits no layer: all layers of %s have their weights", what, j->cfg);
    else diag_error(d, j->model, 0, NULL, "%s fits no layer that is left: the next, [%s] #%d (%s:%d), wants %s", what,
                    section_of(j, i)->name, i, section_of(j, i)->file, section_of(j, i)->line, slot_text(&s, want));
    if (i < 0) diag_hint(d, "'%s = none' in a file given by -map leaves it out", g->name);
    return -1;
}

static int undecided(const import_job *j, const tensor_group *g, int before, int behind, diag *d)
{
    char what[TENSOR_TEXT + 1200];
    group_text(g, what, sizeof what);
    diag_error(d, j->model, 0, NULL, "%s fits [%s] #%d, passed over before, and [%s] #%d: order does not tell which", what,
               section_of(j, before)->name, before, section_of(j, behind)->name, behind);
    diag_hint(d, "say it in a file given by -map: '%s = %d' or '%s = %d'", g->name, before, g->name, behind);
    return -1;
}

static int unfilled(const import_job *j, int i, const slot *s, diag *d)
{
    char want[TENSOR_TEXT + 30];
    const cfg_section *at = section_of(j, i);
    diag_error(d, at->file, at->line, at->name, "layer %d wants %s, and nothing in %s is left for it", i, slot_text(s, want), j->model);
    for (int g = 0; g < j->groups.n; ++g)
        if (j->layer[g] < 0) {
            char what[TENSOR_TEXT + 1200];
            group_text(&j->groups.group[g], what, sizeof what);
            diag_hint(d, "the first tensor that fits nothing is %s", what);
            break;
        }
    return -1;
}

static void print_line(const import_job *j, int g, int layer)
{
    char sizes[TENSOR_TEXT];
    const tensor_group *x = &j->groups.group[g];
    slot s;
    if (layer < 0) {
        fprintf(j->out, "%s -> not used\n", x->part[PART_WEIGHT]->name);
        return;
    }
    read_slot(j, layer, &s);
    fprintf(j->out, "%s -> [%s] #%d %s", x->part[PART_WEIGHT]->name, section_of(j, layer)->name, layer, tensor_text(s.dims, s.rows, sizes));
    if (x->norm) fprintf(j->out, ", batch norm %s", x->norm);
    else if (s.norm) fprintf(j->out, ", batch norm that changes nothing: the model has it folded");
    fprintf(j->out, "\n");
}

/* ---- the rule ---- */

static int give(import_job *j, int g, int layer, char *taken)
{
    taken[layer] = 1;
    j->layer[g] = layer;
    print_line(j, g, layer);
    return 0;
}

static int give_as_said(import_job *j, int g, char *taken, diag *d)
{
    const tensor_group *x = &j->groups.group[g];
    char what[TENSOR_TEXT + 1200], want[TENSOR_TEXT + 30];
    int i = x->row->layer;
    slot s;
    group_text(x, what, sizeof what);
    if (i >= j->net->n || !read_slot(j, i, &s))
        diag_error(d, j->map.path, x->row->line, NULL, "layer %d of %s has no weights of a convolution or connected layer", i, j->cfg);
    else if (taken[i]) diag_error(d, j->map.path, x->row->line, NULL, "layer %d is given twice", i);
    else if (!fits(j, x, &s))
        diag_error(d, j->map.path, x->row->line, NULL, "%s does not fit layer %d, which wants %s", what, i, slot_text(&s, want));
    else return give(j, g, i, taken);
    return -1;
}

/* `last` = the layer filled before, -1 at first. */
static int give_by_order(import_job *j, int g, int last, char *taken, diag *d)
{
    const tensor_group *x = &j->groups.group[g];
    int before = -1, behind = -1;
    slot s;
    for (int i = 0; i < j->net->n; ++i) {
        if (taken[i] || !read_slot(j, i, &s) || !fits(j, x, &s)) continue;
        if (i < last && before < 0) before = i;
        if (i > last && behind < 0) behind = i;
    }
    if (before >= 0 && behind >= 0) return undecided(j, x, before, behind, d);
    if (before >= 0 || behind >= 0) return give(j, g, before >= 0 ? before : behind, taken);
    if (!j->encoder) return fits_nothing(j, x, taken, d);
    print_line(j, g, -1);
    return 0;
}

static int check_types(const import_job *j, diag *d)
{
    slot s;
    for (int i = 0; i < j->net->n; ++i) {
        const cfg_section *at = section_of(j, i);
        if (!shapes_has_weights(at->name) || read_slot(j, i, &s)) continue;
        diag_error(d, at->file, at->line, at->name, "weights can be imported into [convolutional] and [connected] only");
        return -1;
    }
    return 0;
}

static int match_all(import_job *j, char *taken, diag *d)
{
    int failed = 0, last = -1;
    slot s;
    for (int g = 0; g < j->groups.n && !failed; ++g)
        if (j->groups.group[g].row) failed = give_as_said(j, g, taken, d);
    for (int g = 0; g < j->groups.n && !failed; ++g) {
        if (!j->groups.group[g].row) failed = give_by_order(j, g, last, taken, d);
        if (j->layer[g] >= 0) last = j->layer[g];
    }
    int i = failed ? -1 : first_free(j, taken, &s);
    return failed || (i >= 0 && unfilled(j, i, &s, d)) ? -1 : 0;
}

int import_match(import_job *j, diag *d)
{
    char *taken = mem_calloc((size_t)j->net->n, 1);
    j->layer = mem_calloc((size_t)j->groups.n, sizeof *j->layer);
    for (int g = 0; g < j->groups.n; ++g) j->layer[g] = -1;
    int failed = check_types(j, d) || match_all(j, taken, d);
    free(taken);
    return failed ? -1 : 0;
}
