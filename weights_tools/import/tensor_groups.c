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
    const named_tensors *t;
    const import_map *map;
    module *m;                         /* n, owned */
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
        if (!strncmp(groups->m[i].name, name, len) && !groups->m[i].name[len]) return &groups->m[i];
    if (groups->n % 256 == 0) groups->m = mem_realloc(groups->m, (size_t)groups->n + 256, sizeof *groups->m);
    groups->m[groups->n] = (module){ .name = mem_printf("%.*s", (int)len, name), .partner = -1 };
    groups->m[groups->n].row = import_map_find(groups->map, groups->m[groups->n].name);
    return &groups->m[groups->n++];
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

/* A tensor into its module by name. */
static int sort_in(grouping *groups, const named_tensor *tensor)
{
    const char *dot = strrchr(tensor->name, '.'), *kind = dot ? dot + 1 : tensor->name;
    int part = part_of(kind);
    char text[TENSOR_TEXT];
    if (left_out(groups, tensor)) return 0;
    size_t len = dot ? (size_t)(dot - tensor->name) : 0;
    module *m = part < 0 ? NULL : module_of(groups, tensor->name, len);
    if (m && !m->part[part]) return m->part[part] = tensor, 0;
    diag_error(groups->d, groups->t->path, 0, NULL, "tensor '%s' %s is %s", tensor->name,
               tensor_text(tensor->dims, tensor->dim, text),
               m ? "there twice" : "no weight, bias or running statistic");
    diag_hint(groups->d, "only if the model answers without it: '%s = none' in a file given by -map leaves it out",
              tensor->name);
    return -1;
}

/* ---- what a module is ---- */

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
    diag_error(groups->d, groups->t->path, 0, NULL, "'%s' %s belongs to no convolution, linear layer or batch norm%s",
               odd->name, tensor_text(odd->dims, odd->dim, text),
                   !list ? "" : ": it is of a GroupNorm, a LayerNorm, a PReLU "
               "or a batch norm without running statistics, which no Darknet layer computes");
    return -1;
}

/* ---- whose batch norm ---- */

static const char *last_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* Digits at the end of a name, "" if none. */
static const char *end_number(const char *name)
{
    const char *p = name + strlen(name);
    while (p > name && isdigit((unsigned char)p[-1])) --p;
    return p;
}

static int beside(const char *a, const char *b)
{
    size_t n = (size_t)(last_name(a) - a);
    return n == (size_t)(last_name(b) - b) && !strncmp(a, b, n);
}

static int could_have(const module *m, const module *norm)
{
    return !is_norm(m) && m->partner < 0 && m->part[PART_WEIGHT] && outputs(m) == norm->part[PART_MEAN]->n;
}

static int by_map(const grouping *groups, const module *norm)
{
    if (!norm->row) return -1;
    for (int i = 0; i < groups->n; ++i)
        if (could_have(&groups->m[i], norm) && groups->m[i].row && groups->m[i].row->layer == norm->row->layer)
            return i;
    return -1;
}

static int by_number(const grouping *groups, const module *norm)
{
    const char *number = end_number(last_name(norm->name));
    int found = -1;
    if (number == last_name(norm->name)) return -1;      /* a place in a list, or no name */
    for (int i = 0; i < groups->n; ++i) {
        const char *other = groups->m[i].name;
        if (!could_have(&groups->m[i], norm) || !beside(other, norm->name) || strcmp(end_number(last_name(other)),
            number)) continue;
        if (found >= 0) return -1;
        found = i;
    }
    return found;
}

static int by_place(const grouping *groups, int at)
{
    int i = at - 1;
    while (i >= 0 && is_norm(&groups->m[i])) --i;
    return i >= 0 && could_have(&groups->m[i], &groups->m[at]) ? i : -1;
}

static int pair_norm(grouping *groups, int at)
{
    module *norm = &groups->m[at];
    int i = by_map(groups, norm);
    if (i < 0) i = by_number(groups, norm);
    if (i < 0) i = by_place(groups, at);
    if (i >= 0) {
        groups->m[norm->partner = i].partner = at;
        if (norm->row) norm->row->used = 1;
        return 0;
    }
    diag_error(groups->d, groups->t->path, 0, NULL,
               "batch norm '%s' of %zu channels: no layer of as many outputs stands before it", norm->name,
               norm->part[PART_MEAN]->n);
    diag_hint(groups->d, "a file given by -map can say '%s = N' and the same N for its convolution", norm->name);
    return -1;
}

