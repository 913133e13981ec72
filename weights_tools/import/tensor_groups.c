/* From a list of tensors to groups, one a layer.
 *
 * A name is a module's and a kind: "layer1.0.bn1" + "running_mean". A module with running_mean and running_var is a
 * batch norm, one with a weight of two or more dimensions is a convolution or a linear layer; both may lack what they
 * were made without (bias=False, affine=False). Whose batch norm is it? The first of these that holds:
 *
 *   1. the map names the same layer for both
 *   2. one module beside it, of as many outputs and without a batch norm yet, has the same number behind its name:
 *      layer1.0.conv1 and layer1.0.bn1, block.conv and block.norm
 *   3. the nearest convolution or linear layer before it, if that has as many outputs and no batch norm yet
 *
 * Readers that know the graph (ONNX) say it themselves. Whole numbers and num_batches_tracked, which an average of
 * checkpoints makes a fraction, are no weights: left out.
 *
 * A module of a list of weights and no statistics is a GroupNorm, a LayerNorm, a PReLU, a batch norm that normalises by
 * each batch: no Darknet layer does that, and leaving it out gives another network. So no hint says how. */
#include "tensor_groups.h"

#include "darknet_plugin/base/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* A module, before batch norms have found their layers. */
typedef struct module {
    char *name;                        /* owned */
    const named_tensor *part[PARTS];   /* weight and bias stand for a batch norm's scale and shift, too */
    map_row *row;
    int partner;                       /* the other module's number, -1 = none yet */
} module;

typedef struct grouping {
    const named_tensors *tensors;
    const import_map *map;
    module *module;                    /* n, owned */
    int n;
    diag *d;
} grouping;

static int is_norm(const module *module) { return module->part[PART_MEAN] || module->part[PART_VARIANCE]; }
static size_t outputs(const module *module) { return module->part[PART_WEIGHT]->dim[0]; }

static const struct { const char *name; tensor_part part; } KINDS[] = {
    { "weight", PART_WEIGHT }, { "bias", PART_BIAS }, { "running_mean", PART_MEAN }, { "running_var", PART_VARIANCE },
};

static int part_of(const char *kind)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; ++i)
        if (!strcmp(KINDS[i].name, kind)) return (int)KINDS[i].part;
    return -1;
}

/* The module of that name, made if there is none yet. Its tensors mostly follow one another. */
static module *module_of(grouping *groups, const char *name, size_t len)
{
    for (int i = groups->n - 1; i >= 0; --i)
        if (!strncmp(groups->module[i].name, name, len) && !groups->module[i].name[len]) return &groups->module[i];
    if (groups->n % 256 == 0)
        groups->module = mem_realloc(groups->module, (size_t)groups->n + 256, sizeof *groups->module);
    module *made = &groups->module[groups->n++];
    *made = (module){ .name = mem_printf("%.*s", (int)len, name), .partner = -1 };
    made->row = import_map_find(groups->map, made->name);
    return made;
}

/* Does the map leave this tensor out? Warns where the network is another one then. */
static int left_out(const grouping *groups, const named_tensor *tensor)
{
    map_row *row = import_map_left_out(groups->map, tensor->name);
    if (!row) return 0;
    const char *dot = strrchr(tensor->name, '.');
    if (!row->prefix && dot && !strcmp(dot, ".weight") && tensor->dims == 1 && tensor->n > 1)
        diag_warn(groups->d, groups->map->path, row->line, NULL,
                  "'%s' has the size of a normalisation: the model computes "
                  "with it, the network will without", tensor->name);
    ++row->used;
    return 1;
}

static int is_counter(const named_tensor *tensor)
{
    static const char counter[] = "num_batches_tracked";
    const char *dot = strrchr(tensor->name, '.');
    return tensor->integer || (tensor->n == 1 && !strcmp(dot ? dot + 1 : tensor->name, counter));
}

/* The map says of a counter that it is left out: so it is. */
static void note_counter(const grouping *groups, const named_tensor *tensor)
{
    map_row *row = import_map_left_out(groups->map, tensor->name);
    if (row) ++row->used;
}

static int refuse_tensor(const grouping *groups, const named_tensor *tensor, const char *what)
{
    char text[TENSOR_TEXT];
    diag_error(groups->d, groups->tensors->path, 0, NULL, "tensor '%s' %s is %s", tensor->name,
               tensor_text(tensor->dims, tensor->dim, text), what);
    diag_hint(groups->d, "only if the model answers without it: '%s = none' in a file given by -map leaves it out",
              tensor->name);
    return -1;
}

/* A tensor into its module by name, unless the map leaves it out. */
static int sort_in(grouping *groups, const named_tensor *tensor)
{
    const char *dot = strrchr(tensor->name, '.');
    int part = part_of(dot ? dot + 1 : tensor->name);
    if (left_out(groups, tensor)) return 0;
    if (part < 0) return refuse_tensor(groups, tensor, "no weight, bias or running statistic");
    module *to = module_of(groups, tensor->name, dot ? (size_t)(dot - tensor->name) : 0);
    if (to->part[part]) return refuse_tensor(groups, tensor, "there twice");
    to->part[part] = tensor;
    return 0;
}

