/* Merging a linear projector with the classifier behind it, so that the distilled network costs in inference what the student
 * with a classifier of its own would cost.
 *
 *   y[o] = bc[o] + sum over q, t of Wc[o][q][t] (bp[q] + sum over s of Wp[q][s] x[s][t])
 *        = b[o] + sum over s, t of W[o][s][t] x[s][t]
 *   W[o][s][t] = sum over q of Wc[o][q][t] Wp[q][s]      b[o] = bc[o] + sum over q, t of Wc[o][q][t] bp[q]
 *
 * q are the teacher's channels, s the student's, t the classifier's window (1 for a 1x1 convolution, the map for [connected]).
 * Average pooling in between changes nothing, since the mean of a linear map is the map of the mean, biases included; nor does
 * [maxpool] size=1, which picks pixels. Padding would: there a zero stands where the projector would have given bp. Batch norm
 * on either side is folded first. A frozen pooling of the student's map whose only use is to be averaged again goes too. */
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

static const cfg_section *section(const deployed *p, int i) { return cfg_layer(p->low->cfg, i); }

static int is_plain_conv(const cfg_section *s)
{
    int size = cfg_int(s, "size", 1), pad = cfg_int(s, "pad", 0) ? size / 2 : cfg_int(s, "padding", 0);
    return cfg_is(s, "convolutional") && !pad && cfg_int(s, "groups", 1) == 1 && !cfg_int(s, "binary", 0) && !cfg_int(s, "xnor", 0);
}

static int is_linear_1x1(const cfg_section *s)
{
    return is_plain_conv(s) && cfg_int(s, "size", 1) == 1 && cfg_int(s, "stride", 1) == 1
        && !strcmp(cfg_str(s, "activation", "logistic"), "linear");
}

/* The user's [projector] of head h. */
static const cfg_section *projector_of(const deployed *p, int h)
{
    for (int i = 0; i < p->low->source->n; ++i)
        if (cfg_is(&p->low->source->section[i], "projector") && !h--) return &p->low->source->section[i];
    return NULL;
}

static int refuse_projector(const deployed *p, int h, const refusal *r)
{
    const cfg_section *s = projector_of(p, h);
    const char *stack = s ? cfg_str(s, "stack", "bottleneck") : "none";
    if (!s) return -1;
    if (!p->low->head[h].projectors) r->say(r->d, s->file, s->line, s->name, "nothing to merge: stack=none has no layer");
    else r->say(r->d, s->file, s->line, s->name, "cannot be merged: stack=%s is not one linear 1x1 convolution", stack);
    if (p->low->head[h].projectors) diag_hint(r->d, "stack=linear is; it has to be trained as such");
    return -1;
}

/* Layers that are met between projector and classifier, and why they stay there. */
static const struct { const char *name, *why; } in_between[] = {
    { "maxpool", "a maximum of sums is not the sum of maxima" },
    { "shortcut", "it adds another map" }, { "route", "it reads other maps" },
    { "convolutional", "it pads, has groups or binary weights, so it is not one linear map of each pixel" },
};

static int refuse_between(const deployed *p, int h, int at, const refusal *r)
{
    const cfg_section *s = section(p, at);
    const lower_head *head = &p->low->head[h];
    const char *why = "it is not linear";
    for (size_t i = 0; i < sizeof in_between / sizeof *in_between; ++i)
        if (cfg_is(s, in_between[i].name)) why = in_between[i].why;
    r->say(r->d, s->file, s->line, s->name, "the projector cannot be merged across it: %s", why);
    if (shapes_has_weights(s->name)) diag_hint(r->d, "a 1x1 convolution or [connected], with only [avgpool] before it, could");
    else diag_hint(r->d, "with [teacher] tap=%d, which is behind it, and trained anew, it could", head->tail_of[at - head->tail]);
    return -1;
}

static int refuse_reader(const deployed *p, int layer, int reader, const refusal *r)
{
    const cfg_section *s = section(p, reader);
    r->say(r->d, s->file, s->line, s->name, "reads layer %d, a [%s] between projector and classifier, so these cannot be merged", layer,
           section(p, layer)->name);
    diag_hint(r->d, "let it read the layer before [projector]");
    return -1;
}

/* Layers whose output of a linear map of each pixel is that map of their output: averages, and every k-th pixel. */
static int commutes(const cfg_section *s)
{
    return cfg_is(s, "avgpool") || (cfg_is(s, "maxpool") && cfg_int(s, "size", cfg_int(s, "stride", 1)) == 1 && !cfg_int(s, "padding", 0));
}

static int is_classifier(const cfg_section *s) { return cfg_is(s, "connected") || is_plain_conv(s); }

