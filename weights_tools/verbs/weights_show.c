/* `weights show CFG WEIGHTS`: what a weights file holds, one row an array, and what is wrong with it.
 *
 * Smallest, largest, mean and standard deviation are of the finite values alone; sums in double. Dead filters are
 * outputs all of whose weights are 0: pruned, or never trained. NaN, infinity and negative variances are what every
 * reader of ours refuses to load, so they are warned of; a file that does not fit its cfg is an error, told after the
 * table of the layers it does hold. */
#include "weights_view.h"

#include "darknet_plugin/base/json.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/options.h"

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

/* Array j of a layer's t. */
static array_values values_of(const layer *l, const weights_tensor *tensor, int j)
{
    array_values v = { 0 };
    int rows = j;
    for (size_t k = 0; k < tensor[j].n; ++k) count_value(&v, tensor[j].data[k], weights_is_variance(tensor[j].name));
    if (v.finite) v.mean /= (double)v.finite;
    for (size_t k = 0; k < tensor[j].n; ++k)
        if (isfinite(tensor[j].data[k])) v.deviation += (tensor[j].data[k] - v.mean) * (tensor[j].data[k] - v.mean);
    if (v.finite) v.deviation = sqrt(v.deviation / (double)v.finite);
    if (!has_rows(l->type) || !strstr(tensor[j].name, "weights")) return v;
    while (rows > 0 && !strstr(tensor[rows].name, "biases")) --rows;   /* its own biases: as many as it has filters */
    v.filters = tensor[rows].n;
    v.dead = v.filters ? dead_rows(&tensor[j], v.filters) : 0;
    return v;
}

/* Sizes of a layer's weights, outermost first; returns how many. */
static int weight_sizes(const layer *l, int *size)
{
    int conv[] = { l->n, l->c / (l->groups ? l->groups : 1), l->size, l->size };
    int deconv[] = { l->c, l->n, l->size, l->size };
    int local[] = { l->out_h * l->out_w, l->n, l->c, l->size, l->size };
    int full[] = { l->outputs, l->inputs };
    const struct { LAYER_TYPE type; const int *size; int n; } rows[] = {
        { CONVOLUTIONAL, conv, 4 }, { DECONVOLUTIONAL, deconv, 4 }, { LOCAL, local, 5 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if (rows[i].type == l->type) return memcpy(size, rows[i].size, (size_t)rows[i].n * sizeof *size), rows[i].n;
    memcpy(size, full, sizeof full);
    return 2;
}

static const char *sizes_text(const layer *l, char *text, size_t room)
{
    int size[5], n = weight_sizes(l, size);
    size_t at = 0;
    for (int i = 0; i < n && at < room; ++i) at += (size_t)snprintf(text + at, room - at, "%s%d", i ? " x " : "",
                                                                    size[i]);
    return text;
}

/* ---- for people ---- */

static void print_header(const weights_view *view, const weights_contents *contents, const char *path, FILE *out)
{
    const weights_info *i = &contents->info;
    fprintf(out, "%s: version %d.%d.%d, seen %" PRIu64 " images, %zu bytes\n", path, i->major, i->minor, i->revision,
            i->seen, contents->bytes);
    if (i->layers >= view->net->n) fprintf(out, "the whole network: %d layers, %zu values\n\n", view->net->n,
                                           i->floats);
    else if (i->layers) fprintf(out, "whole layers 0 to %d of 0 to %d: %zu values\n\n", i->layers - 1, view->net->n - 1,
                                i->floats);
    else fprintf(out, "no whole layer\n\n");
}

static void print_values(const array_values *values, FILE *out)
{
    if (values->finite) fprintf(out, " %9.3g %9.3g %9.3g %9.3g\n", values->min, values->max, values->mean,
                                values->deviation);
    else fprintf(out, " %9s %9s %9s %9s\n", "-", "-", "-", "-");
}

static void print_bad(const weights_tensor *tensor, const array_values *values, FILE *out)
{
    const struct { size_t n; const char *what; } rows[] = {
        { values->nan, "NaN" }, { values->infinite, "infinite" }, { values->negative, "negative" },
            { values->dead, "dead filters" },
    };
    if (!values->nan && !values->infinite && !values->negative && !values->dead) return;
    fprintf(out, "     ! %s:", tensor->name);
    const char *comma = "";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        if (!rows[i].n) continue;
        fprintf(out, "%s %zu %s", comma, rows[i].n, rows[i].what);
        comma = ",";
    }
    fprintf(out, values->dead ? " of %zu\n" : "\n", values->filters);
}

static void print_layer(const weights_view *view, const weights_contents *contents, int i, FILE *out)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    char sizes[80];
    int n = weights_view_arrays(view, contents, i, t);
    for (int j = 0; j < n; ++j) {
        array_values a = values_of(&view->net->layers[i], t, j);
        if (j) fprintf(out, "%47s", "");
        else fprintf(out, "%4d  %-13s %-17s %9zu", i, weights_view_section(view, i), sizes_text(&view->net->layers[i],
            sizes, sizeof sizes), view->low->shape->layer[i].params);
        fprintf(out, "  %-8s", t[j].name);
        print_values(&a, out);
        print_bad(&t[j], &a, out);
    }
}

