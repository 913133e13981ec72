/* A convolution with batch norm and activation in doubles, straight from the definitions, and its central differences.
 * The loss is sum(k * y) with fixed random k, so a layer given delta = k must return the derivative of that sum. */
#include "check_layers.h"

#include "layers/fork_layers.h"

network *check_bound(const char *cfg, cpu_backend backend, const cpu_mode *mode)
{
    return check_bound_as(cfg, &(cpu_options){ .backend = backend, .seed = 7, .mode = mode });
}

network *check_bound_as(const char *cfg, const cpu_options *o)
{
    network *net = check_parse(cfg);
    diag *d = diag_new();
    assert_int_equal(cpu_bind(net, o, d), 0);
    check_no_errors(d);
    diag_free(d);
    return net;
}

void check_release(network *net)
{
    cpu_unbind(net);
    host_free(net);
}

static network state_at(network *net, int i, int train)
{
    network state = *net;
    state.index = i;
    state.train = train;
    state.input = i ? net->layers[i - 1].output : net->input;
    state.delta = i ? net->layers[i - 1].delta : NULL;
    return state;
}

void check_forward(network *net, int i, int train) { net->layers[i].forward(net->layers[i], state_at(net, i, train)); }
void check_backward(network *net, int i, int train) { net->layers[i].backward(net->layers[i], state_at(net, i, train)); }
size_t check_size(const network *net, int i)
{
    return (size_t)net->layers[i].batch * (size_t)net->layers[i].outputs;
}

network *conv_case_net_as(const conv_case *k, cpu_mode mode, const cpu_options *options)
{
    cpu_mode modes[] = { CPU_TRAINED, mode };
    cpu_options how = *options;
    how.seed = 7;
    how.mode = modes;
    how.layouts = k->layouts;
    char *head = mem_printf("[net]\nbatch=%d\nsubdivisions=1\nwidth=%d\nheight=%d\nchannels=%d\n[activation]\nactivation=linear\n",
                            k->batch, k->w, k->h, k->c);
    char *tail = k->size ? mem_printf("[convolutional]\nfilters=%d\nsize=%d\nstride=%d\npadding=%d\ngroups=%d\n", k->n, k->size,
                                      k->stride, k->pad, k->groups)
                         : mem_printf("[connected]\noutput=%d\n", k->n);
    char *cfg = mem_printf("%s%sbatch_normalize=%d\nactivation=%s\n", head, tail, k->bn, k->activation);
    network *net = check_bound_as(cfg, &how);
    layer *l = &net->layers[1];
    check_fill(l->weights, (size_t)(k->size ? l->nweights : l->inputs * l->outputs), 11);
    check_fill(l->biases, (size_t)l->out_c, 12);
    if (k->bn) {
        check_fill(l->scales, (size_t)l->out_c, 13);
        check_fill(l->rolling_mean, (size_t)l->out_c, 14);
        check_fill(l->rolling_variance, (size_t)l->out_c, 15);
        for (int i = 0; i < l->out_c; ++i) l->rolling_variance[i] = fabsf(l->rolling_variance[i]) + 0.3f;
    }
    free(head);
    free(tail);
    free(cfg);
    return net;
}

network *conv_case_net(const conv_case *k, cpu_backend backend, cpu_mode mode)
{
    return conv_case_net_as(k, mode, &(cpu_options){ .backend = backend });
}

/* ---- the reference ---- */

typedef struct ref {
    const layer *l;
    int c, size, stride, pad, groups, train;
    size_t nx, nw, ny;
    double *x, *w, *b, *g, *sums, *y, *k, *mean, *variance;   /* sums: what the convolution gives */
    double nearest_kink;
} ref;

static double *doubles(const float *x, size_t n)
{
    double *r = mem_calloc(n, sizeof *r);
    for (size_t i = 0; x && i < n; ++i) r[i] = x[i];
    return r;
}

