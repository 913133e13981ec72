/* Networks on a device against the plugin's plain C on the CPU: outputs, losses, gradients, updated weights and running
 * statistics of every layer type that is ours there or mended, and gradients against central differences. Two arrays agree if
 * their normalised mean squared error is below 1e-7. Where there is no device only what is refused is tested, and what is
 * skipped is said. */
#include "layers/network.h"
#include "check_gpu.h"

#include "layers/feature_l2.h"

typedef struct net_case {
    const char *name, *cfg;    /* sections behind [net] */
    int pool;                  /* of the target */
    feature_type type;
    int optimiser, size;       /* its number; size: what the input is resized to before the last step; 0: not */
    int pooled, channel;       /* keys of the loss */
    feature_l2_head head;
} net_case;

#define CONV CHECK_CONV
#define BN CHECK_BN
#define SHORTCUT CHECK_SHORTCUT
#define NO_KEYS 0, 0, HEAD_NONE
#define LOSS "[activation]\nactivation=linear\n"

static const net_case cases[] = {
    { "projector", BN(8, 3, 2, relu) BN(6, 1, 1, relu) BN(6, 3, 1, relu) BN(12, 1, 1, relu) LOSS, 1, FEATURE_F32, 0, 20, NO_KEYS },
    { "stored as f16", BN(8, 3, 1, leaky) LOSS, 2, FEATURE_F16, 0, 0, NO_KEYS },
    { "stored as u8", BN(8, 3, 1, leaky) LOSS, 3, FEATURE_U8, 0, 0, NO_KEYS },
    { "Adam", BN(8, 3, 2, tanh) CONV(5, 3, 1, logistic) LOSS, 1, FEATURE_F32, 1, 0, NO_KEYS },
    { "AdamW", BN(8, 3, 2, tanh) CONV(5, 3, 1, logistic) LOSS, 1, FEATURE_F32, 2, 0, NO_KEYS },
    /* a 1x1 and a shortcut read the same layer: both gradients count */
    { "1x1 beside a shortcut", BN(8, 3, 1, leaky) BN(4, 1, 1, leaky) BN(8, 3, 1, leaky) SHORTCUT(-3, leaky) LOSS, 1, FEATURE_F32, 0, 24, NO_KEYS },
    { "1x1 with a stride", BN(8, 3, 1, leaky) CONV(6, 1, 2, leaky) BN(6, 3, 1, leaky) BN(7, 1, 2, leaky) LOSS, 1, FEATURE_F16, 0, 24, NO_KEYS },
    { "a 1x1 with a stride first", BN(8, 1, 2, leaky) LOSS, 1, FEATURE_F32, 0, 0, NO_KEYS },
    { "depthwise", BN(8, 1, 1, leaky) BN(8, 3, 1, leaky) "groups=8\n" BN(6, 1, 1, leaky) LOSS, 1, FEATURE_F32, 0, 0, NO_KEYS },
    { "dropout", BN(8, 3, 1, leaky) "[dropout]\nprobability=.4\n" BN(6, 3, 1, leaky) LOSS, 1, FEATURE_F32, 0, 0, NO_KEYS },
    { "activation", "[activation]\nactivation=leaky\n" BN(8, 3, 1, linear) "[activation]\nactivation=tanh\n" BN(6, 3, 1, leaky) LOSS, 1, FEATURE_F32, 0, 0, NO_KEYS },
    { "connected", "[connected]\noutput=20\nbatch_normalize=1\nactivation=tanh\n[connected]\noutput=9\nactivation=linear\n" LOSS, 1, FEATURE_F32, 0, 0, NO_KEYS },
    { "mish and swish", BN(8, 3, 1, mish) CONV(6, 3, 1, swish) BN(5, 1, 1, swish) CONV(6, 1, 1, mish) LOSS, 1, FEATURE_F32, 0, 24, NO_KEYS },
    { "mobile activations", BN(8, 3, 1, hard_swish) CONV(6, 3, 1, relu6) BN(5, 1, 1, relu6) CONV(6, 1, 2, hard_swish) LOSS, 1, FEATURE_F32, 0, 24, NO_KEYS },
    { "hard_mish, gelu", BN(8, 3, 1, hard_mish) CONV(6, 3, 1, gelu) BN(5, 1, 1, gelu) CONV(6, 1, 1, hard_mish) LOSS, 1, FEATURE_F32, 1, 0, NO_KEYS },
    { "mish of shortcuts", BN(8, 3, 1, leaky) BN(8, 3, 1, linear) SHORTCUT(-2, mish) CONV(6, 3, 2, swish) SHORTCUT(-2, mish) "[activation]\nactivation=gelu\n" BN(6, 3, 1, leaky) LOSS, 1, FEATURE_F32, 0, 24, NO_KEYS },
    { "mish of rows", "[connected]\noutput=20\nbatch_normalize=1\nactivation=mish\n[connected]\noutput=9\nactivation=swish\n" LOSS, 1, FEATURE_F32, 0, 0, NO_KEYS },
    { "pooling and routes", BN(8, 3, 1, leaky) "[maxpool]\nsize=2\nstride=2\n" BN(5, 3, 1, leaky) "[upsample]\nstride=2\n[route]\nlayers=-1,0\n" BN(6, 1, 1, leaky) LOSS,
      1, FEATURE_F32, 0, 0, NO_KEYS },
    { "parts of routes", BN(8, 3, 1, leaky) "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n" BN(6, 3, 1, leaky) "[route]\nlayers=-1,0\ngroups=2\n" BN(5, 1, 1, leaky) LOSS,
      1, FEATURE_F32, 0, 24, NO_KEYS },
    { "squeeze and excitation", BN(8, 3, 1, leaky) "[avgpool]\n" CONV(4, 1, 1, swish) CONV(8, 1, 1, logistic) "[scale_channels]\nfrom=0\nactivation=tanh\n" BN(5, 1, 1, leaky) LOSS,
      1, FEATURE_F32, 1, 24, NO_KEYS },
    { "attention", BN(8, 3, 1, leaky) CONV(8, 1, 1, logistic) "[sam]\nfrom=-2\n" CONV(1, 3, 1, logistic) "[scale_channels]\nfrom=0\nscale_wh=1\n" BN(5, 1, 1, leaky) LOSS,
      1, FEATURE_F32, 0, 24, NO_KEYS },
    { "reorg3d", BN(4, 3, 1, leaky) "[reorg3d]\nstride=2\n" BN(5, 1, 1, leaky) LOSS, 1, FEATURE_F32, 0, 24, NO_KEYS },
    { "sums of several", BN(8, 3, 1, leaky) BN(6, 3, 1, leaky) BN(7, 1, 1, linear) "[shortcut]\nfrom=-2,0\nactivation=mish\nweights_type=per_channel\nweights_normalization=softmax\n"
      BN(7, 1, 1, leaky) "[shortcut]\nfrom=-2\nactivation=leaky\nweights_type=per_feature\nweights_normalization=relu\n" BN(5, 1, 1, leaky) LOSS, 1, FEATURE_F32, 1, 24, NO_KEYS },
    { "dilation", BN(8, 3, 1, leaky) BN(6, 3, 1, mish) "dilation=2\n" BN(6, 5, 2, leaky) "groups=2\ndilation=3\n" CONV(5, 3, 1, swish) "dilation=2\n" LOSS, 1, FEATURE_F32, 0, 24, NO_KEYS },
    { "two strides", BN(8, 3, 1, leaky) "stride_x=2\nstride_y=1\n" CONV(6, 1, 1, leaky) "stride_x=1\nstride_y=2\n" "[maxpool]\nsize=3\nstride_x=1\nstride_y=2\n" BN(5, 1, 1, leaky) LOSS,
      1, FEATURE_F32, 0, 24, NO_KEYS },
    { "average", BN(8, 3, 2, leaky) "[avgpool]\n" LOSS, 1, FEATURE_F32, 0, 0, NO_KEYS },
    { "pooled=1", BN(8, 3, 2, leaky) LOSS, 2, FEATURE_F16, 0, 20, 1, 0, HEAD_NONE },
    { "normalise=channel", BN(8, 3, 2, leaky) LOSS, 1, FEATURE_F16, 0, 20, 0, 1, HEAD_NONE },
    { "metric=head, places", BN(8, 3, 2, leaky) LOSS, 1, FEATURE_F32, 0, 20, 0, 0, HEAD_PLACES },
    { "metric=head, means", BN(8, 3, 2, leaky) LOSS, 1, FEATURE_U8, 0, 20, 0, 1, HEAD_MEANS },
    { "metric=head, means, pooled=1", BN(8, 3, 2, leaky) LOSS, 1, FEATURE_F16, 0, 20, 1, 1, HEAD_MEANS },
    { "metric=head, map", BN(8, 3, 2, leaky) LOSS, 1, FEATURE_F16, 0, 0, 0, 1, HEAD_MAP },
};