static void print_show(const weights_view *view, const weights_contents *contents, const char *path, FILE *out)
{
    print_header(view, contents, path, out);
    fprintf(out, "   #  section       weights          parameters  array          min       max      mean deviation\n");
    for (int i = 0; i < view->net->n; ++i) print_layer(view, contents, i, out);
}

/* ---- for scripts ---- */

static cJSON *array_json(const weights_tensor *tensor, const array_values *values)
{
    cJSON *o = cJSON_CreateObject();
    const struct { const char *name; double value; } numbers[] = {
        { "min", values->min }, { "max", values->max }, { "mean", values->mean }, { "deviation", values->deviation },
    }, counts[] = {
        { "nan", (double)values->nan }, { "infinite", (double)values->infinite },
            { "negative", (double)values->negative },
    };
    cJSON_AddStringToObject(o, "name", tensor->name);
    cJSON_AddNumberToObject(o, "n", (double)tensor->n);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i)
        if (values->finite) cJSON_AddNumberToObject(o, numbers[i].name, numbers[i].value);
        else cJSON_AddNullToObject(o, numbers[i].name);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; ++i)
        cJSON_AddNumberToObject(o, counts[i].name, counts[i].value);
    if (!values->filters) return o;
    cJSON_AddNumberToObject(o, "filters", (double)values->filters);
    cJSON_AddNumberToObject(o, "dead_filters", (double)values->dead);
    return o;
}

/* NULL for a layer without weights, and for one that the file does not hold. */
static cJSON *layer_json(const weights_view *view, const weights_contents *contents, int i)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    int size[5], n = weights_view_arrays(view, contents, i, t);
    if (!n) return NULL;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "index", i);
    cJSON_AddStringToObject(o, "type", weights_view_section(view, i));
    cJSON_AddItemToObject(o, "shape", cJSON_CreateIntArray(size, weight_sizes(&view->net->layers[i], size)));
    cJSON_AddNumberToObject(o, "parameters", (double)view->low->shape->layer[i].params);
    cJSON *list = cJSON_AddArrayToObject(o, "arrays");
    for (int j = 0; j < n; ++j) {
        array_values a = values_of(&view->net->layers[i], t, j);
        cJSON_AddItemToArray(list, array_json(&t[j], &a));
    }
    return o;
}

static cJSON *show_json(const weights_view *view, const weights_contents *contents, int fits, const char *path,
                        const diag *d)
{
    const weights_info *w = &contents->info;
    char version[40];
    cJSON *o = cJSON_CreateObject();
    snprintf(version, sizeof version, "%d.%d.%d", w->major, w->minor, w->revision);
    cJSON_AddStringToObject(o, "file", path);
    cJSON_AddStringToObject(o, "version", version);
    cJSON_AddNumberToObject(o, "seen", (double)w->seen);
    cJSON_AddNumberToObject(o, "bytes", (double)contents->bytes);
    cJSON_AddNumberToObject(o, "expected_bytes", (double)contents->expected);
    cJSON_AddBoolToObject(o, "fits", fits);
    cJSON_AddNumberToObject(o, "layers_held", w->layers);
    cJSON_AddNumberToObject(o, "layers_of_cfg", view->net->n);
    cJSON *list = cJSON_AddArrayToObject(o, "layers");
    for (int i = 0; i < view->net->n; ++i) {
        cJSON *l = layer_json(view, contents, i);
        if (l) cJSON_AddItemToArray(list, l);
    }
    cJSON_AddItemToObject(o, "messages", json_messages(d));
    return o;
}

/* One warning a layer at most. */
static void warn_of_values(const weights_view *view, const weights_contents *contents, const char *path, diag *d)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < view->net->n; ++i) {
        int n = weights_view_arrays(view, contents, i, t);
        for (int j = 0; j < n; ++j) {
            array_values a = values_of(&view->net->layers[i], t, j);
            if (!a.nan && !a.infinite && !a.negative) continue;
            diag_warn(d, path, 0, NULL,
                      "layer %d: %s hold %zu NaN, %zu infinite and %zu negative values: nothing will load this file", i,
                      t[j].name, a.nan, a.infinite, a.negative);
            break;
        }
    }
}

static int run(options *options, diag *d)
{
    weights_contents c;
    weights_view *v = weights_view_open(options->arg[1], d);
    if (!v) return -1;
    int status = weights_read(options->arg[2], v->low->shape, &c, d), failed = status;
    if (status >= 0) {
        warn_of_values(v, &c, options->arg[2], d);
        if (options->json) failed |= json_print(show_json(v, &c, !status, options->arg[2], d), options->out, d);
        else print_show(v, &c, options->arg[2], options->out);
    }
    weights_drop(&c);
    weights_view_close(v);
    return failed;
}

const verb weights_show = {
    .name = "show", .arguments = "CFG WEIGHTS", .min = 2, .max = 2, .run = run,
    .help = "layers, shapes, value ranges",
    .flags = { "json" },
};
