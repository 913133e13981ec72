/* From a list of tensors to groups, one a layer.
 *
 * A name is a module's and a kind: "layer1.0.bn1" + "running_mean". A module with running_mean and running_var is a batch
 * norm, one with a weight of two or more dimensions is a convolution or a linear layer; both may lack what they were made
 * without (bias=False, affine=False). Whose batch norm is it? The first of these that holds:
 *
 *   1. the map names the same layer for both
 *   2. one module beside it, of as many outputs and without a batch norm yet, has the same number behind its name:
 *      layer1.0.conv1 and layer1.0.bn1, block.conv and block.norm
 *   3. the nearest convolution or linear layer before it, if that has as many outputs and no batch norm yet
 *
 * Readers that know the graph (ONNX) say it themselves. Whole numbers (num_batches_tracked) are no weights: left out. */
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

static int is_norm(const module *m) { return m->part[PART_MEAN] || m->part[PART_VARIANCE]; }
static size_t outputs(const module *m) { return m->part[PART_WEIGHT]->dim[0]; }

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
static module *module_of(grouping *g, const char *name, size_t len)
{
    for (int i = g->n - 1; i >= 0; --i)
        if (!strncmp(g->m[i].name, name, len) && !g->m[i].name[len]) return &g->m[i];
    if (g->n % 256 == 0) g->m = mem_realloc(g->m, (size_t)g->n + 256, sizeof *g->m);
    g->m[g->n] = (module){ .name = mem_printf("%.*s", (int)len, name), .partner = -1 };
    g->m[g->n].row = import_map_find(g->map, g->m[g->n].name);
    return &g->m[g->n++];
}

static int left_out(const grouping *g, const named_tensor *x)
{
    map_row *row = import_map_find(g->map, x->name);
    if (!row || row->layer != MAP_NONE) return 0;
    row->used = 1;
    return 1;
}

/* A tensor into its module by name. */
static int sort_in(grouping *g, const named_tensor *x)
{
    const char *dot = strrchr(x->name, '.'), *kind = dot ? dot + 1 : x->name;
    int part = part_of(kind);
    char text[TENSOR_TEXT];
    if (left_out(g, x)) return 0;
    module *m = part < 0 ? NULL : module_of(g, x->name, dot ? (size_t)(dot - x->name) : 0);
    if (m && m->row && m->row->layer == MAP_NONE) return m->row->used = 1, 0;
    if (m && !m->part[part]) return m->part[part] = x, 0;
    diag_error(g->d, g->t->path, 0, NULL, "tensor '%s' %s is %s", x->name, tensor_text(x->dims, x->dim, text),
               m ? "there twice" : "no weight, bias or running statistic");
    diag_hint(g->d, "'%s = none' in a file given by -map leaves it out", x->name);
    return -1;
}

/* ---- what a module is ---- */

static int check_norm(const module *m, const named_tensor **odd)
{
    size_t n = m->part[PART_MEAN] ? m->part[PART_MEAN]->n : 0;
    for (int i = 0; i < PARTS; ++i) {
        *odd = m->part[i];
        if (*odd && ((*odd)->dims != 1 || (*odd)->n != n)) return -1;
    }
    *odd = m->part[PART_MEAN] ? m->part[PART_MEAN] : m->part[PART_VARIANCE];
    return m->part[PART_MEAN] && m->part[PART_VARIANCE] ? 0 : -1;
}

static int check_weights(const module *m, const named_tensor **odd)
{
    *odd = m->part[PART_WEIGHT] ? m->part[PART_WEIGHT] : m->part[PART_BIAS];
    if (!m->part[PART_WEIGHT] || m->part[PART_WEIGHT]->dims < 2) return -1;
    *odd = m->part[PART_BIAS];
    return *odd && (*odd)->n != outputs(m) ? -1 : 0;
}

