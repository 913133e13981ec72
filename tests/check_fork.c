/* See check_fork.h. */
#include "check_fork.h"

#include "weights_tools/file/weights_file.h"

enum { MOST = 32 };

typedef struct map {
    int c, h, w;
    double *y;               /* (batch, c, h, w), owned */
} map;

struct fork_reference {
    const network *net;
    cfg_file *cfg;
    map input, layer[MOST];
    double *weights[MOST], *biases[MOST];   /* owned, NULL where there are none */
};

static const cfg_section *section_of(const fork_reference *r, int i) { return cfg_layer(r->cfg, i); }
static const map *output_of(const fork_reference *r, int i) { return i < 0 ? &r->input : &r->layer[i]; }
static size_t size_of(const map *m, int batch) { return (size_t)batch * (size_t)m->c * (size_t)m->h * (size_t)m->w; }

static size_t at(const map *m, int b, int c, int i, int j)
{
    return (((size_t)b * (size_t)m->c + (size_t)c) * (size_t)m->h + (size_t)i) * (size_t)m->w + (size_t)j;
}

static double *doubles_of(const weights_tensor *t)
{
    double *x = mem_calloc(t->n, sizeof *x);
    for (size_t i = 0; i < t->n; ++i) x[i] = t->data[i];
    return x;
}

static void take_weights(fork_reference *r, int i)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    for (int k = weights_tensors(&r->net->layers[i], t); k-- > 0;) {
        if (!strcmp(t[k].name, "weights")) r->weights[i] = doubles_of(&t[k]);
        else if (!strcmp(t[k].name, "biases")) r->biases[i] = doubles_of(&t[k]);
        else fail_msg("layer %d has %s", i, t[k].name);
    }
}

fork_reference *fork_reference_of(const network *net, const char *cfg)
{
    fork_reference *r = mem_calloc(1, sizeof *r);
    diag *d = diag_new();
    r->net = net;
    r->cfg = cfg_parse("x.cfg", cfg, strlen(cfg), d);
    check_no_errors(d);
    diag_free(d);
    assert_true(net->n <= MOST);
    r->input = (map){ net->c, net->h, net->w, mem_calloc((size_t)net->batch * (size_t)net->inputs, sizeof(double)) };
    for (int i = 0; i < net->batch * net->inputs; ++i) r->input.y[i] = net->input[i];
    for (int i = 0; i < net->n; ++i) take_weights(r, i);
    return r;
}

void fork_reference_free(fork_reference *r)
{
    free(r->input.y);
    for (int i = 0; i < MOST; ++i) {
        free(r->layer[i].y);
        free(r->weights[i]);
        free(r->biases[i]);
    }
    cfg_free(r->cfg);
    free(r);
}

const double *fork_reference_output(const fork_reference *r) { return r->layer[r->net->n - 1].y; }

/* Room for layer i's output. */
static map *sized(fork_reference *r, int i, int c, int h, int w)
{
    map *m = &r->layer[i];
    if (!m->y) {
        *m = (map){ .c = c, .h = h, .w = w };
        m->y = mem_calloc(size_of(m, r->net->batch), sizeof *m->y);
    }
    memset(m->y, 0, size_of(m, r->net->batch) * sizeof *m->y);
    return m;
}

static double activated(double x, const char *activation)
{
    if (!strcmp(activation, "tanh")) return tanh(x);
    if (!strcmp(activation, "logistic")) return 1 / (1 + exp(-x));
    if (!strcmp(activation, "swish")) return x / (1 + exp(-x));
    if (strcmp(activation, "linear")) fail_msg("activation %s", activation);
    return x;
}

static void activate_map(fork_reference *r, map *y, const cfg_section *s, const char *def)
{
    const char *activation = cfg_str(s, "activation", def);
    for (size_t i = 0; i < size_of(y, r->net->batch); ++i) y->y[i] = activated(y->y[i], activation);
}

/* stride, or what stride_x or stride_y says. */
static int stride_of(const cfg_section *s, const char *key)
{
    int own = cfg_int(s, key, -1);
    return own > 0 ? own : cfg_int(s, "stride", 1);
}

#define EACH(m, image, channel, row, col)                        \
    for (int image = 0; image < r->net->batch; ++image)          \
        for (int channel = 0; channel < (m)->c; ++channel)       \
            for (int row = 0; row < (m)->h; ++row)               \
                for (int col = 0; col < (m)->w; ++col)