/* ---- what a module is: 0, or -1 and *odd, a tensor that does not fit; NULL in a module without any ---- */

static int check_norm(const module *module, const named_tensor **odd)
{
    size_t n = module->part[PART_MEAN] ? module->part[PART_MEAN]->n : 0;
    for (int i = 0; i < PARTS; ++i) {
        *odd = module->part[i];
        if (*odd && ((*odd)->dims != 1 || (*odd)->n != n)) return -1;
    }
    *odd = module->part[PART_MEAN] ? module->part[PART_MEAN] : module->part[PART_VARIANCE];
    return module->part[PART_MEAN] && module->part[PART_VARIANCE] ? 0 : -1;
}

static int check_weights(const module *module, const named_tensor **odd)
{
    *odd = module->part[PART_WEIGHT] ? module->part[PART_WEIGHT] : module->part[PART_BIAS];
    if (!module->part[PART_WEIGHT] || module->part[PART_WEIGHT]->dims < 2) return -1;
    *odd = module->part[PART_BIAS];
    return *odd && (*odd)->n != outputs(module) ? -1 : 0;
}

/* A batch norm as a whole, or weights with what may go with them. */
static int check_module(const grouping *groups, const module *module)
{
    const named_tensor *odd = NULL;
    char text[TENSOR_TEXT];
    if (!(is_norm(module) ? check_norm(module, &odd) : check_weights(module, &odd)) || !odd) return 0;
    int list = !is_norm(module) && odd->dims == 1;
    diag_error(groups->d, groups->tensors->path, 0, NULL,
               "'%s' %s belongs to no convolution, linear layer or batch norm%s", odd->name,
               tensor_text(odd->dims, odd->dim, text),
               !list ? "" : ": it is of a GroupNorm, a LayerNorm, a PReLU "
               "or a batch norm without running statistics, which no Darknet layer computes");
    return -1;
}

/* ---- whose batch norm: the three ways of the head, each the number of the layer's module or -1 ---- */

static const char *last_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* Digits at the end of a name, "" if none. */
static const char *end_number(const char *name)
{
    const char *end = name + strlen(name);
    while (end > name && isdigit((unsigned char)end[-1])) --end;
    return end;
}

static int beside(const char *name, const char *other)
{
    size_t n = (size_t)(last_name(name) - name);
    return n == (size_t)(last_name(other) - other) && !strncmp(name, other, n);
}

static int could_have(const module *layer, const module *norm)
{
    if (is_norm(layer) || layer->partner >= 0 || !layer->part[PART_WEIGHT]) return 0;
    return outputs(layer) == norm->part[PART_MEAN]->n;
}

static int by_map(const grouping *groups, const module *norm)
{
    if (!norm->row) return -1;
    for (int i = 0; i < groups->n; ++i) {
        const module *layer = &groups->module[i];
        if (could_have(layer, norm) && layer->row && layer->row->layer == norm->row->layer) return i;
    }
    return -1;
}

static int same_number(const char *name, const char *other)
{
    return !strcmp(end_number(last_name(name)), end_number(last_name(other)));
}

/* A name that is all number is a place in a list and tells nothing; nor does a second module that it would fit. */
static int by_number(const grouping *groups, const module *norm)
{
    const char *last = last_name(norm->name);
    int found = -1;
    if (end_number(last) == last) return -1;
    for (int i = 0; i < groups->n; ++i) {
        const char *name = groups->module[i].name;
        if (!could_have(&groups->module[i], norm) || !beside(name, norm->name)) continue;
        if (!same_number(name, norm->name)) continue;
        if (found >= 0) return -1;
        found = i;
    }
    return found;
}

static int by_place(const grouping *groups, int at)
{
    int i = at - 1;
    while (i >= 0 && is_norm(&groups->module[i])) --i;
    return i >= 0 && could_have(&groups->module[i], &groups->module[at]) ? i : -1;
}

static int refuse_norm(const grouping *groups, const module *norm)
{
    diag_error(groups->d, groups->tensors->path, 0, NULL,
               "batch norm '%s' of %zu channels: no layer of as many outputs stands before it", norm->name,
               norm->part[PART_MEAN]->n);
    diag_hint(groups->d, "a file given by -map can say '%s = N' and the same N for its convolution", norm->name);
    return -1;
}

/* Makes module `at`, a batch norm, and its layer partners; -1 with a message where it has none. */
static int pair_norm(grouping *groups, int at)
{
    module *norm = &groups->module[at];
    int layer = by_map(groups, norm);
    if (layer < 0) layer = by_number(groups, norm);
    if (layer < 0) layer = by_place(groups, at);
    if (layer < 0) return refuse_norm(groups, norm);
    norm->partner = layer;
    groups->module[layer].partner = at;
    if (norm->row) norm->row->used = 1;
    return 0;
}