/* ---- single networks ---- */

static void check_networks(network *got, const network *want, int outputs, const char *name)
{
    gpu_pull(got);
    for (int i = 0; i < got->n; ++i) {
        if (outputs) gpu_pull_output(got, i);
        if (outputs) check_nmse(got->layers[i].output, want->layers[i].output, (size_t)(got->layers[i].outputs * got->batch), name, i, "output");
        check_arrays(got, want, i, name);
    }
}

/* What the loss has to know, made up. */
static void make_up_facts(layer *l, const net_case *k)
{
    size_t width = (size_t)(k->head == HEAD_MAP ? l->outputs : l->out_c);
    float *head = mem_calloc(7 * width, sizeof *head);
    loss_facts *facts = feature_l2_facts(l);
    check_fill(head, 7 * width, 30);
    if (k->head) set_feature_l2_head(l, head, 7, width);
    for (size_t i = 0; facts && i < facts->n; ++i) facts->value[i] = .1 + (double)(i % 5);
    if (facts) facts->known = 1;
    free(head);
}

static network *open_case(const net_case *k, int gpu)
{
    check_choose(gpu);
    char *cfg = mem_printf("[net]\nbatch=3\nsubdivisions=1\nheight=12\nwidth=12\nchannels=3\nlearning_rate=.05\nmomentum=.9\ndecay=.0005\n"
                           "policy=constant\nmax_batches=10\nadam=%d\n%s", k->optimiser > 0, k->cfg);
    network *net = check_parse(cfg);
    net->adam = k->optimiser;
    const layer *below = &net->layers[net->n - 2];
    feature_l2_params p = { .scale = 1.5f, .mean = 1, .target_pool = k->pool, .c = below->out_c, .h = below->out_h, .w = below->out_w,
                            .pooled = k->pooled, .channel = k->channel, .head = k->head };
    diag *d = diag_new();
    if (make_feature_l2_layer(&net->layers[net->n - 1], p, d) || cpu_bind(net, &(cpu_options){ .backend = gpu ? BACKEND_GPU : BACKEND_REFERENCE, .seed = 5 }, d)
        || gpu_bind(net, d)) diag_print(d, stderr);
    check_no_errors(d);
    diag_free(d);
    make_up_facts(&net->layers[net->n - 1], k);
    cpu_init_weights(net, 0, net->n, 5);
    for (int i = 0; i < net->n; ++i)   /* with biases of 0 some gradients are 0 but for rounding */
        if (net->layers[i].biases) check_fill(net->layers[i].biases, (size_t)net->layers[i].out_c, 40 + (uint64_t)i);
    gpu_push(net);
    free(cfg);
    return net;
}

