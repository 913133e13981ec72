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
    weights_contents file[2];
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

/* Adds one array of both files to its layer's differences; returns the sum of squares. */
static double add_array(layer_difference *differs, const weights_tensor *one, const weights_tensor *other)
{
    double largest = 0, scale = 0, squares = 0;
    for (size_t i = 0; i < one->n; ++i) {
        double e = difference(&one->data[i], &other->data[i]);
        squares += e * e;
        largest = fmax(largest, e);
        scale = fmax(scale, fmax(magnitude(one->data[i]), magnitude(other->data[i])));
    }
    if (memcmp(one->data, other->data, one->n * sizeof *one->data)) differs->same_bits = 0;
    differs->absolute = fmax(differs->absolute, largest);
    double relative = largest > 0 && isfinite(largest) && scale > 0 ? largest / scale : largest;
    if (relative > differs->relative) {
        differs->relative = relative;
        differs->array = one->name;
    }
    return squares;
}

/* Layer i in both files; not stored: one of them lacks it, or it has no weights. */
static layer_difference compare_layer(const weights_view *view, const comparison *comparison, int i)
{
    weights_tensor a[WEIGHTS_MAX_TENSORS], b[WEIGHTS_MAX_TENSORS];
    int n = weights_view_arrays(view, &comparison->file[0], i, a);
    layer_difference differs = { .stored = n && weights_view_arrays(view, &comparison->file[1], i, b), .same_bits = 1 };
    double squares = 0;
    size_t count = 0;
    for (int j = 0; differs.stored && j < n; ++j) {
        squares += add_array(&differs, &a[j], &b[j]);
        count += a[j].n;
    }
    differs.rms = count ? sqrt(squares / (double)count) : 0;
    return differs;
}

/* All layers from the last to the first, so that the first that differs remains. */
static void compare_files(const weights_view *view, comparison *comparison, const options *options)
{
    int exact = !options_given(options, "tolerance"), a = comparison->file[0].info.layers;
    int b = comparison->file[1].info.layers;
    double bound = exact ? MATTERS : options->tolerance;
    comparison->n = view->net->n;
    comparison->held = a < b ? a : b;
    comparison->layer = mem_calloc((size_t)comparison->n, sizeof *comparison->layer);
    comparison->first_bits = comparison->first_matters = -1;
    for (int i = comparison->n - 1; i >= 0; --i) {
        comparison->layer[i] = compare_layer(view, comparison, i);
        if (!comparison->layer[i].same_bits) comparison->first_bits = i;
        if (comparison->layer[i].relative > bound) comparison->first_matters = i;
    }
    comparison->equal = a == b && (exact ? comparison->first_bits : comparison->first_matters) < 0;
}

/* ---- for people ---- */

static void print_header(const comparison *comparison, FILE *out)
{
    for (int k = 0; k < 2; ++k) {
        const weights_info *info = &comparison->file[k].info;
        fprintf(out, "%c: %s, version %d.%d.%d, seen %" PRIu64 " images", 'A' + k, comparison->path[k], info->major,
                info->minor, info->revision, info->seen);
        fprintf(out, info->layers < comparison->n ? ", layers 0 to %d only\n" : ", all layers\n", info->layers - 1);
    }
}

/* Where they differ first, and whether that counts. */
static void print_verdict(const weights_view *view, const comparison *comparison, FILE *out)
{
    int matters = comparison->first_matters, bits = comparison->first_bits;
    if (matters >= 0)
        fprintf(out, "first layer that matters: %d [%s], its %s differ by %.2g of their largest value\n", matters,
                weights_view_section(view, matters), comparison->layer[matters].array,
                comparison->layer[matters].relative);
    else if (bits >= 0)
        fprintf(out, "no layer differs enough to matter; the first with other bits is %d [%s]\n", bits,
                weights_view_section(view, bits));
    if (comparison->file[0].info.layers != comparison->file[1].info.layers)
        fprintf(out, "the files hold different layers; %d were compared\n", comparison->held);
    fprintf(out, comparison->equal ? "equal\n" : "different\n");
}

