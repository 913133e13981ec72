/* Merging a linear projector with the classifier behind it, so that the distilled network costs in inference what the
 * student with a classifier of its own would cost.
 *
 *   y[o] = bc[o] + sum over q, t of Wc[o][q][t] (bp[q] + sum over s of Wp[q][s] x[s][t])
 *        = b[o] + sum over s, t of W[o][s][t] x[s][t]
 *   W[o][s][t] = sum over q of Wc[o][q][t] Wp[q][s]      b[o] = bc[o] + sum over q, t of Wc[o][q][t] bp[q]
 *
 * q are the teacher's channels, s the student's, t the classifier's window (1 for a 1x1 convolution, the map for
 * [connected]). Average pooling in between changes nothing, since the mean of a linear map is the map of the mean,
 * biases included; nor does [maxpool] size=1, which picks pixels. Padding would: there a zero stands where the
 * projector would have given bp. Batch norm on either side is folded first. A frozen pooling of the student's map whose
 * only use is to be averaged again goes too. */
#include "weights_tools/file/fold.h"
#include "deploy.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* One head's merge. */
typedef struct merge {
    int projector, classifier;    /* layers before merging */
    int pool;                     /* a pooling that goes too, or -1 */
    float *weights, *biases;      /* of the one that replaces both; owned */
    size_t floats, n;             /* floats of a filter, filters */
} merge;

typedef void (*say_fn)(diag *, const char *, int, const char *, const char *, ...);

/* Why a head cannot be merged: said as an error or, where another head can, as a warning. */
typedef struct refusal {
    say_fn say;
    diag *d;
} refusal;

static const cfg_section *section_of(const deployed *deployed, int i) { return cfg_layer(deployed->low->cfg, i); }

static int is_plain_conv(const cfg_section *section)
{
    int size = cfg_int(section, "size", 1), padding = cfg_int(section, "padding", 0);
    if (cfg_int(section, "pad", 0)) padding = size / 2;
    return cfg_is(section, "convolutional") && !padding && cfg_int(section, "groups", 1) == 1
        && !cfg_int(section, "binary", 0) && !cfg_int(section, "xnor", 0);
}

static int is_linear_1x1(const cfg_section *section)
{
    int x, y, moves = cfg_strides(section, &x, &y) || x > 1;
    return is_plain_conv(section) && cfg_int(section, "size", 1) == 1 && !moves
        && !strcmp(cfg_str(section, "activation", "logistic"), "linear");
}

/* Does it give the same before a linear map of each pixel as behind it? Averages do, and picking every k-th pixel. */
static int commutes(const cfg_section *section)
{
    if (cfg_is(section, "avgpool")) return 1;
    int window = cfg_int(section, "size", cfg_int(section, "stride", 1));
    return cfg_is(section, "maxpool") && window == 1 && !cfg_int(section, "padding", 0);
}

static int is_classifier(const cfg_section *section) { return cfg_is(section, "connected") || is_plain_conv(section); }

/* ---- why not ---- */

/* The head has no projector layer, or others than one linear 1x1 convolution. */
static int refuse_projector(const deployed *deployed, int head, const refusal *refusal)
{
    const cfg_section *s = deployed->low->head[head].at;
    if (!s) return -1;
    if (!deployed->low->head[head].projectors) {
        refusal->say(refusal->d, s->file, s->line, s->name, "nothing to merge: stack=none has no layer");
        return -1;
    }
    refusal->say(refusal->d, s->file, s->line, s->name, "cannot be merged: stack=%s is not one linear 1x1 convolution",
                 cfg_str(s, "stack", "bottleneck"));
    diag_hint(refusal->d, "stack=linear is; it has to be trained as such");
    return -1;
}

static int refuse_no_classifier(const deployed *deployed, int head, const refusal *refusal)
{
    const cfg_section *s = deployed->low->head[head].at;
    if (s) refusal->say(refusal->d, s->file, s->line, s->name,
                        "nothing to merge with: the layers behind it only average, or pick pixels");
    return -1;
}

/* Layers that are met between projector and classifier, and why they stay there. */
static const struct { const char *name, *why; } in_between[] = {
    { "maxpool", "a maximum of sums is not the sum of maxima" },
    { "shortcut", "it adds another map" }, { "route", "it reads other maps" },
    { "scale_channels", "it multiplies by another map" }, { "sam", "it multiplies by another map" },
    { "convolutional", "it pads, has groups or binary weights, so it is not one linear map of each pixel" },
};

