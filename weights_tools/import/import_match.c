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

#include <cjson/cJSON.h>

#include <stdlib.h>

/* A layer's place for weights. */
typedef struct slot {
    size_t out, rows[4];         /* weights as Darknet has them; rows[0] = out */
    int dims, norm;
    size_t in[3];                /* map that a [connected] reads */
} slot;

static slot conv_slot(const layer *l)
{
    size_t n = (size_t)l->n, k = (size_t)l->size;
    return (slot){ .out = n, .rows = { n, (size_t)(l->c / l->groups), k, k }, .dims = 4, .norm = l->batch_normalize };
}

static slot connected_slot(const layer *l, const layer_shape *shape)
{
    size_t n = (size_t)l->outputs;
    return (slot){ .out = n, .rows = { n, (size_t)l->inputs }, .dims = 2, .norm = l->batch_normalize,
                   .in = { (size_t)shape->in_c, (size_t)shape->in_h, (size_t)shape->in_w } };
}

/* Layer i's place; 0 where it has none. */
static int read_slot(const import_job *job, int i, slot *place)
{
    const layer *l = &job->net->layers[i];
    *place = (slot){ .dims = 0 };
    if (l->type == CONVOLUTIONAL) *place = conv_slot(l);
    if (l->type == CONNECTED) *place = connected_slot(l, &job->low->shape->layer[i]);
    return place->dims > 0;
}

static int same_sizes(const size_t *sizes, const size_t *others, int dims)
{
    return !memcmp(sizes, others, (size_t)dims * sizeof *sizes);
}

static int weights_fit(const named_tensor *tensor, const slot *slot)
{
    const size_t *dim = tensor->dim;
    if (tensor->dims == slot->dims) return same_sizes(dim, slot->rows, slot->dims);
    if (slot->dims == 4 && tensor->dims == 2) return slot->rows[2] == 1 && same_sizes(dim, slot->rows, 2);
    if (slot->dims != 2 || tensor->dims != 4 || dim[0] != slot->out) return 0;
    return same_sizes(dim + 1, slot->in, 3) || (dim[1] == slot->rows[1] && dim[2] == 1 && dim[3] == 1);
}

static int fits(const import_job *job, const tensor_group *group, const slot *slot)
{
    int norm = group->part[PART_MEAN] != NULL;
    for (int p = PART_BIAS; p < PARTS; ++p)
        if (group->part[p] && group->part[p]->n != slot->out) return 0;
    return weights_fit(group->part[PART_WEIGHT], slot) && (norm == slot->norm || (job->tensors->folded && !norm));
}

/* ---- messages ---- */

enum { SLOT_TEXT = TENSOR_TEXT + 30, GROUP_TEXT = TENSOR_TEXT + 1200 };   /* room for the texts below */

static const cfg_section *section_of(const import_job *job, int i) { return cfg_layer(job->low->cfg, i); }

static const char *slot_text(const slot *slot, char *out)
{
    char sizes[TENSOR_TEXT];
    snprintf(out, SLOT_TEXT, "%s with%s batch norm", tensor_text(slot->dims, slot->rows, sizes),
             slot->norm ? "" : "out");
    return out;
}

static const char *group_text(const tensor_group *group, char *out)
{
    char sizes[TENSOR_TEXT];
    const named_tensor *weight = group->part[PART_WEIGHT];
    snprintf(out, GROUP_TEXT, "'%s' %s with%s batch norm", weight->name, tensor_text(weight->dims, weight->dim, sizes),
             group->part[PART_MEAN] ? "" : "out");
    return out;
}

static int first_free(const import_job *job, const char *taken, slot *slot)
{
    for (int i = 0; i < job->net->n; ++i)
        if (!taken[i] && read_slot(job, i, slot)) return i;
    return -1;
}

