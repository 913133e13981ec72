/* Where a teacher's feature is tapped, and which activation it went through.
 *
 * tap=auto: the classifier is the last layer with weights before the output. From each final [softmax], [yolo] or
 * [region] walk back over layers without weights, over one layer with weights, and then over [avgpool] and [dropout];
 * the layer reached is the tap:
 *
 *   shortcut*  avgpool  conv 1x1  softmax         the map before the pooling
 *   conv*  conv 1x1  avgpool  softmax             the input of the last convolution
 *   conv*  conv 1x1  yolo                         one for each [yolo]
 *
 * A [route], [shortcut], [scale_channels] or [sam] between output and classifier makes "the last layer with weights"
 * ambiguous: then the user has to name the tap. Left out: [detection], whose output has no classifier of its own. */
#include "lower_build.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

static int is_any(const char *name, const char *const *list)
{
    for (; *list; ++list)
        if (!strcmp(name, *list)) return 1;
    return 0;
}

static const char *const pooled[] = { "avgpool", "dropout", NULL };
static const char *const joins[] = { "route", "shortcut", "scale_channels", "sam", NULL };

static const char tap_hint[] = "name the layer whose output is the feature: tap=N";

static int no_tap(const cfg_section *at, const cfg_section *layer, diag *d, const char *why)
{
    diag_error(d, at->file, cfg_line(at, "tap"), at->name, "tap=auto: %s (layer %d [%s], %s:%d)", why, layer->index,
               layer->name, layer->file, layer->line);
    diag_hint(d, tap_hint);
    return -1;
}

static int blame(tap_problem *problem, const cfg_section *layer, const char *why)
{
    problem->layer = layer;
    problem->why = why;
    return -1;
}

/* From output layer head->out back to its classifier and tap; -1 with the problem. */
static int walk_back(const cfg_file *cfg, const net_shape *shape, tap_head *head, tap_problem *problem)
{
    int i = head->out - 1;
    for (; i >= 0 && (!shape->layer[i].stored || is_any(cfg_layer(cfg, i)->name, joins)); --i)
        if (is_any(cfg_layer(cfg, i)->name, joins))
            return blame(problem, cfg_layer(cfg, i), "layers join between the classifier and its output");
    if (i < 0) return blame(problem, cfg_layer(cfg, head->out), "no layer with weights before the output");
    head->classifier = i;
    for (--i; i >= 0 && is_any(cfg_layer(cfg, i)->name, pooled); --i) {}
    if (i < 0) return blame(problem, cfg_layer(cfg, head->classifier),
                            "the classifier reads the network's input, there is no feature");
    head->tap = i;
    return 0;
}

/* The last layer that is no [cost]; -1: there is none. */
static int last_layer(const cfg_file *cfg)
{
    int last = cfg_layers(cfg) - 1;
    while (last >= 0 && cfg_is(cfg_layer(cfg, last), "cost")) --last;
    return last;
}

/* All answers of a network, in order of their outputs. */
int tap_heads(const cfg_file *cfg, const net_shape *shape, tap_head **heads, tap_problem *problem)
{
    int found = 0, last = last_layer(cfg);
    *problem = (tap_problem){ .layer = last < 0 ? NULL : cfg_layer(cfg, last) };
    *heads = mem_calloc((size_t)shape->n + 1, sizeof **heads);
    for (int i = 0; i <= last && found >= 0; ++i) {
        const cfg_section *s = cfg_layer(cfg, i);
        if (!cfg_is_boxes(s) && !(i == last && cfg_is(s, "softmax"))) continue;
        (*heads)[found] = (tap_head){ .out = i };
        found = walk_back(cfg, shape, &(*heads)[found], problem) ? -1 : found + 1;
    }
    if (found > 0) return found;
    free(*heads);
    *heads = NULL;
    return 0;
}

