/* The layers of AlexeyAB's Darknet that the host lacks: every output against plain formulae in doubles, every gradient
 * against central differences of those, on each backend and layout; sizes against the cfg's shapes and, after resizing,
 * against a network parsed at the new size; what they keep in a weights file. */
#include "layers/network.h"
#include "check_fork.h"
#include "check_layers.h"

#include "darknet_plugin/sections/shapes.h"
#include "layers/cpu/state.h"
#include "layers/fork_layers.h"
#include "weights_tools/file/weights_file.h"

#define SIZED(width, height) "[net]\nbatch=2\nsubdivisions=1\nwidth=" #width "\nheight=" #height "\nchannels=3\nlearning_rate=.05\n"
#define NET SIZED(8, 6)
#define CONV(filters, size, stride, act) \
    "[convolutional]\nfilters=" #filters "\nsize=" #size "\nstride=" #stride "\npad=1\nactivation=" #act "\n"
#define ROUTE(layers, groups, id) "[route]\nlayers=" layers "\ngroups=" #groups "\ngroup_id=" #id "\n"
#define SUM(from, type, normalization) \
    "[shortcut]\nfrom=" from "\nactivation=tanh\nweights_type=" #type "\nweights_normalization=" #normalization "\n"
#define END CONV(4, 1, 1, linear)