static void close_net(network *net)
{
    gpu_unbind(net);
    free_feature_l2_layer(&net->layers[net->n - 1]);
    cpu_unbind(net);
    host_free(net);
}

/* Targets as a cache stores them: (batch) maps, whose memory is *stored. */
static feature_map *make_targets(const network *net, const net_case *k, uint64_t stream, char **stored)
{
    const layer *l = &net->layers[net->n - 1];
    size_t hw = (size_t)(l->out_h * l->out_w * k->pool * k->pool), n = (size_t)l->out_c * hw, bytes = feature_bytes(k->type, l->out_c, hw);
    feature_map *maps = mem_calloc((size_t)net->batch, sizeof *maps);
    float *x = mem_calloc(n, sizeof *x);
    *stored = mem_aligned((size_t)net->batch, bytes);
    for (int b = 0; b < net->batch; ++b) {
        check_fill(x, n, stream + (uint64_t)b);
        assert_int_equal(feature_store(k->type, x, l->out_c, hw, *stored + (size_t)b * bytes), 0);
        maps[b] = feature_stored(k->type, l->out_c, *stored + (size_t)b * bytes);
    }
    free(x);
    return maps;
}

static double one_step(network *net, const net_case *k, int step)
{
    char *stored;
    feature_map *maps = make_targets(net, k, 100 + 10 * (uint64_t)step, &stored);
    check_fill(net->input, (size_t)net->inputs * (size_t)net->batch, 50 + (uint64_t)step);
    set_feature_l2_maps(&net->layers[net->n - 1], maps);
    *net->seen += (size_t)net->batch;
    network_forward(net, net->n, 1);
    network_backward(net, net->n);
    gpu_pull(net);   /* waits: the maps are not borrowed any longer */
    free(maps);
    free(stored);
    return *net->layers[net->n - 1].cost;
}

