/* Any stock cfg that the host trains on a CPU still trains: every cfg that Debian ships, made small, runs a training step on
 * the fast path (its own layers beside the host's), and then answers in inference as the host's own code does. What has
 * the layers of one before it is that network once more, and left out. DISTILL_STOCK_ALL=1: larger ones, too. */
#include "layers/network.h"
#include "check_layers.h"

#include "darknet_plugin/sections/shapes.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#define SHIPPED "/usr/share/darknet"
enum { SIZE = 64, MOST_PRODUCTS = 400000000, MOST_CFGS = 100 };

typedef struct {
    int trained, compared, twins, left_out, seen;
    char *layers[MOST_CFGS], *name[MOST_CFGS];   /* of those that were trained */
} tally;

/* As in test_shapes.c: the host's own first weights do not matter and take long. */
float rand_normal(void);
float rand_uniform(float min, float max);
float rand_normal(void) { return 0; }
float rand_uniform(float min, float max) { return min < max ? min : max; }

/* What the host's own code gets wrong or does not repeat, so that there is nothing to compare with. */
static const char *not_comparable(const network *net)
{
    for (int i = 0; i < net->n; ++i) {
        const layer *l = &net->layers[i];
        if (l->type == CONVOLUTIONAL && l->size == 1 && l->stride > 1) return "it has 1x1 convolutions with a stride, which the host computes wrongly";
    }
    return NULL;
}

/* The host's own forward pass of these, none of ours bound, already writes beyond its memory (free_network aborts). */
static int is_recurrent(const network *net)
{
    for (int i = 0; i < net->n; ++i)
        if (net->layers[i].type == RNN || net->layers[i].type == GRU || net->layers[i].type == LSTM || net->layers[i].type == CRNN) return 1;
    return 0;
}

/* So many parameters at most, each seconds of ten million. */
static size_t largest(void)
{
    if (check_memcheck()) return 8000000;
    return getenv("DISTILL_STOCK_ALL") ? 65000000 : 20000000;
}

/* All that makes one network another, but for its weights, as text. */
static char *layers_of(const network *net)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    for (int i = 0; i < net->n; ++i) {
        const layer *l = &net->layers[i];
        fprintf(f, "%d %d %dx%dx%d %d %d %d %d %d %d %d %d %g\n", l->type, l->inputs, l->out_w, l->out_h, l->out_c, l->n,
                l->size, l->stride, l->pad, l->groups, l->batch_normalize, l->activation, l->index, l->probability);
    }
    fclose(f);
    return text;
}

static void at_most(cfg_section *s, const char *key, int size)
{
    if (cfg_int(s, key, 0) > size) cfg_set(s, key, "%d", size);
}

static void make_small(cfg_file *cfg, int size)
{
    cfg_section *net = &cfg->section[0];
    if (cfg_int(net, "inputs", 0)) return;
    cfg_set(net, "batch", "2");
    cfg_set(net, "subdivisions", "1");
    at_most(net, "width", size);
    at_most(net, "height", size);
    for (int i = 1; i < cfg->n; ++i) {
        at_most(&cfg->section[i], "crop_width", size);
        at_most(&cfg->section[i], "crop_height", size);
    }
}

/* The network of a cfg with two images of at most SIZE x SIZE, half of that for one with many products; NULL: why not. */
static network *small(const char *path, diag *d, const char **why)
{
    cfg_file *cfg = cfg_read(path, d);
    network *net = NULL;
    *why = "it does not parse at this size";
    if (cfg && !diag_errors(d)) {
        make_small(cfg, SIZE);
        net_shape *shape = shapes_infer(cfg, d);
        if (shape && shape->macs > MOST_PRODUCTS) make_small(cfg, cfg_int(&cfg->section[0], "width", 0) / 2);
        if (shape && shape->params > largest()) *why = "it has too many weights for a test";
        else if (shape) net = host_parse_cfg(cfg, path, d);
        shapes_free(shape);
    }
    cfg_free(cfg);
    return net;
}

static void bind_as(network *net, cpu_backend backend)
{
    diag *d = diag_new();
    cpu_options o = { .backend = backend, .seed = 1, .layouts = 1 };
    assert_int_equal(cpu_bind(net, &o, d), 0);
    check_no_errors(d);
    diag_free(d);
}

static int train_step(network *net)
{
    cpu_init_weights(net, 0, net->n, 1);
    check_fill(net->input, (size_t)net->batch * (size_t)net->inputs, 5);
    net->truth = mem_calloc((size_t)net->batch * (size_t)(net->truths > 0 ? net->truths : 1), sizeof(float));
    *net->seen += (size_t)net->batch;
    network_forward(net, net->n, 1);
    network_backward(net, net->n);
    network_update(net, net->n);
    for (int i = 0; i < net->n; ++i)
        for (int k = 0; net->layers[i].weights && k < net->layers[i].nweights; ++k)
            if (!isfinite(net->layers[i].weights[k])) return i + 1;
    return 0;
}