/* All taps in order of their outputs; how many, 0 after reporting. */
static int find_all(const cfg_file *teacher, const net_shape *shape, const cfg_section *at, int *tap, diag *d)
{
    tap_head *head;
    tap_problem problem;
    int found = tap_heads(teacher, shape, &head, &problem);
    for (int i = 0; i < found; ++i) tap[i] = head[i].tap;
    free(head);
    if (found) return found;
    if (problem.why) {
        no_tap(at, problem.layer, d, problem.why);
    } else {
        diag_error(d, at->file, cfg_line(at, "tap"), at->name,
                   "tap=auto: the teacher ends on [%s], not on [softmax], [yolo] or [region]",
                   problem.layer ? problem.layer->name : "net");
        diag_hint(d, tap_hint);
    }
    return 0;
}

int tap_find(const cfg_file *teacher, const net_shape *shape, const cfg_section *at, int **taps, diag *d)
{
    const cfg_section *v1 = cfg_first(teacher, "detection");
    int *tap = mem_calloc((size_t)shape->n + 1, sizeof *tap), found = 0;
    if (v1) {
        diag_error(d, at->file, cfg_line(at, "cfg"), at->name, "a [detection] teacher (%s:%d) is not supported",
                   v1->file, v1->line);
        diag_hint(d, "teachers end on [softmax], [yolo] or [region]");
    } else {
        found = find_all(teacher, shape, at, tap, d);
    }
    if (!found) free(tap);
    *taps = found ? tap : NULL;
    return found;
}

int lower_outputs(const cfg_file *cfg, int **out)
{
    int n = 0;
    *out = mem_calloc((size_t)cfg_layers(cfg) + 1, sizeof **out);
    for (int i = 0; i < cfg_layers(cfg); ++i)
        if (cfg_is_boxes(cfg_layer(cfg, i))) (*out)[n++] = i;
    return n;
}

/* Sections with an activation of their own, and Darknet's default for it. */
static const struct { const char *name, *def; } activated[] = {
    { "convolutional", "logistic" }, { "connected", "logistic" }, { "local", "logistic" },
        { "deconvolutional", "logistic" },
    { "rnn", "logistic" }, { "crnn", "logistic" }, { "shortcut", "linear" }, { "activation", "linear" },
    { "scale_channels", "linear" }, { "sam", "linear" },
};

const char *lower_default_activation(const char *section)
{
    for (size_t i = 0; i < sizeof activated / sizeof *activated; ++i)
        if (!strcmp(section, activated[i].name)) return activated[i].def;
    return NULL;
}

static const char *const transparent[] = { "dropout", "maxpool", "avgpool", "upsample", "reorg", "reorg3d", NULL };

/* The one that all its inputs share, else linear. */
static const char *route_activation(const cfg_section *section, int i, const char *const *act)
{
    int *from, n = cfg_ints(section, "layers", &from);
    const char *common = NULL;
    for (int k = 0; k < n; ++k) {
        int j = from[k] < 0 ? i + from[k] : from[k];
        const char *a = j < 0 || j >= i ? "linear" : act[j];
        if (common && strcmp(common, a)) a = "linear";
        common = a;
        if (!strcmp(a, "linear")) break;
    }
    free(from);
    return common ? common : "linear";
}

static const char *layer_activation(const cfg_section *section, int i, const char *const *act)
{
    const char *def = lower_default_activation(section->name);
    if (def) return cfg_str(section, "activation", def);
    if (cfg_is(section, "route")) return route_activation(section, i, act);
    return i > 0 && is_any(section->name, transparent) ? act[i - 1] : "linear";
}

/* From the front, once a layer: a route of routes walked from behind could take for ever. */
const char *tap_activation(const cfg_file *teacher, int tap)
{
    int n = cfg_layers(teacher);
    const char **act = mem_calloc((size_t)n + 1, sizeof *act), *found = "linear";
    for (int i = 0; i < n && i <= tap; ++i) found = act[i] = layer_activation(cfg_layer(teacher, i), i, act);
    free(act);
    return found;
}