static const struct { const char *name, *cfg; } nets[] = {
    { "second half", NET CONV(32, 3, 1, tanh) ROUTE("-1", 2, 1) CONV(16, 3, 1, tanh) ROUTE("-1,-2", 1, 0) END },
    { "half blocks", NET CONV(16, 3, 1, tanh) ROUTE("-1", 2, 1) CONV(16, 1, 1, tanh) END },
    { "parts of several", NET CONV(32, 1, 1, tanh) CONV(24, 1, 1, tanh) "[route]\nlayers=-1,-2\ngroups=2\ngroup_id=1\n" END },
    { "third of odd channels", NET CONV(9, 1, 1, tanh) "[route]\nlayers=0,0\ngroups=3\ngroup_id=2\n" END },
    { "left half", NET CONV(16, 1, 1, tanh) CONV(32, 1, 1, tanh) "[route_lhalf]\nlayers=-1,-2\n" CONV(16, 1, 1, tanh) END },
    { "part of a larger map", NET CONV(16, 3, 1, tanh) CONV(8, 3, 2, tanh) ROUTE("0", 2, 0) END },
    { "part of a smaller map", NET CONV(16, 3, 2, tanh) "[upsample]\nstride=2\n" ROUTE("0", 4, 3) END },
    { "part of a map a little larger", NET CONV(16, 3, 1, tanh) "[maxpool]\nsize=3\nstride=1\npadding=0\n" ROUTE("0", 2, 1) END },
    { "part of a map a little smaller", NET CONV(8, 3, 1, tanh) "[maxpool]\nsize=3\nstride=1\npadding=1\n" "[route]\nlayers=0\n" ROUTE("1", 2, 1) END },
    { "squeeze and excitation", NET CONV(32, 3, 1, tanh) "[avgpool]\n" CONV(8, 1, 1, tanh) CONV(32, 1, 1, logistic)
      "[scale_channels]\nfrom=-4\n" CONV(16, 1, 1, tanh) END },
    { "scaled and activated", NET CONV(20, 3, 1, tanh) "[avgpool]\n" CONV(20, 1, 1, logistic)
      "[scale_channels]\nfrom=0\nactivation=logistic\n" END },
    { "scaled by pixel", NET CONV(20, 3, 1, tanh) CONV(1, 3, 1, logistic) "[scale_channels]\nfrom=-2\nscale_wh=1\nactivation=tanh\n" END },
    { "scaled few channels", NET CONV(5, 3, 1, tanh) "[avgpool]\n[scale_channels]\nfrom=-2\n" END },
    { "attention", NET CONV(16, 3, 1, tanh) CONV(16, 1, 1, logistic) "[sam]\nfrom=-2\n" CONV(16, 1, 1, tanh) END },
    { "attention to itself", NET CONV(18, 3, 1, tanh) "[sam]\nfrom=-1\nactivation=tanh\n" END },
    { "attention, plain", NET CONV(3, 3, 1, tanh) CONV(3, 1, 1, logistic) "[sam]\nfrom=0\nactivation=logistic\n" END },
    { "reorg3d", NET CONV(5, 3, 1, tanh) "[reorg3d]\nstride=2\n" END },
    { "reorg3d of blocks", NET CONV(16, 3, 1, tanh) "[reorg3d]\nstride=2\n" CONV(16, 1, 1, tanh) END },
    { "sum of three", NET CONV(16, 1, 1, tanh) CONV(16, 3, 1, tanh) CONV(16, 1, 1, tanh) "[shortcut]\nfrom=-2,0\nactivation=tanh\n" END },
    { "sum of three, swish", NET CONV(16, 1, 1, tanh) CONV(16, 3, 1, tanh) CONV(16, 1, 1, swish) "[shortcut]\nfrom=-2,0\nactivation=swish\n" END },
    { "sum of unlike channels", NET CONV(5, 1, 1, tanh) CONV(9, 3, 1, tanh) CONV(7, 1, 1, tanh) SUM("-2,0", per_channel, none) END },
    { "a weight a layer", NET CONV(16, 1, 1, tanh) CONV(16, 3, 1, tanh) SUM("-2", per_feature, none) END },
    { "a weight a layer, relu", NET CONV(6, 1, 1, tanh) CONV(6, 3, 1, tanh) CONV(6, 3, 1, tanh) SUM("-2,-3", per_layer, relu) END },
    { "a weight a layer, softmax", NET CONV(6, 1, 1, tanh) CONV(6, 3, 1, tanh) CONV(6, 3, 1, tanh) SUM("-2,-3", per_feature, softmax) END },
    { "a weight a channel, relu", NET CONV(6, 1, 1, tanh) CONV(6, 3, 1, tanh) SUM("0", per_channel, avg_relu) END },
    { "a weight a channel, softmax", NET CONV(16, 1, 1, tanh) CONV(16, 3, 1, tanh) SUM("0", per_channel, softmax) CONV(16, 1, 1, tanh) END },
    { "dilated", NET CONV(16, 3, 1, tanh) CONV(16, 3, 1, tanh) "dilation=2\n" END },
    { "dilated by 3 with stride", NET CONV(8, 1, 1, tanh) CONV(6, 5, 2, tanh) "dilation=3\n" END },
    { "dilated, depthwise", NET CONV(16, 1, 1, tanh) CONV(16, 3, 1, tanh) "groups=16\ndilation=2\n" END },
    { "dilation of one pixel", NET CONV(8, 1, 1, tanh) "dilation=4\n" END },
    { "two strides", NET CONV(16, 3, 1, tanh) CONV(16, 3, 1, tanh) "stride_x=2\n" CONV(8, 3, 1, tanh) "stride_x=1\nstride_y=3\n" END },
    { "two strides, dilated", NET CONV(16, 3, 2, tanh) "stride_y=1\ndilation=2\n" END },
    { "one stride, twice", NET CONV(16, 3, 1, tanh) "stride_x=2\nstride_y=2\n" END },
    { "two strides of a maxpool", NET CONV(16, 3, 1, tanh) "[maxpool]\nsize=2\nstride_x=1\nstride_y=2\n" CONV(8, 1, 1, tanh) END },
    { "two strides of a plain maxpool", NET CONV(3, 3, 1, tanh) "[maxpool]\nsize=3\nstride=1\nstride_x=2\n[dropout]\nprobability=0\n" END },
    { "two strides, joined", NET CONV(16, 3, 1, tanh) CONV(16, 3, 1, tanh) "stride_y=2\n" "[route]\nlayers=0\n[maxpool]\nsize=2\nstride_x=1\nstride_y=2\n"
      "[shortcut]\nfrom=-3\nactivation=tanh\n" ROUTE("-1,1", 2, 1) END },
};
enum { NETS = sizeof nets / sizeof *nets };