/* Batch norm's running values: those of one step are of two 1x1 maps at the end of a net, where they may be next to equal, and
 * dividing by next to nothing makes a last bit a fourth digit. */
static void settle_statistics(network *net)
{
    for (int i = 0; i < net->n; ++i) {
        layer *l = &net->layers[i];
        if (!l->batch_normalize || !l->rolling_variance) continue;
        check_fill(l->rolling_mean, (size_t)l->out_c, (uint64_t)i);
        check_fill(l->rolling_variance, (size_t)l->out_c, (uint64_t)i + 1000);
        for (int k = 0; k < l->out_c; ++k) {
            l->rolling_mean[k] *= .1f;
            l->rolling_variance[k] = 1 + .5f * l->rolling_variance[k];
        }
    }
    cpu_statistics_loaded(net, 0, net->n);
}

/* Largest difference of the answers, relative to the largest answer. */
static double compare_inference(network *net)
{
    settle_statistics(net);
    size_t n = (size_t)net->batch * (size_t)net->outputs;
    float *truth = net->truth;
    net->truth = NULL;
    network_forward(net, net->n, 0);
    float *ours = mem_calloc(n, sizeof *ours);
    memcpy(ours, net->output, n * sizeof *ours);
    cpu_unbind(net);
    network_forward(net, net->n, 0);
    double apart = 0, largest = 0;
    for (size_t i = 0; i < n; ++i) {
        apart = fmax(apart, fabs((double)ours[i] - net->output[i]));
        largest = fmax(largest, fabs(net->output[i]));
        if (!isfinite(ours[i])) apart = INFINITY;
    }
    free(ours);
    free(truth);
    return largest > 0 ? apart / largest : apart;
}

/* Is it a network that was trained before, under another name? If not, it is from now on. */
static int is_twin(const network *net, const char *name, tally *t)
{
    char *layers = layers_of(net);
    for (int i = 0; i < t->seen; ++i) {
        if (strcmp(t->layers[i], layers)) continue;
        print_message("left out: %s: it has the layers of %s\n", name, t->name[i]);
        free(layers);
        return 1;
    }
    assert_true(t->seen < MOST_CFGS);
    t->layers[t->seen] = layers;
    t->name[t->seen++] = mem_printf("%s", name);
    return 0;
}

static void train_and_compare(network *net, const char *name, tally *t)
{
    bind_as(net, BACKEND_DNNL);
    int bad = train_step(net);
    if (bad) fail_msg("%s: weights of layer %d are not finite after a step", name, bad - 1);
    ++t->trained;
    const char *why = not_comparable(net);
    if (why) {
        print_message("only trained: %s: %s\n", name, why);
        cpu_unbind(net);
        return;
    }
    double apart = compare_inference(net);
    if (!(apart < 5e-5)) fail_msg("%s: inference differs from the host's by %g", name, apart);
    ++t->compared;
}

static void check_cfg(const char *name, tally *t)
{
    char *path = mem_printf(SHIPPED "/cfg/%s", name);
    diag *d = diag_new();
    const char *why;
    network *net = small(path, d, &why);
    if (!net || is_recurrent(net)) {
        print_message("left out: %s: %s\n", name, net ? "the host corrupts its memory" : why);
        ++t->left_out;
    } else if (is_twin(net, name, t)) {
        ++t->twins;
    } else {
        train_and_compare(net, name, t);
    }
    host_free(net);
    diag_free(d);
    free(path);
}

static void every_shipped_cfg(void **unused)
{
    (void)unused;
    tally t = { 0 };
    if (getenv("DISTILL_QUICK") && !check_memcheck()) {
        print_message("skipped: training every shipped cfg, done without sanitizers\n");
        skip();
    }
    DIR *dir = opendir(SHIPPED "/cfg");
    if (!dir) {
        print_message("skipped: " SHIPPED "/cfg is not there\n");
        skip();
    }
    assert_int_equal(chdir(SHIPPED), 0);
    for (struct dirent *e; (e = readdir(dir)); ) {
        size_t len = strlen(e->d_name);
        if (len > 4 && !strcmp(e->d_name + len - 4, ".cfg")) check_cfg(e->d_name, &t);
    }
    closedir(dir);
    print_message("%d trained, %d of them compared with the host, %d like another, %d left out\n", t.trained, t.compared,
                  t.twins, t.left_out);
    if (check_memcheck()) assert_true(t.trained + t.twins >= 5 && t.compared + t.twins >= 5);
    else assert_true(t.trained + t.twins >= 16 && t.compared + t.twins >= 16);
    for (int i = 0; i < t.seen; ++i) {
        free(t.layers[i]);
        free(t.name[i]);
    }
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_shipped_cfg) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