static void resize_both(network *gpu, network *cpu, int size)
{
    diag *d = diag_new();
    assert_int_equal(network_resize(cpu, size, size, d), 0);
    check_choose(1);
    assert_int_equal(network_resize(gpu, size, size, d), 0);
    check_no_errors(d);
    diag_free(d);
}

static void check_case(const net_case *k)
{
    network *cpu = open_case(k, 0), *gpu = open_case(k, 1);
    for (int step = 0; step < 3; ++step) {
        if (step == 2 && k->size) {
            gpu_index = -1;
            resize_both(gpu, cpu, k->size);
        }
        double want = one_step(cpu, k, step), got = one_step(gpu, k, step);
        if (!(fabs(got / want - 1) < 1e-5)) fail_msg("%s, step %d: loss %g, on the CPU %g", k->name, step, got, want);
        check_networks(gpu, cpu, 1, k->name);
        network_update(cpu, cpu->n);
        network_update(gpu, gpu->n);
        check_networks(gpu, cpu, 0, k->name);
    }
    network_forward(cpu, cpu->n, 0);
    network_forward(gpu, gpu->n, 0);
    check_nmse(gpu->output, cpu->output, (size_t)(cpu->outputs * cpu->batch), k->name, gpu->n - 1, "inference");
    close_net(gpu);
    gpu_index = -1;
    close_net(cpu);
}

static void test_layers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) check_case(&cases[i]);
}

/* ---- gradients ---- */

static double loss_at(network *net, float *w, float value)
{
    float keep = *w;
    *w = value;
    gpu_push(net);
    network_forward(net, net->n, 1);
    *w = keep;
    return *net->layers[net->n - 1].cost;
}

/* A few of n parameters. The updates hold minus the gradient. */
static void check_gradients(network *net, float *w, const float *updates, size_t n, const char *what)
{
    const float h = 4e-3f;
    float *want = mem_calloc(n, sizeof *want);
    memcpy(want, updates, n * sizeof *want);
    for (size_t i = 0; i < n; i += n / 5 + 1) {
        double up = loss_at(net, &w[i], w[i] + h), down = loss_at(net, &w[i], w[i] - h);
        check_close(-(up - down) / (2 * (double)h), want[i], 3e-3, what, i);
    }
    free(want);
}