/* ---- groups ---- */

static tensor_group *new_group(tensor_groups *out, const char *name)
{
    if (out->n % 256 == 0) out->group = mem_realloc(out->group, (size_t)out->n + 256, sizeof *out->group);
    out->group[out->n] = (tensor_group){ .name = mem_strdup(name) };
    return &out->group[out->n++];
}

static void add_group(const grouping *groups, const module *m, tensor_groups *out)
{
    tensor_group *x = new_group(out, m->name);
    x->part[PART_WEIGHT] = m->part[PART_WEIGHT];
    x->part[PART_BIAS] = m->part[PART_BIAS];
    x->row = m->row;
    if (m->row) m->row->used = 1;
    if (m->partner < 0) return;
    const module *norm = &groups->m[m->partner];
    x->norm = mem_strdup(norm->name);
    x->part[PART_SCALE] = norm->part[PART_WEIGHT];
    x->part[PART_SHIFT] = norm->part[PART_BIAS];
    x->part[PART_MEAN] = norm->part[PART_MEAN];
    x->part[PART_VARIANCE] = norm->part[PART_VARIANCE];
}

static int group_by_name(grouping *groups, tensor_groups *out)
{
    int failed = 0;
    for (int i = 0; i < groups->t->n && !failed; ++i)
        if (!is_counter(&groups->t->tensor[i])) failed = sort_in(groups, &groups->t->tensor[i]);
        else note_counter(groups, &groups->t->tensor[i]);
    for (int i = 0; i < groups->n && !failed; ++i) failed = check_module(groups, &groups->m[i]);
    for (int i = 0; i < groups->n && !failed; ++i)
        if (is_norm(&groups->m[i]) && (!groups->m[i].row || groups->m[i].row->layer != MAP_NONE))
            failed = pair_norm(groups, i);
    for (int i = 0; i < groups->n && !failed; ++i)
        if (!is_norm(&groups->m[i]) && groups->m[i].part[PART_WEIGHT]) add_group(groups, &groups->m[i], out);
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
    for (int i = 0; i < groups->t->n; ++i) {
        const named_tensor *x = &groups->t->tensor[i];
        if (x->layer == out->n && x->part == PART_WEIGHT) {
            char *name = module_name(x->name);
            tensor_group *made = new_group(out, name);
            map_row *row = import_map_find(groups->map, name);
            made->row = row;
            if (row) row->used = 1;
            free(name);
        }
        if (x->layer < out->n) out->group[x->layer].part[x->part] = x;
        if (x->layer < out->n && x->part == PART_MEAN) out->group[x->layer].norm = module_name(x->name);
    }
    return 0;
}

/* Each row must have been said of something. */
static int check_map_used(const grouping *groups)
{
    for (int i = 0; i < groups->map->n; ++i) {
        if (groups->map->row[i].used) continue;
        const map_row *row = &groups->map->row[i];
        diag_error(groups->d, groups->map->path, row->line, NULL, "'%s%s' is no tensor or module of %s", row->name,
                   row->prefix ? "*" : "", groups->t->path);
        if (row->layer != MAP_NONE) diag_hint(groups->d, "a number is for a module with weights, or for its weight");
        return -1;
    }
    return 0;
}

int tensor_groups_make(const named_tensors *tensors, const import_map *map, tensor_groups *out, diag *d)
{
    grouping g = { .t = tensors, .map = map, .d = d };
    *out = (tensor_groups){ 0 };
    int failed = tensors->n && tensors->tensor[0].layer >= 0 ? group_by_layer(&g, out) : group_by_name(&g, out);
    failed = failed || check_map_used(&g);
    if (!failed && !out->n) {
        diag_error(d, tensors->path, 0, NULL, "no weights of a convolution or linear layer among its %d tensors",
                   tensors->n);
        failed = -1;
    }
    for (int i = 0; i < g.n; ++i) free(g.m[i].name);
    free(g.m);
    return failed;
}

void tensor_groups_free(tensor_groups *g)
{
    for (int i = 0; i < g->n; ++i) {
        free(g->group[i].name);
        free(g->group[i].norm);
    }
    free(g->group);
    *g = (tensor_groups){ 0 };
}