static double ref_tap(const ref *r, size_t b, int o, int i, int j)
{
    const layer *l = r->l;
    int per = r->c / r->groups, first = o / (l->out_c / r->groups) * per;
    double sum = 0;
    for (int q = 0; q < per; ++q)
        for (int u = 0; u < r->size; ++u)
            for (int v = 0; v < r->size; ++v) {
                int row = i * r->stride + u - r->pad, col = j * r->stride + v - r->pad;
                if (row < 0 || row >= l->h || col < 0 || col >= l->w) continue;
                size_t x = ((b * (size_t)r->c + (size_t)(first + q)) * (size_t)l->h + (size_t)row) * (size_t)l->w + (size_t)col;
                size_t w = (((size_t)o * (size_t)per + (size_t)q) * (size_t)r->size + (size_t)u) * (size_t)r->size + (size_t)v;
                sum += r->x[x] * r->w[w];
            }
    return sum;
}

/* Sums of the convolution: of so many images, channels, rows and columns from the first of each. */
typedef struct {
    int image, images, channel, channels, row, rows, column, columns;
} part;

static part whole(const ref *r)
{
    return (part){ .images = r->l->batch, .channels = r->l->out_c, .rows = r->l->out_h, .columns = r->l->out_w };
}

static part of_weight(const ref *r, size_t i)
{
    part p = whole(r);
    p.channel = (int)(i / (r->nw / (size_t)r->l->out_c));
    p.channels = 1;
    return p;
}

/* Outputs from `first` on, `count` of them, whose windows hold the input `at`. */
static void windows_of(const ref *r, int at, int outputs, int *first, int *count)
{
    int last = (at + r->pad) / r->stride, before = at + r->pad - r->size;   /* the last input before a window that holds it */
    *first = before < 0 ? 0 : before / r->stride + 1;
    *count = (last < outputs ? last + 1 : outputs) - *first;
}

static part of_input(const ref *r, size_t i)
{
    const layer *l = r->l;
    int at = (int)(i % (r->nx / (size_t)l->batch)), map = l->h * l->w, channels = l->out_c / r->groups;
    part p = { .image = (int)(i / (r->nx / (size_t)l->batch)), .images = 1, .channels = channels };
    p.channel = at / map / (r->c / r->groups) * channels;
    windows_of(r, at % map / l->w, l->out_h, &p.row, &p.rows);
    windows_of(r, at % l->w, l->out_w, &p.column, &p.columns);
    return p;
}

static part of_nothing(const ref *r, size_t i)
{
    (void)r;
    (void)i;
    return (part){ 0 };
}

static void ref_conv(ref *r, part p)
{
    const layer *l = r->l;
    for (int b = p.image; b < p.image + p.images; ++b)
        for (int o = p.channel; o < p.channel + p.channels; ++o)
            for (int i = p.row; i < p.row + p.rows; ++i)
                for (int j = p.column; j < p.column + p.columns; ++j)
                    r->sums[((b * l->out_c + o) * l->out_h + i) * l->out_w + j] = ref_tap(r, (size_t)b, o, i, j);
}

/* Of one channel. */
static void ref_statistics(const ref *r, size_t o, size_t map, double *mean, double *variance)
{
    const layer *l = r->l;
    size_t c = (size_t)l->out_c, batch = (size_t)l->batch;
    double m = 0, v = 0, n = (double)(batch * map);
    for (size_t b = 0; b < batch; ++b)
        for (size_t i = 0; i < map; ++i) m += r->y[(b * c + o) * map + i] / n;
    for (size_t b = 0; b < batch; ++b)
        for (size_t i = 0; i < map; ++i) v += pow(r->y[(b * c + o) * map + i] - m, 2) / n;
    *mean = r->train ? m : l->rolling_mean[o];
    *variance = r->train ? v : l->rolling_variance[o];
}