typedef struct way {
    const char *name;
    cpu_backend backend;
    int layouts;
} way;
static const way ways[] = { { "reference", BACKEND_REFERENCE, 0 }, { "fast", BACKEND_DNNL, 0 }, { "blocked", BACKEND_DNNL, 1 },
                            { "host", BACKEND_HOST, 0 } };
enum { WAYS = sizeof ways / sizeof *ways };

static network *open_net(const char *cfg, const way *way)
{
    network *net = check_bound_as(cfg, &(cpu_options){ .backend = way->backend, .seed = 7, .layouts = way->layouts });
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    cpu_init_weights(net, 0, net->n, 11);
    for (int i = 0; i < net->n; ++i)
        for (int k = weights_tensors(&net->layers[i], t); k-- > 0;)
            if (strcmp(t[k].name, "weights") || (int)net->layers[i].type == LAYER_SHORTCUT_SUM) check_fill(t[k].data, t[k].n, (uint64_t)(40 + i));
    check_fill(net->input, (size_t)net->batch * (size_t)net->inputs, 70);
    return net;
}

/* ---- arithmetic ---- */

static void outputs_are_the_formulae(void **unused)
{
    (void)unused;
    for (int i = 0; i < NETS; ++i)
        for (int k = 0; k < WAYS; ++k)
            for (int train = 0; train < 2; ++train) {
                network *net = open_net(nets[i].cfg, &ways[k]);
                fork_reference *want = fork_reference_of(net, nets[i].cfg);
                char *name = mem_printf("%s, %s", nets[i].name, ways[k].name);
                network_forward(net, net->n, train);
                fork_reference_run(want);
                const double *y = fork_reference_output(want);
                for (size_t j = 0; j < check_size(net, net->n - 1); ++j) check_close(net->output[j], y[j], 2e-5, name, j);
                fork_reference_free(want);
                free(name);
                check_release(net);
            }
}

/* Backward twice, as memory is used again; sums of gradients add up. */
static void run_backward(network *net, const float *coefficient)
{
    layer *last = &net->layers[net->n - 1];
    for (int twice = 0; twice < 2; ++twice) {
        network_forward(net, net->n, 1);
        memcpy(last->delta, coefficient, check_size(net, net->n - 1) * sizeof *coefficient);
        network_backward(net, net->n);
    }
}

static void gradients_are_differences(void **unused)
{
    (void)unused;
    for (int i = 0; i < NETS; i += getenv("DISTILL_QUICK") ? 3 : 1)   /* under sanitizers every third */
        for (int k = 0; k + 1 < WAYS; ++k) {   /* the host's own convolutions have wrong gradients in places */
            network *net = open_net(nets[i].cfg, &ways[k]);
            size_t n = check_size(net, net->n - 1);
            float *coefficient = mem_calloc(n, sizeof *coefficient);
            char *name = mem_printf("%s, %s", nets[i].name, ways[k].name);
            fork_reference *want = fork_reference_of(net, nets[i].cfg);
            check_fill(coefficient, n, 71);
            run_backward(net, coefficient);
            fork_reference_check(want, coefficient, 2, name);
            fork_reference_free(want);
            free(coefficient);
            free(name);
            check_release(net);
        }
}

static int is_blocked(const network *net, int i)
{
    const cpu_state *state = cpu_state_of(&net->layers[i]);
    return state && state->blocked;
}

static void maps_stay_blocked(void **unused)
{
    (void)unused;
    static const struct { int net, layer; } blocked[] = { { 0, 1 }, { 1, 1 }, { 2, 2 }, { 9, 4 }, { 11, 2 }, { 13, 2 }, { 26, 1 }, { 30, 1 }, { 33, 1 } };
    for (size_t i = 0; i < sizeof blocked / sizeof *blocked; ++i) {
        network *net = open_net(nets[blocked[i].net].cfg, &ways[2]);
        if (is_blocked(net, 0) && !is_blocked(net, blocked[i].layer)) fail_msg("%s: layer %d is plain", nets[blocked[i].net].name, blocked[i].layer);
        check_release(net);
    }
}

/* ---- frozen ---- */

