/* `weights compare CFG A B`: where two files of one network differ, layer by layer.
 *
 *   absolute   largest |a - b| of the layer
 *   relative   largest |a - b| of an array / largest magnitude in that array of either file, the worst array's: a
 *              weight near 0 that moved by a millionth of the largest weight is no difference of 100 %
 *   rms        root of the mean of (a - b)^2 over the layer
 *
 * Two numbers of the same bits differ by 0, NaN too; otherwise what is not finite differs infinitely. The first layer
 * that matters is the first whose relative difference exceeds -tolerance, or 1e-5 without it: a hundred times what
 * rounding to a float loses (6e-8), so converting back and forth does not matter, and training on does.
 *
 * Exit status as cmp's: 0 equal, 1 not. Equal means the same layers and in all of them the same bits, or with
 * -tolerance no layer that matters. Headers are told apart but do not count: `seen` alone is no other network. */
#include "weights_view.h"

#include "darknet_plugin/base/json.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/options.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MATTERS 1e-5

typedef struct layer_difference {
    int stored;              /* both files hold it, and it has weights */
    double absolute, relative, rms;
    const char *array;       /* of the largest relative difference, borrowed */
    int same_bits;
} layer_difference;

typedef struct comparison {
    const char *path[2];
    weights_contents c[2];
    int n, held;             /* layers of the cfg; how many of them both files hold */
    layer_difference *layer; /* n, owned */
    int first_bits, first_matters;   /* layers; -1 = none */
    int equal;
} comparison;

static double difference(const float *a, const float *b)
{
    if (!memcmp(a, b, sizeof *a)) return 0;
    return isfinite(*a) && isfinite(*b) ? fabs((double)*a - (double)*b) : INFINITY;
}

static double magnitude(float x) { return isfinite(x) ? fabs((double)x) : 0; }

/* Adds one array to the layer's differences; returns the sum of squares. */
static double add_array(layer_difference *l, const weights_tensor *tensor, const weights_tensor *one)
{
    double largest = 0, scale = 0, squares = 0;
    for (size_t i = 0; i < tensor->n; ++i) {
        double e = difference(&tensor->data[i], &one->data[i]);
        squares += e * e;
        largest = fmax(largest, e);
        scale = fmax(scale, fmax(magnitude(tensor->data[i]), magnitude(one->data[i])));
    }
    if (memcmp(tensor->data, one->data, tensor->n * sizeof *tensor->data)) l->same_bits = 0;
    l->absolute = fmax(l->absolute, largest);
    double relative = largest > 0 && isfinite(largest) && scale > 0 ? largest / scale : largest;
    if (relative > l->relative) {
        l->relative = relative;
        l->array = tensor->name;
    }
    return squares;
}

static layer_difference compare_layer(const weights_view *view, const comparison *comparison, int i)
{
    weights_tensor a[WEIGHTS_MAX_TENSORS], b[WEIGHTS_MAX_TENSORS];
    int n = weights_view_arrays(view, &comparison->c[0], i, a), m = weights_view_arrays(view, &comparison->c[1], i, b);
    layer_difference l = { .stored = n && m, .same_bits = 1 };
    double squares = 0;
    size_t count = 0;
    for (int j = 0; l.stored && j < n; count += a[j++].n) squares += add_array(&l, &a[j], &b[j]);
    l.rms = count ? sqrt(squares / (double)count) : 0;
    return l;
}

static void compare_files(const weights_view *view, comparison *comparison, const options *options)
{
    int exact = !options_given(options, "tolerance");
    double bound = exact ? MATTERS : options->tolerance;
    comparison->n = view->net->n;
    comparison->held = comparison->c[0].info.layers < comparison->c[1].info.layers ? comparison->c[0].info.layers
        : comparison->c[1].info.layers;
    comparison->layer = mem_calloc((size_t)comparison->n, sizeof *comparison->layer);
    comparison->first_bits = comparison->first_matters = -1;
    for (int i = comparison->n - 1; i >= 0; --i) {
        comparison->layer[i] = compare_layer(view, comparison, i);
        if (!comparison->layer[i].same_bits) comparison->first_bits = i;
        if (comparison->layer[i].relative > bound) comparison->first_matters = i;
    }
    comparison->equal = comparison->c[0].info.layers == comparison->c[1].info.layers &&
        (exact ? comparison->first_bits : comparison->first_matters) < 0;
}

/* ---- for people ---- */

static void print_header(const comparison *comparison, FILE *out)
{
    for (int f = 0; f < 2; ++f) {
        const weights_info *w = &comparison->c[f].info;
        fprintf(out, "%c: %s, version %d.%d.%d, seen %" PRIu64 " images", 'A' + f, comparison->path[f], w->major,
                w->minor, w->revision, w->seen);
        fprintf(out, w->layers < comparison->n ? ", layers 0 to %d only\n" : ", all layers\n", w->layers - 1);
    }
}