/* Layer `at` stands between the head's projector and what could be its classifier. */
static int refuse_between(const deployed *deployed, int head, int at, const refusal *refusal)
{
    const cfg_section *s = section_of(deployed, at);
    const lower_head *triple = &deployed->low->head[head];
    const char *why = "it is not linear";
    for (size_t i = 0; i < sizeof in_between / sizeof *in_between; ++i)
        if (cfg_is(s, in_between[i].name)) why = in_between[i].why;
    refusal->say(refusal->d, s->file, s->line, s->name, "the projector cannot be merged across it: %s", why);
    if (shapes_has_weights(s->name))
        diag_hint(refusal->d, "a 1x1 convolution or [connected], with only [avgpool] before it, could");
    else
        diag_hint(refusal->d, "with [teacher] tap=%d, which is behind it, and trained anew, it could",
                  triple->tail_of[at - triple->tail]);
    return -1;
}

static int refuse_reader(const deployed *deployed, int layer, int reader, const refusal *refusal)
{
    const cfg_section *s = section_of(deployed, reader);
    refusal->say(refusal->d, s->file, s->line, s->name,
                 "reads layer %d, a [%s] between projector and classifier, so these cannot be merged", layer,
                 section_of(deployed, layer)->name);
    diag_hint(refusal->d, "let it read the layer before [projector]");
    return -1;
}

/* ---- which layers ---- */

/* The first copied layer that the projector cannot be moved behind; -1 if there is none. */
static int first_that_matters(const deployed *deployed, const lower_head *head)
{
    for (int i = head->tail; i < head->tail + head->tails; ++i)
        if (!commutes(section_of(deployed, i))) return i;
    return -1;
}

/* Who reads layer i besides the layer behind it; -1: nobody. */
static int other_reader(const deployed *deployed, int i)
{
    for (int k = i + 2; k < deployed->net->n; ++k)
        if (deploy_reads(deployed, k, i)) return k;
    return -1;
}

/* The projector, the classifier and the pooling of one head; -1 after saying why they cannot be merged. From the
 * projector to the classifier each layer may be read by the next one alone, since its output will not be there. */
static int find_merge(const deployed *deployed, int head, merge *found, const refusal *refusal)
{
    const lower_head *triple = &deployed->low->head[head];
    if (triple->projectors != 1 || !is_linear_1x1(section_of(deployed, triple->projector)))
        return refuse_projector(deployed, head, refusal);
    int classifier = first_that_matters(deployed, triple);
    if (classifier < 0) return refuse_no_classifier(deployed, head, refusal);
    if (!is_classifier(section_of(deployed, classifier))) return refuse_between(deployed, head, classifier, refusal);
    for (int i = triple->projector; i < classifier; ++i) {
        int reader = other_reader(deployed, i);
        if (reader >= 0) return refuse_reader(deployed, i, reader, refusal);
    }
    int averaged = cfg_is(section_of(deployed, triple->tail), "avgpool");
    *found = (merge){ .projector = triple->projector, .classifier = classifier, .pool = averaged ? triple->pool : -1 };
    return 0;
}

/* A say_fn whose message, in a diag of its own, is there only for the hint that follows it. */
static void say_unheard(diag *d, const char *file, int line, const char *section, const char *fmt, ...)
{
    (void)fmt;
    diag_warn(d, file, line, section, "not said");
}

/* Fills merges[0..]; how many heads can be merged. What cannot is said: an error if nothing can be, else a warning. */
static int plan(const deployed *deployed, merge *merges, diag *d)
{
    diag *unheard = diag_new();
    refusal ask = { say_unheard, unheard }, tell = { diag_error, d };
    merge unused;
    int n = 0;
    for (int i = 0; i < deployed->low->heads; ++i) n += !find_merge(deployed, i, &merges[n], &ask);
    diag_free(unheard);
    if (n) tell.say = diag_warn;
    for (int i = 0; i < deployed->low->heads; ++i) find_merge(deployed, i, &unused, &tell);
    return n;
}

/* ---- merging ---- */