static void test_gradients(void **state)
{
    (void)state;
    static const net_case smooth = { "smooth", BN(6, 3, 1, tanh) CONV(5, 1, 2, logistic) BN(6, 3, 1, tanh) "groups=1\n" SHORTCUT(-2, linear) BN(4, 1, 1, tanh) LOSS, 2,
                                     FEATURE_F32, 0, 0, NO_KEYS };
    network *net = open_case(&smooth, 1);
    char *stored;
    feature_map *maps = make_targets(net, &smooth, 100, &stored);
    one_step(net, &smooth, 0);
    for (int i = 0; i < net->n - 1; ++i) {
        const layer *l = &net->layers[i];
        if (!l->weights) continue;
        set_feature_l2_maps(&net->layers[net->n - 1], maps);
        check_gradients(net, l->weights, l->weight_updates, (size_t)l->nweights, "weights");
        check_gradients(net, l->biases, l->bias_updates, (size_t)l->n, "biases");
        if (l->batch_normalize) check_gradients(net, l->scales, l->scale_updates, (size_t)l->n, "scales");
    }
    free(maps);
    free(stored);
    close_net(net);
}

/* ---- refusals ---- */

static void refused(const char *list, const char *text)
{
    diag *d = diag_new();
    assert_int_equal(gpu_choose(list, d), -1);
    assert_int_equal(diag_errors(d), 1);
    if (!strstr(diag_get(d, 0)->text, text)) fail_msg("'%s' does not say '%s'", diag_get(d, 0)->text, text);
    diag_free(d);
}

static void test_refusals(void **state)
{
    (void)state;
    char why[200];
    assert_int_equal(gpu_index, -1);
    if (!gpu_built()) {
        refused("0", "this build computes on the CPU only");
        return;
    }
    refused("0,1", "one GPU only");
    refused("x", "expected a device's number");
    refused("", "expected a device's number");
    refused("-1", "expected a device's number");
    refused("0x", "expected a device's number");
    if (gpu_present(why, sizeof why)) refused("999", "CUDA devices, the first is 0");
    else refused(NULL, "no CUDA device: ");
    assert_int_equal(gpu_index, -1);
}

/* cuDNN pads, Darknet's own kernels do not. */
static void test_padded_1x1(void **state)
{
    (void)state;
#ifdef CUDNN
    static const net_case padded = { "padded 1x1", BN(8, 3, 1, leaky) "[convolutional]\nfilters=6\nsize=1\nstride=2\npadding=1\nactivation=leaky\n" LOSS, 1, FEATURE_F32, 0, 24 };
    check_case(&padded);
#else
    check_choose(1);
    network *net = check_parse("[net]\nbatch=1\nheight=4\nwidth=4\nchannels=3\n[convolutional]\nfilters=2\nsize=1\nstride=1\npadding=1\nactivation=linear\n");
    diag *d = diag_new();
    assert_int_equal(cpu_bind(net, &(cpu_options){ .backend = BACKEND_GPU }, d), 0);
    assert_int_equal(gpu_bind(net, d), -1);
    assert_non_null(strstr(diag_get(d, 0)->text, "padding=1 around a 1x1"));
    gpu_unbind(net);
    cpu_unbind(net);
    host_free(net);
    diag_free(d);
#endif
}

int main(void)
{
    network_init();
    const struct CMUnitTest without[] = { cmocka_unit_test(test_refusals) };
    const struct CMUnitTest with[] = {
        cmocka_unit_test(test_layers), cmocka_unit_test(test_gradients), cmocka_unit_test(test_padded_1x1),
    };
    int failed = cmocka_run_group_tests(without, NULL, NULL);
    return failed + check_on_gpu("every layer against the CPU, gradients", with, sizeof with / sizeof *with);
}
