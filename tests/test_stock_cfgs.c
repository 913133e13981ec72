/* Any stock cfg that the host trains on a CPU still trains: every cfg that Debian ships, made small, runs a training step on
 * the fast path (its own layers beside the host's), and then answers in inference as the host's own code does. */
#include "layers/network.h"
#include "check_layers.h"

#include "darknet_plugin/sections/cfg.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#define SHIPPED "/usr/share/darknet"
enum { SIZE = 64, LARGEST = 30000000, LARGEST_MEMCHECK = 8000000 };

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

static size_t weights_of(const network *net)
{
    size_t sum = 0;
    for (int i = 0; i < net->n; ++i)
        sum += net->layers[i].type == CONNECTED ? (size_t)net->layers[i].inputs * (size_t)net->layers[i].outputs : (size_t)net->layers[i].nweights;
    return sum;
}

/* The cfg with two images of at most 64x64. */
static network *small(const char *path, diag *d)
{
    size_t len;
    cfg_file *c = cfg_read(path, d);
    if (!c || diag_errors(d)) return cfg_free(c), NULL;
    cfg_section *net = &c->section[0];
    if (!cfg_int(net, "inputs", 0)) {
        cfg_set(net, "batch", "2");
        cfg_set(net, "subdivisions", "1");
        if (cfg_int(net, "width", 0) > SIZE) cfg_set(net, "width", "%d", SIZE);
        if (cfg_int(net, "height", 0) > SIZE) cfg_set(net, "height", "%d", SIZE);
    }
    char *text = cfg_text(c, &len);
    network *n = host_parse(text, len, path, d);
    free(text);
    cfg_free(c);
    return n;
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

static void check_cfg(const char *name, int counts[3])
{
    char *path = mem_printf(SHIPPED "/cfg/%s", name);
    diag *d = diag_new();
    network *net = small(path, d);
    const char *why = !net ? "it does not parse at this size" : is_recurrent(net) ? "the host corrupts its memory" : weights_of(net) > (check_memcheck() ? LARGEST_MEMCHECK : LARGEST) ? "it has too many weights for a test" : NULL;
    if (why) {
        print_message("left out: %s: %s\n", name, why);
        ++counts[2];
    } else {
        bind_as(net, BACKEND_DNNL);
        int bad = train_step(net);
        if (bad) fail_msg("%s: weights of layer %d are not finite after a step", name, bad - 1);
        ++counts[0];
        why = not_comparable(net);
        if (why) {
            print_message("only trained: %s: %s\n", name, why);
            cpu_unbind(net);
        } else {
            double apart = compare_inference(net);
            if (!(apart < 5e-5)) fail_msg("%s: inference differs from the host's by %g", name, apart);
            ++counts[1];
        }
    }
    host_free(net);
    diag_free(d);
    free(path);
}

static void every_shipped_cfg(void **unused)
{
    (void)unused;
    int counts[3] = { 0 };
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
        if (len > 4 && !strcmp(e->d_name + len - 4, ".cfg")) check_cfg(e->d_name, counts);
    }
    closedir(dir);
    print_message("%d trained, %d of them compared with the host, %d left out\n", counts[0], counts[1], counts[2]);
    if (check_memcheck()) assert_true(counts[0] >= 5 && counts[1] >= 5);
    else assert_true(counts[0] >= 25 && counts[1] >= 15);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_shipped_cfg) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