static void print_layer(const weights_view *view, const comparison *comparison, int i, FILE *out)
{
    const layer_difference *differs = &comparison->layer[i];
    fprintf(out, "%4d  %-15s %9.3g  %9.3g  %9.3g  %-15s %s\n", i, weights_view_section(view, i), differs->absolute,
            differs->relative, differs->rms, differs->array ? differs->array : "-", differs->same_bits ? "yes" : "no");
}

static void print_comparison(const weights_view *view, const comparison *comparison, FILE *out)
{
    print_header(comparison, out);
    fprintf(out, "\n   #  section          absolute   relative        rms  worst array     same bits\n");
    for (int i = 0; i < comparison->n; ++i)
        if (comparison->layer[i].stored) print_layer(view, comparison, i, out);
    fprintf(out, "\n");
    print_verdict(view, comparison, out);
}

/* ---- for scripts ---- */

/* JSON has no infinity: null. */
static void add_number(cJSON *object, const char *name, double value)
{
    if (isfinite(value)) cJSON_AddNumberToObject(object, name, value);
    else cJSON_AddNullToObject(object, name);
}

/* A layer's number; null for none. */
static void add_layer(cJSON *object, const char *name, int i)
{
    add_number(object, name, i < 0 ? INFINITY : i);
}

static cJSON *file_json(const weights_info *info, const char *path)
{
    cJSON *object = cJSON_CreateObject();
    weights_view_header(object, info, path);
    cJSON_AddNumberToObject(object, "layers_held", info->layers);
    return object;
}

/* The columns of print_layer. */
static cJSON *layer_json(const weights_view *view, const comparison *comparison, int i)
{
    const layer_difference *differs = &comparison->layer[i];
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "index", i);
    cJSON_AddStringToObject(object, "type", weights_view_section(view, i));
    add_number(object, "absolute", differs->absolute);
    add_number(object, "relative", differs->relative);
    add_number(object, "rms", differs->rms);
    if (differs->array) cJSON_AddStringToObject(object, "array", differs->array);
    cJSON_AddBoolToObject(object, "same_bits", differs->same_bits);
    return object;
}

/* The verdict, both headers, and every layer that both hold. */
static cJSON *comparison_json(const weights_view *view, const comparison *comparison)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddBoolToObject(object, "equal", comparison->equal);
    add_layer(object, "first_other_bits", comparison->first_bits);
    add_layer(object, "first_that_matters", comparison->first_matters);
    cJSON *files = cJSON_AddArrayToObject(object, "files"), *layers = cJSON_AddArrayToObject(object, "layers");
    for (int k = 0; k < 2; ++k)
        cJSON_AddItemToArray(files, file_json(&comparison->file[k].info, comparison->path[k]));
    for (int i = 0; i < comparison->n; ++i)
        if (comparison->layer[i].stored) cJSON_AddItemToArray(layers, layer_json(view, comparison, i));
    return object;
}

/* 1: they are not equal. */
static int report(const weights_view *view, const comparison *comparison, const options *options, diag *d)
{
    if (options->json && json_print(comparison_json(view, comparison), options->out, d)) return -1;
    if (!options->json) print_comparison(view, comparison, options->out);
    return !comparison->equal;
}

/* Reads both files and tells; what cannot be read is told of both. */
static int compare(const weights_view *view, const options *options, diag *d)
{
    comparison comparison = { .path = { options->arg[2], options->arg[3] } };
    int failed = 0;
    for (int k = 0; k < 2; ++k)
        failed |= weights_read(comparison.path[k], view->low->shape, &comparison.file[k], d);
    if (!failed) {
        compare_files(view, &comparison, options);
        failed = report(view, &comparison, options, d);
    }
    free(comparison.layer);
    for (int k = 0; k < 2; ++k) weights_drop(&comparison.file[k]);
    return failed;
}

static int run(options *options, diag *d)
{
    weights_view *view = weights_view_open(options->arg[1], d);
    int failed = !view || compare(view, options, d);
    weights_view_close(view);
    return failed;
}

const verb weights_compare = {
    .name = "compare", .arguments = "CFG A B", .min = 3, .max = 3, .run = run,
    .help = "differences, layer by layer",
    .example = "weights compare net.cfg a.weights b.weights -tolerance .001",
    .flags = { "json", "tolerance" },
};