static void ref_batchnorm(ref *r)
{
    size_t map = (size_t)r->l->out_h * (size_t)r->l->out_w, c = (size_t)r->l->out_c;
    for (size_t o = 0; o < c; ++o) {
        ref_statistics(r, o, map, &r->mean[o], &r->variance[o]);
        double deviation = sqrt(r->variance[o]) + 1e-6;
        for (size_t b = 0; b < (size_t)r->l->batch; ++b)
            for (size_t i = 0; i < map; ++i) {
                double *y = &r->y[(b * c + o) * map + i];
                *y = (*y - r->mean[o]) / deviation * r->g[o];
            }
    }
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double gelu_u(double x) { return sqrt(2 / M_PI) * (x + .044715 * x * x * x); }

double check_activation(double x, int activation)
{
    switch (activation) {
    case RELU: return x > 0 ? x : 0;
    case LEAKY: return x > 0 ? x : .1 * x;
    case LOGISTIC: return sigmoid(x);
    case TANH: return tanh(x);
    case ACTIVATION_MISH: return x * tanh(log1p(exp(x)));
    case ACTIVATION_SWISH: return x * sigmoid(x);
    case ACTIVATION_RELU6: return fmin(fmax(x, 0), 6);
    case ACTIVATION_HARD_SWISH: return x * fmin(fmax(x / 6 + .5, 0), 1);
    case ACTIVATION_HARD_MISH: return x > 0 ? x : (x > -2) * (x * x / 2 + x);
    case ACTIVATION_GELU: return x / 2 * (1 + tanh(gelu_u(x)));
    default: return x;
    }
}

double check_activation_slope(double x, int activation)
{
    double t;
    switch (activation) {
    case ACTIVATION_MISH: t = tanh(log1p(exp(x))); return t + x * (1 - t * t) * sigmoid(x);
    case ACTIVATION_SWISH: return sigmoid(x) + x * sigmoid(x) * sigmoid(-x);
    case ACTIVATION_RELU6: return x > 0 && x < 6;
    case ACTIVATION_HARD_SWISH: return fabs(x) <= 3 ? x / 3 + .5 : x > 0;
    case ACTIVATION_HARD_MISH: return x > 0 ? 1 : (x > -2) * (x + 1);
    case ACTIVATION_GELU:
        t = tanh(gelu_u(x));
        return (1 + t) / 2 + x / 2 * (1 - t * t) * sqrt(2 / M_PI) * (1 + .134145 * x * x);
    default: return 1;
    }
}

/* How near x is to where the activation has a kink or a jump in its slope; far: 1. */
static double kink_of(double x, int activation)
{
    switch (activation) {
    case RELU: case LEAKY: return fabs(x);
    case ACTIVATION_RELU6: return fmin(fabs(x), fabs(x - 6));
    case ACTIVATION_HARD_SWISH: return fabs(fabs(x) - 3);
    case ACTIVATION_HARD_MISH: return fmin(fabs(x), fabs(x + 2));
    default: return 1;
    }
}

/* From the convolution's sums on. */
static double ref_loss(ref *r)
{
    const layer *l = r->l;
    size_t map = (size_t)l->out_h * (size_t)l->out_w;
    double loss = 0;
    memcpy(r->y, r->sums, r->ny * sizeof *r->y);
    if (l->batch_normalize) ref_batchnorm(r);
    r->nearest_kink = 1;
    for (size_t i = 0; i < r->ny; ++i) {
        double z = r->y[i] + r->b[i / map % (size_t)l->out_c];
        r->nearest_kink = fmin(r->nearest_kink, kink_of(z, (int)l->activation));
        r->y[i] = check_activation(z, (int)l->activation);
        loss += r->k[i] * r->y[i];
    }
    return loss;
}

static ref ref_of(const network *net, const float *k, int train)
{
    const layer *l = &net->layers[1];
    int connected = l->type == CONNECTED;
    ref r = { .l = l, .train = train, .c = connected ? l->inputs : l->c, .size = connected ? 1 : l->size,
              .stride = connected ? 1 : l->stride, .pad = connected ? 0 : l->pad, .groups = connected ? 1 : l->groups };
    r.nx = check_size(net, 0);
    r.ny = check_size(net, 1);
    r.nw = (size_t)(connected ? l->inputs * l->outputs : l->nweights);
    r.x = doubles(net->layers[0].output, r.nx);
    r.w = doubles(l->weights, r.nw);
    r.b = doubles(l->biases, (size_t)l->out_c);
    r.g = doubles(l->scales, (size_t)l->out_c);
    r.k = doubles(k, r.ny);
    r.y = doubles(NULL, r.ny);
    r.sums = doubles(NULL, r.ny);
    r.mean = doubles(NULL, (size_t)l->out_c);
    r.variance = doubles(NULL, (size_t)l->out_c);
    ref_conv(&r, whole(&r));
    return r;
}

static void ref_free(ref *r)
{
    double *all[] = { r->x, r->w, r->b, r->g, r->k, r->sums, r->y, r->mean, r->variance };
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i) free(all[i]);
}

