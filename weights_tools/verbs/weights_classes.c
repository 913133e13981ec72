/* `weights classes CFG WEIGHTS OUT DATA [NAMES]`: the same network for the classes of DATA, to be trained further.
 *
 * All layers keep their weights but the classifiers, the layers with weights before each answer. Their filters are, for
 * each anchor (a softmax is as one), those of the box and then one a class:
 *
 *   box       kept: where something is, and how large, does not depend on what it is called
 *   class     the filter of the class of that name, NAMES being the old classes' (upper or lower case alike); for a new
 *             name the mean of all old ones, which is as sure of it as the network was of any
 *
 * OUT.cfg is CFG with other classes= and filters=; the count of images begins at 0. */
#include "weights_pair.h"

#include "darknet_plugin/base/json.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/base/path.h"
#include "darknet_plugin/data/dataset.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A classifier's filters: `anchors` times `box` ones and a class each. */
typedef struct rows {
    int out, classifier;         /* layers */
    int anchors, box, had;
} rows;

typedef struct change {
    weights_view *before, *after;    /* for training; owned */
    cfg_file *cfg;               /* what is written, owned */
    char *out;                   /* OUT of OUT.cfg and OUT.weights, owned */
    rows *head;                  /* owned */
    int heads, had, has;         /* classes before and now */
    char **old;                  /* names of the old ones, owned; NULL: not known */
    const data_file *data;       /* the new ones, borrowed */
    int *from;                   /* for each new class its old number, -1: it is new; owned */
} change;

/* ---- what the filters are ---- */

static int refuse(const cfg_section *section, const char *what, diag *d)
{
    diag_error(d, section->file, section->line, section->name, "%s", what);
    return -1;
}

/* An anchor's before those of its classes: the box, with Gaussian_yolo how sure of each of its numbers, objectness. */
static int box_filters(const cfg_section *section)
{
    if (cfg_is(section, "yolo")) return 5;
    if (cfg_is(section, "Gaussian_yolo")) return 9;
    return cfg_is(section, "region") ? cfg_int(section, "coords", 4) + 1 : 0;
}

/* Fills in what the filters before one answer are. */
static int read_rows(const change *change, rows *rows, diag *d)
{
    const cfg_section *section = cfg_layer(change->before->low->source, rows->out);
    int filters = change->before->net->layers[rows->classifier].out_c;
    if (change->before->net->layers[rows->classifier].type == CONNECTED)
        filters = change->before->net->layers[rows->classifier].outputs;
    if (cfg_find(section, "tree")) return refuse(section, "tree=: its classes are no list", d);
    if (cfg_int(section, "background", 0)) return refuse(section, "background=1: its filters are others", d);
    rows->box = box_filters(section);
    rows->had = cfg_is_boxes(section) ? cfg_classes(section) : filters;
    rows->anchors = filters / (rows->box + rows->had);
    if (rows->anchors * (rows->box + rows->had) == filters) return 0;
    return refuse(section, "the filters before it are not those of its classes", d);
}

/* All answers have the same classes. */
static int find_heads(change *change, diag *d)
{
    const lowered *low = change->before->low;
    tap_problem problem;
    tap_head *head;
    change->heads = tap_heads(low->cfg, low->shape, &head, &problem);
    change->head = mem_calloc((size_t)change->heads + 1, sizeof *change->head);
    int failed = 0;
    if (!change->heads) {
        diag_error(d, low->source->path, 0, NULL, "no classes to change: %s",
                   problem.why ? problem.why : "it ends on no [softmax], [yolo] or [region]");
        failed = -1;
    }
    for (int i = 0; i < change->heads && !failed; ++i) {
        change->head[i] = (rows){ .out = head[i].out, .classifier = head[i].classifier };
        failed = read_rows(change, &change->head[i], d);
        if (!failed && change->head[i].had != change->head[0].had)
            failed = refuse(cfg_layer(low->source, head[i].out), "its classes are not as many as another head's", d);
    }
    change->had = change->head[0].had;
    free(head);
    return failed;
}

/* ---- the classes ---- */