/* The group beside the layer that is next to be filled. */
static int fits_nothing(const import_job *job, const tensor_group *group, const char *taken, diag *d)
{
    char what[GROUP_TEXT], want[SLOT_TEXT];
    slot next;
    int i = first_free(job, taken, &next);
    group_text(group, what);
    if (i < 0) {
        diag_error(d, job->model, 0, NULL, "%s fits no layer: all layers of %s have their weights", what, job->cfg);
        diag_hint(d, "'%s = none' in a file given by -map leaves it out", group->name);
        return -1;
    }
    const cfg_section *s = section_of(job, i);
    diag_error(d, job->model, 0, NULL, "%s fits no layer that is left: the next, [%s] #%d (%s:%d), wants %s", what,
               s->name, i, s->file, s->line, slot_text(&next, want));
    return -1;
}

static int undecided(const import_job *job, const tensor_group *group, int before, int behind, diag *d)
{
    char what[GROUP_TEXT];
    diag_error(d, job->model, 0, NULL, "%s fits [%s] #%d, passed over before, and [%s] #%d: order does not tell which",
               group_text(group, what), section_of(job, before)->name, before, section_of(job, behind)->name, behind);
    diag_hint(d, "say it in a file given by -map: '%s = %d' or '%s = %d'", group->name, before, group->name, behind);
    return -1;
}

/* A layer without weights, and what they might be. */
static int unfilled(const import_job *job, int i, const slot *slot, diag *d)
{
    char want[SLOT_TEXT], what[GROUP_TEXT];
    const cfg_section *at = section_of(job, i);
    int unused = 0;
    diag_error(d, at->file, at->line, at->name, "layer %d wants %s, and nothing in %s is left for it", i,
               slot_text(slot, want), job->model);
    while (unused < job->groups.n && job->layer[unused] >= 0) ++unused;
    if (unused == job->groups.n) return -1;
    diag_hint(d, "the first tensor that fits nothing is %s", group_text(&job->groups.group[unused], what));
    return -1;
}

/* A group as an element of the JSON array. */
static void list_line(const import_job *job, const tensor_group *group, int layer, const char *sizes)
{
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "tensor", group->part[PART_WEIGHT]->name);
    if (layer >= 0) {
        cJSON_AddNumberToObject(row, "layer", layer);
        cJSON_AddStringToObject(row, "section", section_of(job, layer)->name);
        cJSON_AddStringToObject(row, "sizes", sizes);
        if (group->norm) cJSON_AddStringToObject(row, "batch_norm", group->norm);
    }
    cJSON_AddItemToArray(job->list, row);
}

/* Where a group goes; layer -1: nowhere. */
static void print_line(const import_job *job, const tensor_group *group, int layer)
{
    const char *name = group->part[PART_WEIGHT]->name;
    char sizes[TENSOR_TEXT] = "";
    slot to = { 0 };
    if (layer >= 0) {
        read_slot(job, layer, &to);
        tensor_text(to.dims, to.rows, sizes);
    }
    if (job->list) list_line(job, group, layer, sizes);
    else if (layer < 0) fprintf(job->out, "%s -> not used\n", name);
    else {
        fprintf(job->out, "%s -> [%s] #%d %s", name, section_of(job, layer)->name, layer, sizes);
        if (group->norm) fprintf(job->out, ", batch norm %s", group->norm);
        else if (to.norm) fprintf(job->out, ", batch norm that changes nothing: the model has it folded");
        fprintf(job->out, "\n");
    }
}

/* ---- the rule; `number` is a group's ---- */

static int give(import_job *job, int number, int layer, char *taken)
{
    taken[layer] = 1;
    job->layer[number] = layer;
    print_line(job, &job->groups.group[number], layer);
    return 0;
}

