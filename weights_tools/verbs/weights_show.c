/* `weights show CFG WEIGHTS`: what a weights file holds, one row an array, and what is wrong with it.
 *
 * Smallest, largest, mean and standard deviation are of the finite values alone; sums in double. Dead filters are
 * outputs all of whose weights are 0: pruned, or never trained. NaN, infinity and negative variances are what every
 * reader of ours refuses to load, so they are warned of; a file that does not fit its cfg is an error, told after the
 * table of the layers it does hold. */
#include "weights_view.h"

#include "darknet_plugin/base/json.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/base/words.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct array_values {
    size_t finite;
    double min, max, mean, deviation;      /* of the finite ones */
    size_t nan, infinite, negative;        /* negative: of a variance */
    size_t filters, dead;                  /* of weights whose rows are filters, else 0 */
} array_values;

static void count_value(array_values *values, float x, int variance)
{
    if (isnan(x)) ++values->nan;
    if (isinf(x)) ++values->infinite;
    if (variance && x < 0) ++values->negative;
    if (!isfinite(x)) return;
    if (!values->finite || x < values->min) values->min = x;
    if (!values->finite || x > values->max) values->max = x;
    values->mean += x;
    ++values->finite;
}

/* Types whose weights lie filter by filter. */
static int has_rows(LAYER_TYPE type)
{
    return type != DECONVOLUTIONAL && type != LOCAL;
}

static size_t dead_rows(const weights_tensor *tensor, size_t rows)
{
    size_t dead = 0, size = tensor->n / rows;
    for (size_t i = 0; i < rows; ++i) {
        size_t k = 0;
        while (k < size && tensor->data[i * size + k] == 0) ++k;
        dead += k == size;
    }
    return dead;
}

static double deviation_of(const weights_tensor *array, const array_values *values)
{
    double squares = 0;
    for (size_t k = 0; k < array->n; ++k) {
        double away = array->data[k] - values->mean;
        if (isfinite(array->data[k])) squares += away * away;
    }
    return values->finite ? sqrt(squares / (double)values->finite) : 0;
}

/* What array j of a layer's arrays holds. */
static array_values values_of(const layer *l, const weights_tensor *arrays, int j)
{
    const weights_tensor *array = &arrays[j];
    array_values values = { 0 };
    int biases = j;
    for (size_t k = 0; k < array->n; ++k) count_value(&values, array->data[k], weights_is_variance(array->name));
    if (values.finite) values.mean /= (double)values.finite;
    values.deviation = deviation_of(array, &values);
    if (!has_rows(l->type) || !strstr(array->name, "weights")) return values;
    while (biases > 0 && !strstr(arrays[biases].name, "biases")) --biases;   /* its own: as many as it has filters */
    values.filters = arrays[biases].n;
    values.dead = values.filters ? dead_rows(array, values.filters) : 0;
    return values;
}

/* Sizes of a layer's weights, outermost first; returns how many. */
static int weight_sizes(const layer *l, int size[5])
{
    const struct { LAYER_TYPE type; int n, size[5]; } rows[] = {
        { CONVOLUTIONAL, 4, { l->n, l->c / (l->groups ? l->groups : 1), l->size, l->size } },
        { DECONVOLUTIONAL, 4, { l->c, l->n, l->size, l->size } },
        { LOCAL, 5, { l->out_h * l->out_w, l->n, l->c, l->size, l->size } },
        { l->type, 2, { l->outputs, l->inputs } },       /* all others */
    };
    int i = 0;
    while (rows[i].type != l->type) ++i;
    memcpy(size, rows[i].size, sizeof rows[i].size);
    return rows[i].n;
}

static const char *sizes_text(const layer *l, char *text, size_t room)
{
    int size[5], n = weight_sizes(l, size);
    size_t at = 0;
    for (int i = 0; i < n && at < room; ++i)
        at += (size_t)snprintf(text + at, room - at, "%s%d", i ? " x " : "", size[i]);
    return text;
}