static int number_of(const change *change, const char *name)
{
    for (int i = 0; change->old && i < change->had; ++i)
        if (!strcasecmp(change->old[i], name)) return i;
    return -1;
}

/* Which of the new classes is which of the old. */
static int match_names(change *change, const char *names, const char *cfg, diag *d)
{
    change->has = change->data->classes;
    change->from = mem_calloc((size_t)change->has, sizeof *change->from);
    if (names) change->old = data_names_read(names, cfg, change->had, d);
    if (names && !change->old) return -1;
    if (names && !change->data->name) {
        diag_error(d, change->data->path, 0, NULL, "names= is missing: which class of %s is which?", names);
        return -1;
    }
    for (int i = 0; i < change->has; ++i)
        change->from[i] = change->data->name ? number_of(change, change->data->name[i]) : -1;
    return 0;
}

/* ---- the new network ---- */

static int open_before(change *change, const char *cfg, diag *d)
{
    change->before = weights_view_of(lower_read(cfg, LOWER_TRAIN, d), cfg, d);
    if (!change->before) return -1;
    if (!change->before->low->teachers) return 0;
    diag_error(d, cfg, 0, NULL,
               "a distillation answers through its teacher's classifier: change the teacher's classes");
    return -1;
}

/* cfg_layer, to be changed. */
static cfg_section *layer_of(cfg_file *cfg, int layer)
{
    return &cfg->section[cfg_layer(cfg, layer) - cfg->section];
}

/* The cfg with other numbers, and its network. */
static int build_after(change *change, diag *d)
{
    change->cfg = cfg_copy(change->before->low->source);
    for (int i = 0; i < change->heads; ++i) {
        const rows *rows = &change->head[i];
        cfg_section *classifier = layer_of(change->cfg, rows->classifier), *answer = layer_of(change->cfg, rows->out);
        cfg_set(classifier, cfg_is(classifier, "connected") ? "output" : "filters", "%d",
                rows->anchors * (rows->box + change->has));
        if (cfg_is_boxes(answer)) cfg_set(answer, "classes", "%d", change->has);
    }
    change->after = weights_view_of(lower_cfg(cfg_copy(change->cfg), LOWER_TRAIN, d), change->out, d);
    return change->after ? 0 : -1;
}

/* ---- the weights ---- */

/* One anchor's filters of one array, `size` numbers each. */
static void fill_anchor(const change *change, const rows *rows, const float *from, float *to, size_t size)
{
    size_t box = (size_t)rows->box * size;
    memcpy(to, from, box * sizeof *to);
    for (int c = 0; c < change->has; ++c) {
        float *row = to + box + (size_t)c * size;
        int old = change->from[c];
        if (old >= 0) memcpy(row, from + box + (size_t)old * size, size * sizeof *row);
        for (size_t k = 0; old < 0 && k < size; ++k) {
            double sum = 0;
            for (int i = 0; i < rows->had; ++i) sum += from[box + (size_t)i * size + k];
            row[k] = (float)(sum / rows->had);
        }
    }
}

static void fill_rows(const change *change, const rows *rows, const weights_tensor *from, weights_tensor *to)
{
    int before = rows->box + rows->had, after = rows->box + change->has;
    size_t size = from->n / (size_t)(rows->anchors * before);
    for (int a = 0; a < rows->anchors; ++a)
        fill_anchor(change, rows, from->data + (size_t)(a * before) * size, to->data + (size_t)(a * after) * size,
                    size);
}

static const rows *rows_of(const change *change, int layer)
{
    for (int i = 0; i < change->heads; ++i)
        if (change->head[i].classifier == layer) return &change->head[i];
    return NULL;
}