/* W and b of the formula above, in doubles, filter by filter: sum has a filter's W, (student's channels, window). */
static void multiply(merge *merge, const layer *classifier, const layer *projector)
{
    size_t teacher = (size_t)projector->n, student = (size_t)projector->c, window = merge->floats / student;
    double *sum = mem_calloc(merge->floats, sizeof *sum);
    const float *from = classifier->weights;
    for (size_t o = 0; o < merge->n; ++o) {
        double bias = classifier->biases[o];
        memset(sum, 0, merge->floats * sizeof *sum);
        for (size_t q = 0; q < teacher; ++q)
            for (size_t t = 0; t < window; ++t) {
                double w = *from++;
                bias += w * projector->biases[q];
                for (size_t s = 0; s < student; ++s) sum[s * window + t] += w * projector->weights[q * student + s];
            }
        merge->biases[o] = (float)bias;
        for (size_t i = 0; i < merge->floats; ++i) merge->weights[o * merge->floats + i] = (float)sum[i];
    }
    free(sum);
}

static cfg_section *editable(deployed *deployed, int i)
{
    cfg_file *cfg = deployed->low->cfg;
    for (int k = 0; k < cfg->n; ++k)
        if (cfg->section[k].index == i) return &cfg->section[k];
    return NULL;
}

/* Folds both layers and computes what replaces them. */
static void compute(deployed *deployed, merge *merge)
{
    layer *projector = &deployed->net->layers[merge->projector];
    layer *classifier = &deployed->net->layers[merge->classifier];
    int connected = classifier->type == CONNECTED;
    fold_layer(projector, editable(deployed, merge->projector));
    fold_layer(classifier, editable(deployed, merge->classifier));
    merge->n = (size_t)(connected ? classifier->outputs : classifier->n);
    size_t all = connected ? merge->n * (size_t)classifier->inputs : (size_t)classifier->nweights;
    merge->floats = all / merge->n / (size_t)projector->n * (size_t)projector->c;
    merge->weights = mem_calloc(merge->n, merge->floats * sizeof *merge->weights);
    merge->biases = mem_calloc(merge->n, sizeof *merge->biases);
    multiply(merge, classifier, projector);
}

/* What averages or reads the dropped maps computes something else than before. */
static void forget(deployed *deployed, const merge *merge)
{
    for (int i = merge->projector; i < merge->classifier; ++i) deployed->from[i] = -1;
}

static void take_weights(const deployed *deployed, const merge *merge, const int *index)
{
    layer *l = &deployed->net->layers[index[merge->classifier]];
    memcpy(l->weights, merge->weights, merge->n * merge->floats * sizeof *l->weights);
    memcpy(l->biases, merge->biases, merge->n * sizeof *l->biases);
}

/* Takes projectors and poolings out and gives the classifiers their new weights. */
static int replace(deployed *deployed, merge *merges, int merged, diag *d)
{
    size_t layers = (size_t)deployed->net->n;
    char *drop = mem_calloc(layers, 1), *changed = mem_calloc(layers, 1);
    int *index = mem_calloc(layers, sizeof *index);
    for (int i = 0; i < merged; ++i) {
        forget(deployed, &merges[i]);
        drop[merges[i].projector] = changed[merges[i].classifier] = 1;
        if (merges[i].pool >= 0) drop[merges[i].pool] = 1;
    }
    int failed = deploy_drop(deployed, drop, changed, index, d);
    for (int i = 0; i < merged && !failed; ++i) take_weights(deployed, &merges[i], index);
    free(drop);
    free(changed);
    free(index);
    return failed;
}

/* Each projector's classifier is a part of one that reads all of them. */
static int refuse_combined(const deployed *deployed, diag *d)
{
    const cfg_section *at = deployed->low->combine.section;
    diag_error(d, at->file, cfg_line(at, "combine"), at->name,
               "projectors cannot be merged with a classifier that reads several of them");
    diag_hint(d, "export without -merge, or let one teacher answer: combine=NAME");
    return -1;
}

/* Each step for all heads at once: dropping layers renumbers the rest. */
int deploy_merge(deployed *deployed, diag *d)
{
    if (deployed->low->combine.kind == COMBINE_LOGITS) return refuse_combined(deployed, d);
    merge *merges = mem_calloc((size_t)deployed->low->heads + 1, sizeof *merges);
    if (!deployed->low->heads) {
        diag_error(d, deployed->low->source->path, 0, NULL, "nothing to merge: it has no [projector]");
        diag_hint(d, "-merge is for a distillation cfg with [projector] stack=linear");
    }
    int n = plan(deployed, merges, d);
    for (int i = 0; i < n; ++i) compute(deployed, &merges[i]);
    int failed = !n || replace(deployed, merges, n, d);
    for (int i = 0; i < n; ++i) {
        free(merges[i].weights);
        free(merges[i].biases);
    }
    free(merges);
    return failed ? -1 : n;
}