/* ---- for people ---- */

static void print_header(const weights_view *view, const weights_contents *contents, const char *path, FILE *out)
{
    const weights_info *info = &contents->info;
    int held = info->layers, all = view->net->n;
    fprintf(out, "%s: version %d.%d.%d, seen %" PRIu64 " images, %zu bytes\n", path, info->major, info->minor,
            info->revision, info->seen, contents->bytes);
    if (held >= all) fprintf(out, "the whole network: %d layers, %zu values\n\n", all, info->floats);
    else if (held) fprintf(out, "whole layers 0 to %d of 0 to %d: %zu values\n\n", held - 1, all - 1, info->floats);
    else fprintf(out, "no whole layer\n\n");
}

static void print_values(const array_values *values, FILE *out)
{
    if (!values->finite) fprintf(out, " %9s %9s %9s %9s\n", "-", "-", "-", "-");
    else
        fprintf(out, " %9.3g %9.3g %9.3g %9.3g\n", values->min, values->max, values->mean, values->deviation);
}

/* What is wrong with an array, if anything. */
static void print_bad(const weights_tensor *array, const array_values *values, FILE *out)
{
    const struct { size_t n; const char *what; } rows[] = {
        { values->nan, "NaN" }, { values->infinite, "infinite" }, { values->negative, "negative" },
        { values->dead, "dead filters" },
    };
    enum { ROWS = sizeof rows / sizeof *rows };
    char *list = NULL, one[48];
    int words = 0;
    for (int i = 0; i < ROWS; ++i) {
        snprintf(one, sizeof one, "%zu %s", rows[i].n, rows[i].what);
        if (rows[i].n) words_list(&list, &words, ROWS, one);
    }
    if (list) fprintf(out, "     ! %s: %s", array->name, list);
    if (list) fprintf(out, values->dead ? " of %zu\n" : "\n", values->filters);
    free(list);
}

/* A line an array, the layer's own columns in the first. */
static void print_layer(const weights_view *view, const weights_contents *contents, int i, FILE *out)
{
    const layer *l = &view->net->layers[i];
    weights_tensor arrays[WEIGHTS_MAX_TENSORS];
    char sizes[80];
    int n = weights_view_arrays(view, contents, i, arrays);
    for (int j = 0; j < n; ++j) {
        array_values values = values_of(l, arrays, j);
        if (j) fprintf(out, "%47s", "");
        else fprintf(out, "%4d  %-13s %-17s %9zu", i, weights_view_section(view, i), sizes_text(l, sizes, sizeof sizes),
                     view->low->shape->layer[i].params);
        fprintf(out, "  %-8s", arrays[j].name);
        print_values(&values, out);
        print_bad(&arrays[j], &values, out);
    }
}

static void print_show(const weights_view *view, const weights_contents *contents, const char *path, FILE *out)
{
    print_header(view, contents, path, out);
    fprintf(out, "   #  section       weights          parameters  array          min       max      mean deviation\n");
    for (int i = 0; i < view->net->n; ++i) print_layer(view, contents, i, out);
}

/* ---- for scripts ---- */

/* null: there is none. */
static void add_value(cJSON *object, const char *name, double value, int there)
{
    if (there) cJSON_AddNumberToObject(object, name, value);
    else cJSON_AddNullToObject(object, name);
}

/* What values_of found. */
static cJSON *array_json(const weights_tensor *array, const array_values *values)
{
    int there = values->finite > 0;
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "name", array->name);
    cJSON_AddNumberToObject(object, "n", (double)array->n);
    add_value(object, "min", values->min, there);
    add_value(object, "max", values->max, there);
    add_value(object, "mean", values->mean, there);
    add_value(object, "deviation", values->deviation, there);
    cJSON_AddNumberToObject(object, "nan", (double)values->nan);
    cJSON_AddNumberToObject(object, "infinite", (double)values->infinite);
    cJSON_AddNumberToObject(object, "negative", (double)values->negative);
    if (!values->filters) return object;
    cJSON_AddNumberToObject(object, "filters", (double)values->filters);
    cJSON_AddNumberToObject(object, "dead_filters", (double)values->dead);
    return object;
}