static void frozen_is_inference(void **unused)
{
    (void)unused;
    cpu_mode mode[16];
    for (int i = 0; i < 16; ++i) mode[i] = CPU_FROZEN;
    for (int i = 0; i < NETS; ++i) {
        network *net = check_bound_as(nets[i].cfg, &(cpu_options){ .seed = 7, .layouts = 1, .mode = mode }), *other = open_net(nets[i].cfg, &ways[0]);
        weights_tensor a[WEIGHTS_MAX_TENSORS], b[WEIGHTS_MAX_TENSORS];
        for (int k = 0; k < net->n; ++k)
            for (int j = weights_tensors(&net->layers[k], a), n = weights_tensors(&other->layers[k], b); j-- > 0 && n;) memcpy(a[j].data, b[j].data, a[j].n * sizeof(float));
        cpu_weights_changed(net);
        check_fill(net->input, (size_t)net->batch * (size_t)net->inputs, 70);
        network_forward(other, other->n, 0);
        for (int twice = 0; twice < 2; ++twice) {
            network_forward(net, net->n, 0);
            check_close_n(net->output, other->output, check_size(net, net->n - 1), 2e-5, nets[i].name);
        }
        check_release(net);
        check_release(other);
    }
}

/* ---- sizes ---- */

static void check_sizes(const network *net, const char *cfg, const char *name)
{
    diag *d = diag_new();
    cfg_file *file = cfg_parse("x.cfg", cfg, strlen(cfg), d);
    net_shape *shape = shapes_infer(file, d);
    check_no_errors(d);
    for (int i = 0; i < net->n; ++i) {
        const layer *l = &net->layers[i];
        const layer_shape *s = &shape->layer[i];
        weights_tensor t[WEIGHTS_MAX_TENSORS];
        size_t stored = 0;
        for (int k = weights_tensors(l, t); k-- > 0;) stored += t[k].n;
        if (l->out_c != s->c || l->out_h != s->h || l->out_w != s->w || l->outputs != s->outputs || stored != s->stored)
            fail_msg("%s: layer %d has %dx%dx%d and %zu weights, expected %dx%dx%d and %zu", name, i, l->out_c, l->out_h, l->out_w, stored, s->c, s->h, s->w, s->stored);
    }
    shapes_free(shape);
    cfg_free(file);
    diag_free(d);
}

static void sizes_are_the_shapes(void **unused)
{
    (void)unused;
    for (int i = 0; i < NETS; ++i) {
        network *net = open_net(nets[i].cfg, &ways[2]);
        check_sizes(net, nets[i].cfg, nets[i].name);
        check_release(net);
    }
}

/* A copy of `cfg`, which begins with NET, for another image. */
static char *resized_cfg(const char *cfg)
{
    return mem_printf("%s%s", SIZED(16, 12), cfg + strlen(NET));
}

static void resized_is_parsed_anew(void **unused)
{
    (void)unused;
    diag *d = diag_new();
    for (int i = 0; i < NETS; ++i)
        for (int k = 0; k < 3; ++k) {
            char *cfg = resized_cfg(nets[i].cfg);
            network *net = open_net(nets[i].cfg, &ways[k]), *fresh = open_net(cfg, &ways[k]);
            network_forward(net, net->n, 1);
            if (network_resize(net, 16, 12, d)) diag_print(d, stderr);
            check_no_errors(d);
            check_sizes(net, cfg, nets[i].name);
            assert_int_equal(net->inputs, fresh->inputs);
            assert_int_equal(net->outputs, fresh->outputs);
            assert_int_equal(net->truths, fresh->truths);
            check_fill(net->input, (size_t)net->batch * (size_t)net->inputs, 70);
            network *both[] = { net, fresh };
            for (int j = 0; j < 2; ++j) {
                network_forward(both[j], net->n, 1);
                check_fill(both[j]->layers[net->n - 1].delta, check_size(net, net->n - 1), 71);
                network_backward(both[j], net->n);
            }
            check_close_n(net->output, fresh->output, check_size(net, net->n - 1), 0, nets[i].name);
            check_close_n(net->layers[0].weight_updates, fresh->layers[0].weight_updates, (size_t)net->layers[0].nweights, 0, nets[i].name);
            check_release(net);
            check_release(fresh);
            free(cfg);
        }
    diag_free(d);
}