static void convolve(fork_reference *r, int n, const cfg_section *s)
{
    const map *x = output_of(r, n - 1);
    int k = cfg_int(s, "size", 1), pad = cfg_int(s, "pad", 0) ? k / 2 : cfg_int(s, "padding", 0), sx = stride_of(s, "stride_x"), sy = stride_of(s, "stride_y");
    int filters = cfg_int(s, "filters", 1), groups = cfg_int(s, "groups", 1), gap = k > 1 ? cfg_int(s, "dilation", 1) : 1, per = x->c / groups;
    map *y = sized(r, n, filters, (x->h + 2 * pad - k) / sy + 1, (x->w + 2 * pad - k) / sx + 1);
    EACH(y, b, o, i, j) {
        double sum = r->biases[n][o];
        for (int q = 0; q < per; ++q)
            for (int u = 0; u < k; ++u)
                for (int v = 0; v < k; ++v) {
                    int row = i * sy + (u - pad) * gap, col = j * sx + (v - pad) * gap;
                    if (row < 0 || col < 0 || row >= x->h || col >= x->w) continue;
                    sum += r->weights[n][((o * per + q) * k + u) * k + v] * x->y[at(x, b, o / (filters / groups) * per + q, row, col)];
                }
        y->y[at(y, b, o, i, j)] = sum;
    }
    activate_map(r, y, s, "logistic");
}

static void pool(fork_reference *r, int n, const cfg_section *s)
{
    const map *x = output_of(r, n - 1);
    int stride = cfg_int(s, "stride", 1), k = cfg_int(s, "size", stride), pad = cfg_int(s, "padding", k - 1), sx = stride_of(s, "stride_x"), sy = stride_of(s, "stride_y");
    map *y = sized(r, n, x->c, (x->h + pad - k) / sy + 1, (x->w + pad - k) / sx + 1);
    EACH(y, b, c, i, j) {
        double best = -1e30;
        for (int row = i * sy - pad / 2; row < i * sy - pad / 2 + k; ++row)
            for (int col = j * sx - pad / 2; col < j * sx - pad / 2 + k; ++col)
                if (row >= 0 && col >= 0 && row < x->h && col < x->w) best = fmax(best, x->y[at(x, b, c, row, col)]);
        y->y[at(y, b, c, i, j)] = best;
    }
}

static void average(fork_reference *r, int n, const cfg_section *s)
{
    (void)s;
    const map *x = output_of(r, n - 1);
    map *y = sized(r, n, x->c, 1, 1);
    EACH(x, b, c, i, j) y->y[at(y, b, c, 0, 0)] += x->y[at(x, b, c, i, j)] / (x->h * x->w);
}

static void upsample(fork_reference *r, int n, const cfg_section *s)
{
    const map *x = output_of(r, n - 1);
    int k = cfg_int(s, "stride", 2);
    map *y = sized(r, n, x->c, x->h * k, x->w * k);
    EACH(y, b, c, i, j) y->y[at(y, b, c, i, j)] = x->y[at(x, b, c, i / k, j / k)];
}

static void copy(fork_reference *r, int n, const cfg_section *s)
{
    (void)s;
    const map *x = output_of(r, n - 1);
    map *y = sized(r, n, x->c, x->h, x->w);
    memcpy(y->y, x->y, size_of(x, r->net->batch) * sizeof *y->y);
}

/* The layers that a key names. */
static int named(const cfg_section *s, const char *key, int n, int from[MOST])
{
    int *list, count = cfg_ints(s, key, &list);
    for (int k = 0; k < count; ++k) from[k] = list[k] < 0 ? n + list[k] : list[k];
    free(list);
    return count;
}

static void route(fork_reference *r, int n, const cfg_section *s)
{
    int from[MOST], count = named(s, "layers", n, from), groups = cfg_int(s, "groups", 1), id = cfg_int(s, "group_id", 0), channels = 0, done = 0;
    for (int k = 0; k < count; ++k) channels += output_of(r, from[k])->c / groups;
    map *y = sized(r, n, channels, output_of(r, from[0])->h, output_of(r, from[0])->w);
    for (int k = 0; k < count; ++k) {
        const map *x = output_of(r, from[k]);
        int part = x->c / groups;
        EACH(x, b, c, i, j) if (c / part == id) y->y[at(y, b, done + c - id * part, i, j)] = x->y[at(x, b, c, i, j)];
        done += part;
    }
}

static void scale(fork_reference *r, int n, const cfg_section *s)
{
    int from[MOST], pixels = cfg_int(s, "scale_wh", 0);
    named(s, "from", n, from);
    const map *z = output_of(r, from[0]), *x = output_of(r, n - 1);
    map *y = sized(r, n, z->c, z->h, z->w);
    EACH(y, b, c, i, j) y->y[at(y, b, c, i, j)] = z->y[at(z, b, c, i, j)] * x->y[pixels ? at(x, b, 0, i, j) : at(x, b, c, 0, 0)];
    activate_map(r, y, s, "linear");
}

static void sam(fork_reference *r, int n, const cfg_section *s)
{
    int from[MOST];
    named(s, "from", n, from);
    const map *z = output_of(r, from[0]), *x = output_of(r, n - 1);
    map *y = sized(r, n, z->c, z->h, z->w);
    EACH(y, b, c, i, j) y->y[at(y, b, c, i, j)] = z->y[at(z, b, c, i, j)] * x->y[at(x, b, c, i, j)];
    activate_map(r, y, s, "linear");
}