/* NULL for a layer without weights, and for one that the file does not hold. */
static cJSON *layer_json(const weights_view *view, const weights_contents *contents, int i)
{
    const layer *l = &view->net->layers[i];
    weights_tensor arrays[WEIGHTS_MAX_TENSORS];
    int size[5], n = weights_view_arrays(view, contents, i, arrays);
    if (!n) return NULL;
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "index", i);
    cJSON_AddStringToObject(object, "type", weights_view_section(view, i));
    cJSON_AddItemToObject(object, "shape", cJSON_CreateIntArray(size, weight_sizes(l, size)));
    cJSON_AddNumberToObject(object, "parameters", (double)view->low->shape->layer[i].params);
    cJSON *list = cJSON_AddArrayToObject(object, "arrays");
    for (int j = 0; j < n; ++j) {
        array_values values = values_of(l, arrays, j);
        cJSON_AddItemToArray(list, array_json(&arrays[j], &values));
    }
    return object;
}

/* The header, whole layers, and what was said meanwhile. */
static cJSON *show_json(const weights_view *view, const weights_contents *contents, int fits, const char *path,
                        const diag *d)
{
    cJSON *object = cJSON_CreateObject();
    weights_view_header(object, &contents->info, path);
    cJSON_AddNumberToObject(object, "bytes", (double)contents->bytes);
    cJSON_AddNumberToObject(object, "expected_bytes", (double)contents->expected);
    cJSON_AddBoolToObject(object, "fits", fits);
    cJSON_AddNumberToObject(object, "layers_held", contents->info.layers);
    cJSON_AddNumberToObject(object, "layers_of_cfg", view->net->n);
    cJSON *list = cJSON_AddArrayToObject(object, "layers");
    for (int i = 0; i < view->net->n; ++i) {
        cJSON *layer = layer_json(view, contents, i);
        if (layer) cJSON_AddItemToArray(list, layer);
    }
    cJSON_AddItemToObject(object, "messages", json_messages(d));
    return object;
}

/* The first sick array of layer i. */
static void warn_of_layer(const weights_view *view, const weights_contents *contents, int i, const char *path, diag *d)
{
    weights_tensor arrays[WEIGHTS_MAX_TENSORS];
    int n = weights_view_arrays(view, contents, i, arrays);
    for (int j = 0; j < n; ++j) {
        array_values values = values_of(&view->net->layers[i], arrays, j);
        if (!values.nan && !values.infinite && !values.negative) continue;
        diag_warn(d, path, 0, NULL,
                  "layer %d: %s hold %zu NaN, %zu infinite and %zu negative values: nothing will load this file", i,
                  arrays[j].name, values.nan, values.infinite, values.negative);
        return;
    }
}

/* What can be read of the file is shown, whatever is wrong with it. */
static int show(const weights_view *view, const options *options, diag *d)
{
    const char *path = options->arg[2];
    weights_contents contents;
    int status = weights_read(path, view->low->shape, &contents, d), failed = status;
    for (int i = 0; status >= 0 && i < view->net->n; ++i) warn_of_layer(view, &contents, i, path, d);
    if (status >= 0 && !options->json) print_show(view, &contents, path, options->out);
    else if (status >= 0) failed |= json_print(show_json(view, &contents, !status, path, d), options->out, d);
    weights_drop(&contents);
    return failed;
}

static int run(options *options, diag *d)
{
    weights_view *view = weights_view_open(options->arg[1], d);
    int failed = !view || show(view, options, d);
    weights_view_close(view);
    return failed;
}

const verb weights_show = {
    .name = "show", .arguments = "CFG WEIGHTS", .min = 2, .max = 2, .run = run,
    .help = "layers, shapes, value ranges",
    .example = "weights show deployed.cfg deployed.weights -json",
    .flags = { "json" },
};