/* ---- groups ---- */

static tensor_group *new_group(tensor_groups *out, const char *name)
{
    if (out->n % 256 == 0) out->group = mem_realloc(out->group, (size_t)out->n + 256, sizeof *out->group);
    out->group[out->n] = (tensor_group){ .name = mem_strdup(name) };
    return &out->group[out->n++];
}

/* A layer and its batch norm, whose weight and bias are scale and shift. */
static void add_group(const grouping *groups, const module *layer, tensor_groups *out)
{
    tensor_group *group = new_group(out, layer->name);
    group->part[PART_WEIGHT] = layer->part[PART_WEIGHT];
    group->part[PART_BIAS] = layer->part[PART_BIAS];
    group->row = layer->row;
    if (layer->row) layer->row->used = 1;
    if (layer->partner < 0) return;
    const module *norm = &groups->module[layer->partner];
    group->norm = mem_strdup(norm->name);
    group->part[PART_SCALE] = norm->part[PART_WEIGHT];
    group->part[PART_SHIFT] = norm->part[PART_BIAS];
    group->part[PART_MEAN] = norm->part[PART_MEAN];
    group->part[PART_VARIANCE] = norm->part[PART_VARIANCE];
}

/* Modules, what they are, their batch norms, groups; each step for all before the next. */
static int group_by_name(grouping *groups, tensor_groups *out)
{
    const named_tensors *tensors = groups->tensors;
    int failed = 0;
    for (int i = 0; i < tensors->n && !failed; ++i)
        if (!is_counter(&tensors->tensor[i])) failed = sort_in(groups, &tensors->tensor[i]);
        else note_counter(groups, &tensors->tensor[i]);
    for (int i = 0; i < groups->n && !failed; ++i) failed = check_module(groups, &groups->module[i]);
    for (int i = 0; i < groups->n && !failed; ++i)
        if (is_norm(&groups->module[i])) failed = pair_norm(groups, i);
    for (int i = 0; i < groups->n && !failed; ++i) {
        const module *module = &groups->module[i];
        if (!is_norm(module) && module->part[PART_WEIGHT]) add_group(groups, module, out);
    }
    return failed;
}

/* "conv1.weight" -> "conv1"; opaque names stay. */
static char *module_name(const char *tensor)
{
    const char *dot = strrchr(tensor, '.');
    return mem_printf("%.*s", dot && part_of(dot + 1) >= 0 ? (int)(dot - tensor) : (int)strlen(tensor), tensor);
}

/* The reader knew: tensors of one layer stand together or follow later, layers rise in the order of their weights. */
static int group_by_layer(grouping *groups, tensor_groups *out)
{
    for (int i = 0; i < groups->tensors->n; ++i) {
        const named_tensor *tensor = &groups->tensors->tensor[i];
        if (tensor->layer == out->n && tensor->part == PART_WEIGHT) {
            char *name = module_name(tensor->name);
            map_row *row = import_map_find(groups->map, name);
            new_group(out, name)->row = row;
            if (row) row->used = 1;
            free(name);
        }
        if (tensor->layer >= out->n) continue;
        tensor_group *group = &out->group[tensor->layer];
        group->part[tensor->part] = tensor;
        if (tensor->part == PART_MEAN) group->norm = module_name(tensor->name);
    }
    return 0;
}

/* Each row must have been said of something. */
static int check_map_used(const grouping *groups)
{
    const import_map *map = groups->map;
    for (int i = 0; i < map->n; ++i) {
        const map_row *row = &map->row[i];
        if (row->used) continue;
        diag_error(groups->d, map->path, row->line, NULL, "'%s%s' is no tensor or module of %s", row->name,
                   row->prefix ? "*" : "", groups->tensors->path);
        if (row->layer != MAP_NONE) diag_hint(groups->d, "a number is for a module with weights, or for its weight");
        return -1;
    }
    return 0;
}

int tensor_groups_make(const named_tensors *tensors, const import_map *map, tensor_groups *out, diag *d)
{
    grouping groups = { .tensors = tensors, .map = map, .d = d };
    int graph_known = tensors->n && tensors->tensor[0].layer >= 0;
    *out = (tensor_groups){ 0 };
    int failed = graph_known ? group_by_layer(&groups, out) : group_by_name(&groups, out);
    failed = failed || check_map_used(&groups);
    if (!failed && !out->n) {
        diag_error(d, tensors->path, 0, NULL, "no weights of a convolution or linear layer among its %d tensors",
                   tensors->n);
        failed = -1;
    }
    for (int i = 0; i < groups.n; ++i) free(groups.module[i].name);
    free(groups.module);
    return failed;
}

void tensor_groups_free(tensor_groups *groups)
{
    for (int i = 0; i < groups->n; ++i) {
        free(groups->group[i].name);
        free(groups->group[i].norm);
    }
    free(groups->group);
    *groups = (tensor_groups){ 0 };
}