/* The loss where x, which the sums of that part are made of, is `value`. */
static double loss_where(ref *r, double *x, double value, part sums)
{
    *x = value;
    ref_conv(r, sums);
    return ref_loss(r);
}

/* got - before must be d loss / d p; sums_of(i) are those that p[i] has a share in. */
static void check_gradient(ref *r, double *p, size_t n, part (*sums_of)(const ref *, size_t), const float *got,
                           const float *before, const char *name, const char *what)
{
    const double h = 1e-6;
    char *label = mem_printf("%s: d %s", name, what);
    for (size_t i = 0; i < n; ++i) {
        double keep = p[i];
        part sums = sums_of(r, i);
        double up = loss_where(r, &p[i], keep + h, sums), down = loss_where(r, &p[i], keep - h, sums);
        p[i] = keep;
        ref_conv(r, sums);
        check_close((double)got[i] - before[i], (up - down) / (2 * h), 1e-4, label, i);
    }
    free(label);
}

/* ---- the check ---- */

static float *filled(float *x, size_t n, uint64_t stream)
{
    float *copy = mem_calloc(n, sizeof *copy);
    check_fill(x, n, stream);
    memcpy(copy, x, n * sizeof *copy);
    return copy;
}

static void check_parameters(ref *r, layer *l, float *before[4], const char *name, cpu_mode mode)
{
    if (mode != CPU_TRAINED) {
        check_close_n(l->weight_updates, before[1], r->nw, 0, "frozen weight updates");
        check_close_n(l->bias_updates, before[2], (size_t)l->out_c, 0, "frozen bias updates");
        return;
    }
    check_gradient(r, r->w, r->nw, of_weight, l->weight_updates, before[1], name, "weights");
    check_gradient(r, r->b, (size_t)l->out_c, of_nothing, l->bias_updates, before[2], name, "biases");
    if (l->batch_normalize)
        check_gradient(r, r->g, (size_t)l->out_c, of_nothing, l->scale_updates, before[3], name, "scales");
}

/* Random inputs that keep clear of kinks. */
static ref ref_clear_of_kinks(network *net, const float *k, int train)
{
    for (uint64_t stream = 20; stream < 60; ++stream) {
        check_fill(net->layers[0].output, check_size(net, 0), stream);
        ref r = ref_of(net, k, train);
        ref_loss(&r);
        if (r.nearest_kink > 1e-4) return r;
        ref_free(&r);
    }
    fail_msg("no inputs clear of kinks");
    return (ref){ 0 };
}

void conv_case_check(const conv_case *k, cpu_backend backend, cpu_mode mode, int train)
{
    network *net = conv_case_net(k, backend, mode);
    layer *l = &net->layers[1];
    size_t n = (size_t)l->out_c, ny = check_size(net, 1);
    float *coefficients = mem_calloc(ny, sizeof(float));
    check_fill(coefficients, ny, 16);
    ref r = ref_clear_of_kinks(net, coefficients, train && mode == CPU_TRAINED);
    check_forward(net, 1, train);
    for (size_t i = 0; i < ny; ++i) check_close(l->output[i], r.y[i], 2e-5, k->name, i);
    float *before[] = { filled(net->layers[0].delta, r.nx, 31), filled(l->weight_updates, r.nw, 32),
                        filled(l->bias_updates, n, 33), k->bn ? filled(l->scale_updates, n, 34) : NULL };
    memcpy(l->delta, coefficients, ny * sizeof(float));
    check_backward(net, 1, train);
    check_gradient(&r, r.x, r.nx, of_input, net->layers[0].delta, before[0], k->name, "input");
    check_parameters(&r, l, before, k->name, mode);
    for (int i = 0; i < 4; ++i) free(before[i]);
    free(coefficients);
    ref_free(&r);
    check_release(net);
}
