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
    size_t floats, n;
} merge;

typedef void (*say_fn)(diag *, const char *, int, const char *, const char *, ...);

/* Why a head cannot be merged: said as an error or, where another head can, as a warning. */
typedef struct refusal {
    say_fn say;
    diag *d;
} refusal;

static const cfg_section *section(const deployed *net_out, int i) { return cfg_layer(net_out->low->cfg, i); }

static int is_plain_conv(const cfg_section *section)
{
    int size = cfg_int(section, "size", 1), pad = cfg_int(section, "pad", 0) ? size / 2 : cfg_int(section, "padding",
        0);
    return cfg_is(section, "convolutional") && !pad && cfg_int(section, "groups", 1) == 1 && !cfg_int(section, "binary",
        0) && !cfg_int(section, "xnor", 0);
}

static int is_linear_1x1(const cfg_section *section)
{
    return is_plain_conv(section) && cfg_int(section, "size", 1) == 1 && cfg_int(section, "stride", 1) == 1
        && !strcmp(cfg_str(section, "activation", "logistic"), "linear");
}

/* The user's [projector] of head h. */
static const cfg_section *projector_of(const deployed *net_out, int h)
{
    for (int i = 0; i < net_out->low->source->n; ++i)
        if (cfg_is(&net_out->low->source->section[i], "projector") && !h--) return &net_out->low->source->section[i];
    return NULL;
}

static int refuse_projector(const deployed *net_out, int h, const refusal *refusal)
{
    const cfg_section *s = projector_of(net_out, h);
    const char *stack = s ? cfg_str(s, "stack", "bottleneck") : "none";
    if (!s) return -1;
    if (!net_out->low->head[h].projectors) refusal->say(refusal->d, s->file, s->line, s->name,
                                                        "nothing to merge: stack=none has no layer");
    else refusal->say(refusal->d, s->file, s->line, s->name,
                      "cannot be merged: stack=%s is not one linear 1x1 convolution", stack);
    if (net_out->low->head[h].projectors) diag_hint(refusal->d, "stack=linear is; it has to be trained as such");
    return -1;
}

/* Layers that are met between projector and classifier, and why they stay there. */
static const struct { const char *name, *why; } in_between[] = {
    { "maxpool", "a maximum of sums is not the sum of maxima" },
    { "shortcut", "it adds another map" }, { "route", "it reads other maps" },
    { "convolutional", "it pads, has groups or binary weights, so it is not one linear map of each pixel" },
};

static int refuse_between(const deployed *net_out, int h, int at, const refusal *refusal)
{
    const cfg_section *s = section(net_out, at);
    const lower_head *head = &net_out->low->head[h];
    const char *why = "it is not linear";
    for (size_t i = 0; i < sizeof in_between / sizeof *in_between; ++i)
        if (cfg_is(s, in_between[i].name)) why = in_between[i].why;
    refusal->say(refusal->d, s->file, s->line, s->name, "the projector cannot be merged across it: %s", why);
    if (shapes_has_weights(s->name)) diag_hint(refusal->d,
                                               "a 1x1 convolution or [connected], with only [avgpool] before it, could");
    else diag_hint(refusal->d, "with [teacher] tap=%d, which is behind it, and trained anew, it could",
                   head->tail_of[at - head->tail]);
    return -1;
}

static int refuse_reader(const deployed *net_out, int layer, int reader, const refusal *refusal)
{
    const cfg_section *s = section(net_out, reader);
    refusal->say(refusal->d, s->file, s->line, s->name,
                 "reads layer %d, a [%s] between projector and classifier, so these cannot be merged", layer,
           section(net_out, layer)->name);
    diag_hint(refusal->d, "let it read the layer before [projector]");
    return -1;
}

/* Layers whose output of a linear map of each pixel is that map of their output: averages, and every k-th pixel. */
static int commutes(const cfg_section *section)
{
    return cfg_is(section, "avgpool") || (cfg_is(section, "maxpool") && cfg_int(section, "size",
                                                                                cfg_int(section, "stride", 1)) == 1 &&
                                                                                    !cfg_int(section, "padding", 0));
}

static int is_classifier(const cfg_section *section) { return cfg_is(section, "connected") || is_plain_conv(section); }

/* 0 and where the classifier is; -1 after saying why not. */
static int find_classifier(const deployed *net_out, int h, merge *m, const refusal *refusal)
{
    const lower_head *head = &net_out->low->head[h];
    int at = head->tail, end = head->tail + head->tails, other;
    if (head->projectors != 1 || !is_linear_1x1(section(net_out, head->projector)))
        return refuse_projector(net_out, h, refusal);
    while (at >= 0 && at < end && commutes(section(net_out, at))) ++at;
    if (at < 0 || at >= end || !is_classifier(section(net_out, at)))
        return at < 0 || at >= end ? -1 : refuse_between(net_out, h, at, refusal);
    for (int i = head->projector; i < at; ++i)
        if (deploy_readers(net_out, i, &other) > 1) {
            while (other <= at && other < net_out->net->n && (other == i + 1 || !deploy_reads(net_out, other, i)))
                ++other;
            return refuse_reader(net_out, i, other, refusal);
        }
    *m = (merge){ .projector = head->projector, .classifier = at, .pool = cfg_is(section(net_out, head->tail),
                                                                                 "avgpool") ? head->pool : -1 };
    return 0;
}