static void print_verdict(const weights_view *view, const comparison *comparison, FILE *out)
{
    int first = comparison->first_matters;
    if (first >= 0)
        fprintf(out, "first layer that matters: %d [%s], its %s differ by %.2g of their largest value\n", first,
                weights_view_section(view, first), comparison->layer[first].array, comparison->layer[first].relative);
    else if (comparison->first_bits >= 0)
        fprintf(out, "no layer differs enough to matter; the first with other bits is %d [%s]\n",
                comparison->first_bits, weights_view_section(view, comparison->first_bits));
    if (comparison->c[0].info.layers != comparison->c[1].info.layers)
        fprintf(out, "the files hold different layers; %d were compared\n", comparison->held);
    fprintf(out, comparison->equal ? "equal\n" : "different\n");
}

static void print_comparison(const weights_view *view, const comparison *comparison, FILE *out)
{
    print_header(comparison, out);
    fprintf(out, "\n   #  section          absolute   relative        rms  worst array     same bits\n");
    for (int i = 0; i < comparison->n; ++i) {
        const layer_difference *l = &comparison->layer[i];
        if (!l->stored) continue;
        fprintf(out, "%4d  %-15s %9.3g  %9.3g  %9.3g  %-15s %s\n", i, weights_view_section(view, i), l->absolute,
                l->relative, l->rms, l->array ? l->array : "-", l->same_bits ? "yes" : "no");
    }
    fprintf(out, "\n");
    print_verdict(view, comparison, out);
}

/* ---- for scripts ---- */

/* JSON has no infinity: null. */
static void add_number(cJSON *object, const char *name, double x)
{
    if (isfinite(x)) cJSON_AddNumberToObject(object, name, x);
    else cJSON_AddNullToObject(object, name);
}

/* A layer's number; null for none. */
static void add_layer(cJSON *object, const char *name, int i)
{
    add_number(object, name, i < 0 ? INFINITY : i);
}

static cJSON *file_json(const comparison *comparison, int f)
{
    const weights_info *w = &comparison->c[f].info;
    char version[40];
    cJSON *o = cJSON_CreateObject();
    snprintf(version, sizeof version, "%d.%d.%d", w->major, w->minor, w->revision);
    cJSON_AddStringToObject(o, "file", comparison->path[f]);
    cJSON_AddStringToObject(o, "version", version);
    cJSON_AddNumberToObject(o, "seen", (double)w->seen);
    cJSON_AddNumberToObject(o, "layers_held", w->layers);
    return o;
}

static cJSON *comparison_json(const weights_view *view, const comparison *comparison)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddBoolToObject(o, "equal", comparison->equal);
    add_layer(o, "first_other_bits", comparison->first_bits);
    add_layer(o, "first_that_matters", comparison->first_matters);
    cJSON *files = cJSON_AddArrayToObject(o, "files"), *list = cJSON_AddArrayToObject(o, "layers");
    for (int f = 0; f < 2; ++f) cJSON_AddItemToArray(files, file_json(comparison, f));
    for (int i = 0; i < comparison->n; ++i) {
        const layer_difference *l = &comparison->layer[i];
        if (!l->stored) continue;
        cJSON *e = cJSON_CreateObject();
        cJSON_AddNumberToObject(e, "index", i);
        cJSON_AddStringToObject(e, "type", weights_view_section(view, i));
        add_number(e, "absolute", l->absolute);
        add_number(e, "relative", l->relative);
        add_number(e, "rms", l->rms);
        if (l->array) cJSON_AddStringToObject(e, "array", l->array);
        cJSON_AddBoolToObject(e, "same_bits", l->same_bits);
        cJSON_AddItemToArray(list, e);
    }
    return o;
}

static int report(const weights_view *view, const comparison *comparison, const options *options, diag *d)
{
    if (options->json && json_print(comparison_json(view, comparison), options->out, d)) return -1;
    if (!options->json) print_comparison(view, comparison, options->out);
    return !comparison->equal;
}

static int run(options *options, diag *d)
{
    comparison k = { .path = { options->arg[2], options->arg[3] } };
    weights_view *v = weights_view_open(options->arg[1], d);
    if (!v) return -1;
    int failed = 0;
    for (int f = 0; f < 2; ++f) failed |= weights_read(k.path[f], v->low->shape, &k.c[f], d);
    if (!failed) {
        compare_files(v, &k, options);
        failed = report(v, &k, options, d);
    }
    free(k.layer);
    for (int f = 0; f < 2; ++f) weights_drop(&k.c[f]);
    weights_view_close(v);
    return failed;
}

const verb weights_compare = {
    .name = "compare", .arguments = "CFG A B", .min = 3, .max = 3, .run = run,
    .help = "differences, layer by layer",
    .flags = { "json", "tolerance" },
};