/* From the input's side: where each of its numbers goes. */
static void reorg3d(fork_reference *r, int n, const cfg_section *s)
{
    const map *x = output_of(r, n - 1);
    int k = cfg_int(s, "stride", 1);
    map *y = sized(r, n, x->c * k * k, x->h / k, x->w / k);
    EACH(x, b, c, i, j) y->y[at(y, b, (i % k * k + j % k) * x->c + c, i / k, j / k)] = x->y[at(x, b, c, i, j)];
}

/* The weight of operand k for channel c, normalised. */
static double sum_weight(const fork_reference *r, int n, const cfg_section *s, int operands, int channels, int k, int c)
{
    const char *kind = cfg_str(s, "weights_normalization", "none");
    const double *w = r->weights[n];
    int step = r->net->layers[n].nweights / operands, softmax = !strcmp(kind, "softmax");
    double all = 1e-4, largest = -1e30, own = 0;
    if (!w) return 1;
    if (step != 1 && step != channels) fail_msg("layer %d has %d weights", n, step * operands);
    for (int i = 0; i < operands; ++i) largest = fmax(largest, w[i * step + (step > 1 ? c : 0)]);
    for (int i = 0; i < operands; ++i) {
        double v = w[i * step + (step > 1 ? c : 0)];
        if (softmax) v = exp(v - largest);
        else if (strcmp(kind, "none")) v = fmax(v, 0);
        all += v;
        if (i == k) own = v;
    }
    return strcmp(kind, "none") ? own / all : own;
}

static void add(fork_reference *r, int n, const cfg_section *s)
{
    int from[MOST], count = named(s, "from", n, from);
    const map *x = output_of(r, n - 1);
    map *y = sized(r, n, x->c, x->h, x->w);
    EACH(y, b, c, i, j) {
        double *sum = &y->y[at(y, b, c, i, j)];
        *sum = sum_weight(r, n, s, count + 1, x->c, 0, c) * x->y[at(x, b, c, i, j)];
        for (int k = 0; k < count; ++k) {
            const map *z = output_of(r, from[k]);
            if (c < z->c) *sum += sum_weight(r, n, s, count + 1, x->c, k + 1, c) * z->y[at(z, b, c, i, j)];
        }
    }
    activate_map(r, y, s, "linear");
}

static const struct { const char *section; void (*run)(fork_reference *r, int n, const cfg_section *s); } rows[] = {
    { "convolutional", convolve }, { "maxpool", pool }, { "avgpool", average }, { "upsample", upsample }, { "dropout", copy }, { "route", route },
    { "scale_channels", scale }, { "sam", sam }, { "reorg3d", reorg3d }, { "shortcut", add },
};

/* From that layer on: what comes before it is as it was. */
static void run_from(fork_reference *r, int first)
{
    for (int n = first; n < r->net->n; ++n) {
        const cfg_section *s = section_of(r, n);
        size_t k = 0;
        while (k < sizeof rows / sizeof *rows && !cfg_is(s, rows[k].section)) ++k;
        if (k == sizeof rows / sizeof *rows) fail_msg("no formula for [%s]", s->name);
        rows[k].run(r, n, s);
    }
}

void fork_reference_run(fork_reference *r) { run_from(r, 0); }

/* ---- gradients ---- */

/* Where layer `changed` has other weights than when it ran last. */
static double loss(fork_reference *r, int changed, const float *coefficient)
{
    const map *y = &r->layer[r->net->n - 1];
    double sum = 0;
    run_from(r, changed);
    for (size_t i = 0; i < size_of(y, r->net->batch); ++i) sum += coefficient[i] * y->y[i];
    return sum;
}

/* Parameters p of layer i: got[k] must be d loss / d p[k], so many times. */
static void check_array(fork_reference *r, int i, const float *coefficient, double *p, const float *got, size_t n,
                        double times, const char *what)
{
    const double h = 1e-6;
    for (size_t k = 0; k < n; k += n > 100 ? 23 : 1) {
        double keep = p[k];
        p[k] = keep + h;
        double up = loss(r, i, coefficient);
        p[k] = keep - h;
        double down = loss(r, i, coefficient);
        p[k] = keep;
        check_close(got[k], times * (up - down) / (2 * h), 1e-4, what, k);
    }
}

/* A layer's loss takes what the layers before it gave last, so each runs once more with its own weights. */
void fork_reference_check(fork_reference *r, const float *coefficient, double times, const char *name)
{
    fork_reference_run(r);
    for (int i = 0; i < r->net->n; ++i) {
        const layer *l = &r->net->layers[i];
        char *what = mem_printf("%s, layer %d", name, i);
        size_t weights = (size_t)l->nweights, biases = (size_t)l->n;
        if (r->weights[i]) check_array(r, i, coefficient, r->weights[i], l->weight_updates, weights, times, what);
        if (r->biases[i]) check_array(r, i, coefficient, r->biases[i], l->bias_updates, biases, times, what);
        if (r->weights[i] || r->biases[i]) run_from(r, i);
        free(what);
    }
}