static void quiet(diag *d, const char *file, int line, const char *section, const char *fmt, ...)
{
    (void)fmt;
    diag_warn(d, file, line, section, "not said");
}

/* Fills m[0..]; how many heads can be merged. What cannot is said: an error if nothing can be, else a warning. */
static int plan(const deployed *net_out, merge *m, diag *d)
{
    diag *unsaid = diag_new();
    refusal ask = { quiet, unsaid }, tell = { diag_error, d };
    int n = 0;
    for (int h = 0; h < net_out->low->heads; ++h) n += !find_classifier(net_out, h, &m[n], &ask);
    diag_free(unsaid);
    if (n) tell.say = diag_warn;
    merge unused;
    for (int h = 0; h < net_out->low->heads; ++h) find_classifier(net_out, h, &unused, &tell);
    return n;
}

/* (n, teacher's channels, window) times (teacher's channels, student's channels). */
static void multiply(merge *merge, const layer *c, const layer *l)
{
    size_t q = (size_t)l->n, s = (size_t)l->c, t = merge->floats / s;
    double *sum = mem_calloc(s * t, sizeof *sum);
    for (size_t o = 0; o < merge->n; ++o) {
        double bias = c->biases[o];
        memset(sum, 0, s * t * sizeof *sum);
        for (size_t k = 0; k < q * t; ++k) {
            double w = c->weights[o * q * t + k];
            const float *row = l->weights + k / t * s;
            bias += w * l->biases[k / t];
            for (size_t i = 0; i < s; ++i) sum[i * t + k % t] += w * row[i];
        }
        merge->biases[o] = (float)bias;
        for (size_t i = 0; i < s * t; ++i) merge->weights[o * s * t + i] = (float)sum[i];
    }
    free(sum);
}

static cfg_section *editable(deployed *net_out, int i)
{
    for (int k = 0; k < net_out->low->cfg->n; ++k)
        if (net_out->low->cfg->section[k].index == i) return &net_out->low->cfg->section[k];
    return NULL;
}

static void compute(deployed *net_out, merge *merge)
{
    layer *l = &net_out->net->layers[merge->projector], *c = &net_out->net->layers[merge->classifier];
    fold_layer(l, editable(net_out, merge->projector));
    fold_layer(c, editable(net_out, merge->classifier));
    merge->n = (size_t)(c->type == CONNECTED ? c->outputs : c->n);
    size_t all = c->type == CONNECTED ? merge->n * (size_t)c->inputs : (size_t)c->nweights;
    merge->floats = all / merge->n / (size_t)l->n * (size_t)l->c;   /* of one filter */
    merge->weights = mem_calloc(merge->n, merge->floats * sizeof *merge->weights);
    merge->biases = mem_calloc(merge->n, sizeof *merge->biases);
    multiply(merge, c, l);
}

/* What averages or reads the dropped maps computes something else than before. */
static void forget(deployed *net_out, const merge *merge)
{
    for (int i = merge->projector; i < merge->classifier; ++i) net_out->from[i] = -1;
}

static int replace(deployed *net_out, merge *merge, int n, diag *d)
{
    size_t layers = (size_t)net_out->net->n;
    char *drop = mem_calloc(layers, 1), *changed = mem_calloc(layers, 1);
    int *index = mem_calloc(layers, sizeof *index);
    for (int i = 0; i < n; ++i) {
        forget(net_out, &merge[i]);
        drop[merge[i].projector] = changed[merge[i].classifier] = 1;
        if (merge[i].pool >= 0) drop[merge[i].pool] = 1;
    }
    int failed = deploy_drop(net_out, drop, changed, index, d);
    for (int i = 0; i < n && !failed; ++i) {
        layer *c = &net_out->net->layers[index[merge[i].classifier]];
        memcpy(c->weights, merge[i].weights, merge[i].n * merge[i].floats * sizeof *c->weights);
        memcpy(c->biases, merge[i].biases, merge[i].n * sizeof *c->biases);
    }
    free(drop);
    free(changed);
    free(index);
    return failed;
}

int deploy_merge(deployed *net_out, diag *d)
{
    merge *m = mem_calloc((size_t)net_out->low->heads + 1, sizeof *m);
    if (!net_out->low->heads) {
        diag_error(d, net_out->low->source->path, 0, NULL, "nothing to merge: it has no [projector]");
        diag_hint(d, "-merge is for a distillation cfg with [projector] stack=linear");
    }
    int n = plan(net_out, m, d);
    for (int i = 0; i < n; ++i) compute(net_out, &m[i]);
    int failed = !n || replace(net_out, m, n, d);
    for (int i = 0; i < n; ++i) {
        free(m[i].weights);
        free(m[i].biases);
    }
    free(m);
    return failed ? -1 : n;
}