static void fixed_size_is_said(void **unused)
{
    (void)unused;
    diag *d = diag_new();
    network *net = check_bound(NET CONV(16, 1, 1, tanh) ROUTE("-1", 2, 0) "[connected]\noutput=3\n", BACKEND_REFERENCE, NULL);
    assert_int_equal(network_resize(net, 16, 12, d), -1);
    assert_string_equal(diag_get(d, 0)->text, "layer 2 cannot change its size, so this network's input stays 8x6");
    assert_int_equal(net->w, 8);
    check_release(net);
    diag_free(d);
}

/* ---- weights ---- */

static void parts_have_no_weights(void **unused)
{
    (void)unused;
    network *net = open_net(nets[0].cfg, &ways[2]);
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    assert_int_equal(weights_tensors(&net->layers[1], t), 0);
    assert_null(net->layers[1].weights);
    assert_null(net->layers[1].biases);
    assert_int_equal(net->layers[1].nweights, 0);
    check_release(net);
}

static void weights_of_sums_are_kept(void **unused)
{
    (void)unused;
    static const char cfg[] = NET CONV(6, 1, 1, tanh) CONV(6, 3, 1, tanh) SUM("0,-2", per_channel, softmax) END;
    char *path = mem_printf("%s/sum.weights", check_folder());
    diag *d = diag_new();
    network *net = open_net(cfg, &ways[0]), *loaded = open_net(cfg, &ways[0]);
    cfg_file *file = cfg_parse("x.cfg", cfg, strlen(cfg), d);
    net_shape *shape = shapes_infer(file, d);
    for (int i = 0; i < 18; ++i) net->layers[2].weights[i] = (float)i;
    assert_int_equal(shape->layer[2].stored, 18);
    assert_int_equal(weights_save(net, path, d), 0);
    assert_int_equal(weights_load(loaded, shape, path, NULL, d), 0);
    check_no_errors(d);
    for (int i = 0; i < net->n; ++i) assert_int_equal(weights_hash(net, i, i + 1), weights_hash(loaded, i, i + 1));
    size_t len;
    char *bytes = check_read(path, &len);   /* they stand behind layer 1's, before layer 3's */
    float *at = (float *)(void *)(bytes + 20) + 6 + 18 + 6 + 6 * 54 - 6 * 0;
    for (int i = 0; i < 18; ++i) assert_true(at[i] == (float)i);
    cpu_init_weights(net, 0, net->n, 3);
    for (int i = 0; i < 18; ++i) assert_true(net->layers[2].weights[i] == 1);
    free(bytes);
    free(path);
    shapes_free(shape);
    cfg_free(file);
    check_release(net);
    check_release(loaded);
    diag_free(d);
}

static void weights_of_sums_are_trained(void **unused)
{
    (void)unused;
    network *net = open_net(nets[25].cfg, &ways[2]);
    layer *sum = &net->layers[2];
    float before = sum->weights[3];
    network_forward(net, net->n, 1);
    check_fill(net->layers[net->n - 1].delta, check_size(net, net->n - 1), 71);
    network_backward(net, net->n);
    float gradient = sum->weight_updates[3] - net->decay * (float)net->batch * before, want = before + (float)network_rate(net) * gradient / (float)net->batch;
    network_update(net, net->n);
    check_close(sum->weights[3], want, 1e-6, "weight", 3);
    assert_true(sum->weights[3] != before);
    check_release(net);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_the_shapes), cmocka_unit_test(outputs_are_the_formulae), cmocka_unit_test(gradients_are_differences),
        cmocka_unit_test(maps_stay_blocked), cmocka_unit_test(frozen_is_inference), cmocka_unit_test(resized_is_parsed_anew),
        cmocka_unit_test(fixed_size_is_said), cmocka_unit_test(parts_have_no_weights), cmocka_unit_test(weights_of_sums_are_kept),
        cmocka_unit_test(weights_of_sums_are_trained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