/* 0 and where the classifier is; -1 after saying why not. */
static int find_classifier(const deployed *p, int h, merge *m, const refusal *r)
{
    const lower_head *head = &p->low->head[h];
    int at = head->tail, end = head->tail + head->tails, other;
    if (head->projectors != 1 || !is_linear_1x1(section(p, head->projector))) return refuse_projector(p, h, r);
    while (at >= 0 && at < end && commutes(section(p, at))) ++at;
    if (at < 0 || at >= end || !is_classifier(section(p, at))) return at < 0 || at >= end ? -1 : refuse_between(p, h, at, r);
    for (int i = head->projector; i < at; ++i)
        if (deploy_readers(p, i, &other) > 1) {
            while (other <= at && other < p->net->n && (other == i + 1 || !deploy_reads(p, other, i))) ++other;
            return refuse_reader(p, i, other, r);
        }
    *m = (merge){ .projector = head->projector, .classifier = at, .pool = cfg_is(section(p, head->tail), "avgpool") ? head->pool : -1 };
    return 0;
}

static void quiet(diag *d, const char *file, int line, const char *section, const char *fmt, ...)
{
    (void)fmt;
    diag_warn(d, file, line, section, "not said");
}

/* Fills m[0..]; how many heads can be merged. What cannot is said: an error if nothing can be, else a warning. */
static int plan(const deployed *p, merge *m, diag *d)
{
    diag *unsaid = diag_new();
    refusal ask = { quiet, unsaid }, tell = { diag_error, d };
    int n = 0;
    for (int h = 0; h < p->low->heads; ++h) n += !find_classifier(p, h, &m[n], &ask);
    diag_free(unsaid);
    if (n) tell.say = diag_warn;
    merge unused;
    for (int h = 0; h < p->low->heads; ++h) find_classifier(p, h, &unused, &tell);
    return n;
}

/* (n, teacher's channels, window) times (teacher's channels, student's channels). */
static void multiply(merge *m, const layer *c, const layer *l)
{
    size_t q = (size_t)l->n, s = (size_t)l->c, t = m->floats / s;
    double *sum = mem_calloc(s * t, sizeof *sum);
    for (size_t o = 0; o < m->n; ++o) {
        double bias = c->biases[o];
        memset(sum, 0, s * t * sizeof *sum);
        for (size_t k = 0; k < q * t; ++k) {
            double w = c->weights[o * q * t + k];
            const float *row = l->weights + k / t * s;
            bias += w * l->biases[k / t];
            for (size_t i = 0; i < s; ++i) sum[i * t + k % t] += w * row[i];
        }
        m->biases[o] = (float)bias;
        for (size_t i = 0; i < s * t; ++i) m->weights[o * s * t + i] = (float)sum[i];
    }
    free(sum);
}

static cfg_section *editable(deployed *p, int i)
{
    for (int k = 0; k < p->low->cfg->n; ++k)
        if (p->low->cfg->section[k].index == i) return &p->low->cfg->section[k];
    return NULL;
}

static void compute(deployed *p, merge *m)
{
    layer *l = &p->net->layers[m->projector], *c = &p->net->layers[m->classifier];
    fold_layer(l, editable(p, m->projector));
    fold_layer(c, editable(p, m->classifier));
    m->n = (size_t)(c->type == CONNECTED ? c->outputs : c->n);
    size_t all = c->type == CONNECTED ? m->n * (size_t)c->inputs : (size_t)c->nweights;
    m->floats = all / m->n / (size_t)l->n * (size_t)l->c;   /* of one filter */
    m->weights = mem_calloc(m->n, m->floats * sizeof *m->weights);
    m->biases = mem_calloc(m->n, sizeof *m->biases);
    multiply(m, c, l);
}

/* What averages or reads the dropped maps computes something else than before. */
static void forget(deployed *p, const merge *m)
{
    for (int i = m->projector; i < m->classifier; ++i) p->from[i] = -1;
}

static int replace(deployed *p, merge *m, int n, diag *d)
{
    size_t layers = (size_t)p->net->n;
    char *drop = mem_calloc(layers, 1), *changed = mem_calloc(layers, 1);
    int *index = mem_calloc(layers, sizeof *index);
    for (int i = 0; i < n; ++i) {
        forget(p, &m[i]);
        drop[m[i].projector] = changed[m[i].classifier] = 1;
        if (m[i].pool >= 0) drop[m[i].pool] = 1;
    }
    int failed = deploy_drop(p, drop, changed, index, d);
    for (int i = 0; i < n && !failed; ++i) {
        layer *c = &p->net->layers[index[m[i].classifier]];
        memcpy(c->weights, m[i].weights, m[i].n * m[i].floats * sizeof *c->weights);
        memcpy(c->biases, m[i].biases, m[i].n * sizeof *c->biases);
    }
    free(drop);
    free(changed);
    free(index);
    return failed;
}

int deploy_merge(deployed *p, diag *d)
{
    merge *m = mem_calloc((size_t)p->low->heads + 1, sizeof *m);
    if (!p->low->heads) {
        diag_error(d, p->low->source->path, 0, NULL, "nothing to merge: it has no [projector]");
        diag_hint(d, "-merge is for a distillation cfg with [projector] stack=linear");
    }
    int n = plan(p, m, d);
    for (int i = 0; i < n; ++i) compute(p, &m[i]);
    int failed = !n || replace(p, m, n, d);
    for (int i = 0; i < n; ++i) {
        free(m[i].weights);
        free(m[i].biases);
    }
    free(m);
    return failed ? -1 : n;
}