/* To the layer that the map names. */
static int give_as_said(import_job *job, int number, char *taken, diag *d)
{
    const tensor_group *group = &job->groups.group[number];
    const map_row *row = group->row;
    char what[GROUP_TEXT], want[SLOT_TEXT];
    slot to;
    if (row->layer == MAP_NONE) {
        print_line(job, group, -1);
        return 0;
    }
    if (row->layer >= job->net->n || !read_slot(job, row->layer, &to))
        diag_error(d, job->map.path, row->line, NULL,
                   "layer %d of %s has no weights of a convolution or connected layer", row->layer, job->cfg);
    else if (taken[row->layer]) diag_error(d, job->map.path, row->line, NULL, "layer %d is given twice", row->layer);
    else if (!fits(job, group, &to))
        diag_error(d, job->map.path, row->line, NULL, "%s does not fit layer %d, which wants %s",
                   group_text(group, what), row->layer, slot_text(&to, want));
    else return give(job, number, row->layer, taken);
    return -1;
}

/* `last` = the layer filled before, -1 at first. */
static int give_by_order(import_job *job, int number, int last, char *taken, diag *d)
{
    const tensor_group *group = &job->groups.group[number];
    int before = -1, behind = -1;
    slot to;
    for (int i = 0; i < job->net->n; ++i) {
        if (taken[i] || !read_slot(job, i, &to) || !fits(job, group, &to)) continue;
        if (i < last && before < 0) before = i;
        if (i > last && behind < 0) behind = i;
    }
    if (before >= 0 && behind >= 0) return undecided(job, group, before, behind, d);
    if (before >= 0 || behind >= 0) return give(job, number, before >= 0 ? before : behind, taken);
    if (!job->encoder) return fits_nothing(job, group, taken, d);
    print_line(job, group, -1);
    return 0;
}

/* Parts of one layer of unlike sizes, which only a file that names layers itself can have. */
static int check_parts(const import_job *job, const tensor_group *group, diag *d)
{
    static const char *const names[PARTS] = { "weights", "bias", "batch norm's scale", "batch norm's shift",
                                              "batch norm's mean", "batch norm's variance" };
    const named_tensor *weights = group->part[PART_WEIGHT];
    char sizes[TENSOR_TEXT];
    for (int p = PART_BIAS; p < PARTS; ++p) {
        const named_tensor *part = group->part[p];
        if (!part || (weights->dims && part->n == weights->dim[0])) continue;
        diag_error(d, job->model, 0, NULL, "'%s' %s: its %s '%s' has %zu numbers", weights->name,
                   tensor_text(weights->dims, weights->dim, sizes), names[p], part->name, part->n);
        return -1;
    }
    return 0;
}

/* Has the cfg weights that nothing could be imported into? */
static int check_types(const import_job *job, diag *d)
{
    slot unused;
    for (int i = 0; i < job->net->n; ++i) {
        const cfg_section *at = section_of(job, i);
        if (!shapes_has_weights(at->name) || read_slot(job, i, &unused)) continue;
        diag_error(d, at->file, at->line, at->name,
                   "weights can be imported into [convolutional] and [connected] only");
        return -1;
    }
    return 0;
}

/* First what the map says, then the rest in the file's order; in the end every layer must have its weights. */
static int match_all(import_job *job, char *taken, diag *d)
{
    int failed = 0, last = -1;
    slot left;
    for (int g = 0; g < job->groups.n && !failed; ++g) failed = check_parts(job, &job->groups.group[g], d);
    for (int g = 0; g < job->groups.n && !failed; ++g)
        if (job->groups.group[g].row) failed = give_as_said(job, g, taken, d);
    for (int g = 0; g < job->groups.n && !failed; ++g) {
        if (!job->groups.group[g].row) failed = give_by_order(job, g, last, taken, d);
        if (job->layer[g] >= 0) last = job->layer[g];
    }
    int i = failed ? -1 : first_free(job, taken, &left);
    return failed || (i >= 0 && unfilled(job, i, &left, d)) ? -1 : 0;
}

int import_match(import_job *job, diag *d)
{
    char *taken = mem_calloc((size_t)job->net->n, 1);
    job->layer = mem_calloc((size_t)job->groups.n, sizeof *job->layer);
    for (int g = 0; g < job->groups.n; ++g) job->layer[g] = -1;
    int failed = check_types(job, d) || match_all(job, taken, d);
    free(taken);
    return failed ? -1 : 0;
}