/* Every array, as it was or with the new rows. */
static int fill(const change *change, const weights_contents *contents, const char *path, diag *d)
{
    weights_tensor from[WEIGHTS_MAX_TENSORS], to[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < change->after->net->n; ++i) {
        const rows *rows = rows_of(change, i);
        int n = weights_stored(&change->after->net->layers[i], to);
        if (!n) continue;
        if (weights_view_arrays(change->before, contents, i, from) != n) {
            diag_error(d, path, 0, NULL, "holds layers 0 to %d only, all are wanted", contents->info.layers - 1);
            return -1;
        }
        for (int j = 0; j < n; ++j) {
            if (weights_check_values(&from[j], i, path, d)) return -1;
            if (rows) fill_rows(change, rows, &from[j], &to[j]);
        }
        if (!rows) (void)weights_copy(from, n, to, n);   /* of one cfg, so as large */
    }
    *change->after->net->seen = 0;
    return 0;
}

/* ---- the verb ---- */

/* What has changed, as one object. */
static cJSON *json_of(const change *change)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "classes_before", change->had);
    cJSON_AddNumberToObject(object, "classes", change->has);
    cJSON *known = cJSON_AddArrayToObject(object, "known"), *heads = cJSON_AddArrayToObject(object, "heads");
    for (int i = 0; i < change->has; ++i)
        if (change->from[i] >= 0) cJSON_AddItemToArray(known, cJSON_CreateString(change->data->name[i]));
    for (int i = 0; i < change->heads; ++i) {
        const rows *rows = &change->head[i];
        cJSON *head = cJSON_CreateObject();
        cJSON_AddNumberToObject(head, "layer", rows->classifier);
        cJSON_AddNumberToObject(head, "filters", rows->anchors * (rows->box + change->has));
        cJSON_AddItemToArray(heads, head);
    }
    return object;
}

/* The same in words. */
static int report(const change *change, const options *options, diag *d)
{
    if (options->json) return json_print(json_of(change), options->out, d);
    const char *between = ": ";
    int known = 0;
    for (int i = 0; i < change->has; ++i) known += change->from[i] >= 0;
    fprintf(options->out, "%s.cfg: %d classes were %d, %d of them known", change->out, change->has, change->had, known);
    for (int i = 0; i < change->has; ++i) {
        if (change->from[i] < 0) continue;
        fprintf(options->out, "%s%s", between, change->data->name[i]);
        between = ", ";
    }
    fprintf(options->out, "\n");
    for (int i = 0; i < change->heads; ++i) {
        const rows *rows = &change->head[i];
        fprintf(options->out, "  layer %d: %d filters were %d\n", rows->classifier,
                rows->anchors * (rows->box + change->has), rows->anchors * (rows->box + change->had));
    }
    fprintf(options->out, "%s.weights\n", change->out);
    return 0;
}

/* One thing after another; nothing is written unless all of it works. */
static int change_classes(change *change, const options *options, diag *d)
{
    const char *cfg = options->arg[1], *weights = options->arg[2];
    weights_contents contents = { .x = NULL };
    int failed = open_before(change, cfg, d) || find_heads(change, d) ||
                 match_names(change, options->n > 5 ? options->arg[5] : NULL, cfg, d) ||
                 weights_read(weights, change->before->low->shape, &contents, d) || build_after(change, d) ||
                 fill(change, &contents, weights, d) ||
                 weights_pair_write(change->cfg, change->after->net, LOWER_TRAIN, change->out, d) ||
                 report(change, options, d);
    weights_drop(&contents);
    return failed ? -1 : 0;
}

static void free_change(change *change)
{
    data_names_free(change->old, change->had);
    weights_view_close(change->before);
    weights_view_close(change->after);
    cfg_free(change->cfg);
    free(change->out);
    free(change->head);
    free(change->from);
}

static int run(options *options, diag *d)
{
    data_file *data = data_file_read(options->arg[4], d);
    change change = { .data = data, .out = path_of_pair(options->arg[3]) };   /* it may have either file's ending */
    int failed = !data || change_classes(&change, options, d);
    free_change(&change);
    data_file_free(data);
    return failed ? -1 : 0;
}

const verb weights_classes = {
    .name = "classes", .arguments = "CFG WEIGHTS OUT DATA [NAMES]", .min = 4, .max = 5, .run = run,
    .help = "for the classes of DATA; NAMES: what the old ones were called",
    .example = "weights classes yolo.cfg yolo.weights mine my.data coco.names",
    .flags = { "json" },
};