static int check_module(const grouping *g, const module *m)
{
    const named_tensor *odd = NULL;
    char text[TENSOR_TEXT];
    if (!(is_norm(m) ? check_norm(m, &odd) : check_weights(m, &odd)) || !odd) return 0;
    diag_error(g->d, g->t->path, 0, NULL, "'%s' %s belongs to no convolution, linear layer or batch norm", odd->name,
               tensor_text(odd->dims, odd->dim, text));
    diag_hint(g->d, "'%s = none' in a file given by -map leaves it out", m->name);
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

static int by_map(const grouping *g, const module *norm)
{
    if (!norm->row) return -1;
    for (int i = 0; i < g->n; ++i)
        if (could_have(&g->m[i], norm) && g->m[i].row && g->m[i].row->layer == norm->row->layer) return i;
    return -1;
}

static int by_number(const grouping *g, const module *norm)
{
    const char *number = end_number(last_name(norm->name));
    int found = -1;
    if (number == last_name(norm->name)) return -1;      /* a place in a list, or no name */
    for (int i = 0; i < g->n; ++i) {
        const char *other = g->m[i].name;
        if (!could_have(&g->m[i], norm) || !beside(other, norm->name) || strcmp(end_number(last_name(other)), number)) continue;
        if (found >= 0) return -1;
        found = i;
    }
    return found;
}

static int by_place(const grouping *g, int at)
{
    int i = at - 1;
    while (i >= 0 && is_norm(&g->m[i])) --i;
    return i >= 0 && could_have(&g->m[i], &g->m[at]) ? i : -1;
}

static int pair_norm(grouping *g, int at)
{
    module *norm = &g->m[at];
    int i = by_map(g, norm);
    if (i < 0) i = by_number(g, norm);
    if (i < 0) i = by_place(g, at);
    if (i >= 0) {
        g->m[norm->partner = i].partner = at;
        if (norm->row) norm->row->used = 1;
        return 0;
    }
    diag_error(g->d, g->t->path, 0, NULL, "batch norm '%s' of %zu channels: no layer of as many outputs stands before it", norm->name,
               norm->part[PART_MEAN]->n);
    diag_hint(g->d, "a file given by -map can say '%s = N' and the same N for its convolution", norm->name);
    return -1;
}

/* ---- groups ---- */

static tensor_group *new_group(tensor_groups *out, const char *name)
{
    if (out->n % 256 == 0) out->group = mem_realloc(out->group, (size_t)out->n + 256, sizeof *out->group);
    out->group[out->n] = (tensor_group){ .name = mem_strdup(name) };
    return &out->group[out->n++];
}

static void add_group(const grouping *g, const module *m, tensor_groups *out)
{
    tensor_group *x = new_group(out, m->name);
    x->part[PART_WEIGHT] = m->part[PART_WEIGHT];
    x->part[PART_BIAS] = m->part[PART_BIAS];
    x->row = m->row;
    if (m->row) m->row->used = 1;
    if (m->partner < 0) return;
    const module *norm = &g->m[m->partner];
    x->norm = mem_strdup(norm->name);
    x->part[PART_SCALE] = norm->part[PART_WEIGHT];
    x->part[PART_SHIFT] = norm->part[PART_BIAS];
    x->part[PART_MEAN] = norm->part[PART_MEAN];
    x->part[PART_VARIANCE] = norm->part[PART_VARIANCE];
}

static int group_by_name(grouping *g, tensor_groups *out)
{
    int failed = 0;
    for (int i = 0; i < g->t->n && !failed; ++i)
        if (!g->t->tensor[i].integer) failed = sort_in(g, &g->t->tensor[i]);
    for (int i = 0; i < g->n && !failed; ++i) failed = check_module(g, &g->m[i]);
    for (int i = 0; i < g->n && !failed; ++i)
        if (is_norm(&g->m[i]) && (!g->m[i].row || g->m[i].row->layer != MAP_NONE)) failed = pair_norm(g, i);
    for (int i = 0; i < g->n && !failed; ++i)
        if (!is_norm(&g->m[i]) && g->m[i].part[PART_WEIGHT]) add_group(g, &g->m[i], out);
    return failed;
}

/* "conv1.weight" -> "conv1"; opaque names stay. */
static char *module_name(const char *tensor)
{
    const char *dot = strrchr(tensor, '.');
    return mem_printf("%.*s", dot && part_of(dot + 1) >= 0 ? (int)(dot - tensor) : (int)strlen(tensor), tensor);
}

/* The reader knew: tensors of one layer stand together or follow later, layers rise in the order of their weights. */
static int group_by_layer(grouping *g, tensor_groups *out)
{
    for (int i = 0; i < g->t->n; ++i) {
        const named_tensor *x = &g->t->tensor[i];
        if (x->layer == out->n && x->part == PART_WEIGHT) {
            char *name = module_name(x->name);
            tensor_group *made = new_group(out, name);
            map_row *row = import_map_find(g->map, name);
            made->row = row;
            if (row) row->used = 1;
            free(name);
        }
        if (x->layer < out->n) out->group[x->layer].part[x->part] = x;
        if (x->layer < out->n && x->part == PART_MEAN) out->group[x->layer].norm = module_name(x->name);
    }
    return 0;
}

static int check_map_used(const grouping *g)
{
    for (int i = 0; i < g->map->n; ++i) {
        if (g->map->row[i].used) continue;
        diag_error(g->d, g->map->path, g->map->row[i].line, NULL, "'%s' is no tensor or module of %s", g->map->row[i].name, g->t->path);
        return -1;
    }
    return 0;
}

int tensor_groups_make(const named_tensors *t, const import_map *map, tensor_groups *out, diag *d)
{
    grouping g = { .t = t, .map = map, .d = d };
    *out = (tensor_groups){ 0 };
    int failed = t->n && t->tensor[0].layer >= 0 ? group_by_layer(&g, out) : group_by_name(&g, out);
    failed = failed || check_map_used(&g);
    if (!failed && !out->n) {
        diag_error(d, t->path, 0, NULL, "no weights of a convolution or linear layer among its %d tensors", t->n);
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
