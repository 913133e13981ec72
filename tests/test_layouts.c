/* Blocked maps and Winograd: every gradient against central differences in doubles, whole networks against the plain
 * reference, shared inputs, joined shortcuts, plain layers in between, and the memory of a frozen network. */
#include "layers/network.h"
#include "check_layers.h"

#include "layers/cpu/parallel.h"
#include "layers/cpu/state.h"

int resize_network(network *net, int w, int h);

static const conv_case cases[] = {
    { "3x3", 2, 8, 6, 7, 9, 3, 1, 1, 1, 0, "linear", 1 },
    { "3x3 relu", 1, 8, 8, 8, 8, 3, 1, 1, 1, 0, "relu", 1 },
    { "3x3 batch norm", 2, 9, 7, 5, 8, 3, 1, 1, 1, 1, "leaky", 1 },
    { "3x3 batch norm relu", 3, 8, 6, 9, 8, 3, 1, 1, 1, 1, "relu", 1 },
    { "3x3 unpadded", 2, 8, 6, 7, 8, 3, 1, 0, 1, 1, "relu", 1 },
    { "3x3 padded by 2", 1, 8, 5, 4, 8, 3, 1, 2, 1, 0, "tanh", 1 },
    { "3x3 of a tiny map", 4, 8, 3, 3, 8, 3, 1, 1, 1, 1, "relu", 1 },
    { "17 channels", 2, 17, 4, 4, 17, 3, 1, 1, 1, 0, "logistic", 1 },
    { "3x3 mostly edge", 2, 8, 5, 5, 8, 3, 1, 1, 1, 1, "relu", 1 },
    { "stride 2", 2, 32, 7, 5, 8, 3, 2, 1, 1, 1, "leaky", 1 },
    { "stride 3", 1, 8, 8, 9, 10, 3, 3, 1, 1, 0, "linear", 1 },
    { "stride 2 unpadded", 1, 8, 9, 9, 8, 3, 2, 0, 1, 0, "linear", 1 },
    { "stride 2, one image", 1, 8, 8, 8, 9, 3, 2, 1, 1, 0, "relu", 1 },
    { "stride 2 of odd maps", 2, 33, 5, 7, 8, 3, 2, 1, 1, 1, "relu", 1 },
    { "1x1", 2, 9, 4, 3, 11, 1, 1, 0, 1, 1, "relu", 1 },
    { "1x1 stride 2", 2, 8, 7, 6, 9, 1, 2, 0, 1, 0, "logistic", 1 },
    { "5x5", 1, 8, 5, 4, 8, 5, 1, 2, 1, 0, "relu", 1 },
    { "first of 3 channels", 2, 3, 6, 6, 8, 3, 1, 1, 1, 1, "relu", 1 },
    { "depthwise", 2, 9, 6, 7, 9, 3, 1, 1, 9, 1, "relu", 1 },
    { "depthwise stride 2", 2, 16, 7, 7, 16, 3, 2, 1, 16, 0, "linear", 1 },
    { "groups stay plain", 2, 16, 5, 5, 16, 3, 1, 1, 2, 1, "relu", 1 },
    { "depthwise 5x5", 2, 20, 9, 8, 20, 5, 1, 2, 20, 1, "leaky", 1 },
    { "depthwise 5x5 stride 2", 3, 16, 9, 7, 16, 5, 2, 2, 16, 0, "linear", 1 },
    { "depthwise 5x5 on small maps", 2, 24, 3, 2, 24, 5, 1, 2, 24, 1, "relu", 1 },
    { "depthwise of 4 channels", 2, 4, 5, 7, 4, 3, 1, 1, 4, 1, "leaky", 1 },
    { "depthwise of 12 channels", 2, 12, 5, 5, 12, 3, 2, 1, 12, 1, "leaky", 1 },
    { "1x1 to 4 channels", 2, 8, 5, 3, 4, 1, 1, 0, 1, 1, "linear", 1 },
};

static void gradients_of(cpu_layouts layouts)
{
    const size_t every = getenv("DISTILL_QUICK") ? 2 : 1;   /* under sanitizers each in one of the widths */
    for (size_t i = every > 1 && layouts == LAYOUTS_NARROW; i < sizeof cases / sizeof *cases; i += every) {
        conv_case k = cases[i];
        k.layouts = layouts;
        conv_case_check(&k, BACKEND_DNNL, CPU_TRAINED, 1);
        conv_case_check(&k, BACKEND_DNNL, CPU_TRAINED, 0);
        conv_case_check(&k, BACKEND_DNNL, CPU_FROZEN_WEIGHTS, 1);
    }
}

static void gradients(void **unused)
{
    (void)unused;
    gradients_of(LAYOUTS_WIDE);
}

static void gradients_of_narrow_blocks(void **unused)
{
    (void)unused;
    gradients_of(LAYOUTS_NARROW);
}

static const char *who_computes(const char *name, int *blocked)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        if (strcmp(cases[i].name, name)) continue;
        network *net = conv_case_net(&cases[i], BACKEND_DNNL, CPU_TRAINED);
        const char *who = cpu_layer_runs_on(&net->layers[1]);
        *blocked = cpu_state_of(&net->layers[1])->blocked;
        check_release(net);
        return who;
    }
    fail_msg("no case \"%s\"", name);
    return NULL;
}

static void says_who_computes(void **unused)
{
    (void)unused;
    int blocked;
#ifdef WINOGRAD
    assert_string_equal(who_computes("3x3", &blocked), "Winograd");
    assert_string_equal(who_computes("stride 2", &blocked), "Winograd");
    assert_string_equal(who_computes("stride 2 of odd maps", &blocked), "Winograd");
#endif
#ifdef DNNL
    assert_string_equal(who_computes("stride 2 unpadded", &blocked), "oneDNN");
    assert_string_equal(who_computes("stride 3", &blocked), "oneDNN");
    assert_true(blocked);
#endif
    who_computes("groups stay plain", &blocked);
    assert_false(blocked);
}

/* ---- whole networks ---- */

#define NET(batch, size) "[net]\nbatch=" #batch "\nsubdivisions=1\nwidth=" #size "\nheight=" #size "\nchannels=3\n" \
    "learning_rate=0.05\nmomentum=0.9\ndecay=0.0005\npolicy=constant\nmax_batches=100\n"
#define CONV(filters, size, stride, act) "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=" #size "\nstride=" #stride \
    "\npad=1\nactivation=" #act "\n"
#define BIASED(filters, size, act) "[convolutional]\nfilters=" #filters "\nsize=" #size "\nstride=1\npad=1\nactivation=" #act "\n"
#define DEPTHWISE(filters, size, stride, act) "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\ngroups=" #filters \
    "\nsize=" #size "\nstride=" #stride "\npad=1\nactivation=" #act "\n"
#define DROP(probability_) "[dropout]\nprobability=" #probability_ "\n"
#define ADD(from, act) "[shortcut]\nfrom=" #from "\nactivation=" #act "\n"

/* The seed is one where no sum of these is so near a kink, or so near its neighbour in a maxpool, that rounding decides.
 * leaky, whose kink changes a gradient less than relu's where two sums round to different sides of zero; relu alone is in
 * `cases`, clear of kinks. Before a depthwise layer with batch norm stands tanh: batch norm undoes a channel's scale, so
 * that with leaky its gradient would be 0 and what is compared rounding alone. */
static const struct { const char *name, *cfg; } nets[] = {
    { "residual", NET(4, 12) CONV(16, 3, 1, leaky) CONV(16, 3, 1, leaky) CONV(16, 3, 1, linear) ADD(-3, leaky)
      CONV(32, 3, 2, leaky) CONV(32, 3, 1, linear) "[route]\nlayers=-3\n[maxpool]\nsize=1\nstride=2\n" CONV(32, 1, 1, linear)
      ADD(-4, leaky) "[avgpool]\n" "[convolutional]\nfilters=5\nsize=1\nstride=1\nactivation=linear\n" },
    { "two readers beside the shortcut", NET(3, 9) CONV(16, 3, 1, leaky) CONV(16, 3, 1, linear) ADD(-2, leaky) "[route]\nlayers=-2\n"
      CONV(16, 3, 1, leaky) "[avgpool]\n" },
    { "shortcut of itself", NET(3, 8) CONV(16, 3, 1, leaky) ADD(-1, leaky) CONV(8, 3, 1, leaky) },
    { "shortcut to the input side", NET(3, 8) CONV(16, 3, 1, leaky) CONV(16, 3, 1, leaky) "[maxpool]\nsize=2\nstride=1\n"
      ADD(-2, leaky) BIASED(16, 3, linear) ADD(-2, linear) "[avgpool]\n" },
    { "shortcut with factors", NET(2, 8) CONV(16, 3, 1, leaky) CONV(16, 3, 1, linear)
      "[shortcut]\nfrom=-2\nalpha=0.5\nbeta=2\nactivation=relu\n" CONV(16, 3, 1, leaky) },
    { "two shortcuts on one map", NET(2, 8) CONV(16, 3, 1, leaky) CONV(16, 3, 1, linear) ADD(-2, leaky) CONV(16, 3, 1, linear)
      ADD(-4, leaky) CONV(16, 3, 1, linear) ADD(-6, leaky) },
    { "concatenation and upsampling", NET(2, 8) CONV(16, 3, 1, leaky) CONV(32, 3, 2, leaky) CONV(16, 1, 1, leaky)
      "[upsample]\nstride=2\n[route]\nlayers=-1,-4\n" CONV(16, 3, 1, leaky) "[maxpool]\nsize=3\nstride=2\n" CONV(8, 3, 1, leaky) },
    { "uneven concatenation is plain", NET(2, 8) CONV(9, 3, 1, leaky) CONV(11, 3, 1, leaky) "[route]\nlayers=-1,-2\n"
      CONV(16, 3, 1, leaky) },
    { "plain layers in between", NET(2, 8) CONV(16, 3, 1, leaky) "[reorg]\nstride=2\n" CONV(16, 3, 1, leaky) "[dropout]\nprobability=0\n"
      CONV(16, 3, 1, leaky) "[activation]\nactivation=leaky\n" CONV(4, 3, 1, leaky) CONV(16, 3, 1, leaky) "[connected]\noutput=6\n"
      "activation=linear\n" },
    { "a shortcut of unlike shapes is plain", NET(2, 8) CONV(16, 3, 1, leaky) CONV(32, 3, 2, linear) ADD(-2, leaky) CONV(16, 3, 1, leaky) },
    { "other activations", NET(2, 7) CONV(16, 3, 1, logistic) CONV(16, 3, 1, elu) BIASED(16, 1, tanh) CONV(16, 3, 1, linear) ADD(-2, tanh) },
    { "residual of even tiles", NET(3, 16) CONV(16, 3, 1, leaky) "[maxpool]\nsize=1\nstride=2\n" CONV(32, 1, 1, linear) "[route]\nlayers=-3\n"
      CONV(32, 3, 2, linear) ADD(-3, leaky) CONV(48, 3, 2, leaky) "[avgpool]\n" },
    { "batch of one", NET(1, 13) CONV(16, 3, 1, leaky) CONV(24, 3, 1, linear) CONV(24, 3, 1, leaky) ADD(-2, leaky) "[avgpool]\n" },
    { "depthwise with dropout", NET(2, 10) CONV(8, 3, 2, leaky) CONV(4, 1, 1, leaky) CONV(8, 1, 1, tanh) DEPTHWISE(8, 3, 1, leaky)
      CONV(4, 1, 1, linear) DROP(.3) ADD(-5, linear) CONV(24, 1, 1, tanh) DEPTHWISE(24, 3, 2, leaky) CONV(12, 1, 1, linear) DROP(.15)
      CONV(40, 1, 1, tanh) DEPTHWISE(40, 5, 1, leaky) CONV(12, 1, 1, linear) DROP(.5) ADD(-5, linear) BIASED(9, 1, linear) },
    { "dropout of many readers", NET(3, 7) CONV(16, 3, 1, leaky) DROP(.4) CONV(16, 1, 1, tanh) "[route]\nlayers=-1,-2,-3\n" DROP(.2)
      DROP(.2) DEPTHWISE(48, 3, 1, leaky) DROP(.3) "[reorg]\nstride=1\n" CONV(16, 1, 1, leaky) DROP(.3) },
};
enum { NETS = sizeof nets / sizeof *nets };

static network *open_net_as(int i, const cpu_options *options)
{
    network *net = check_bound_as(nets[i].cfg, options);
    cpu_init_weights(net, 0, net->n, 11);
    check_fill(net->input, (size_t)net->batch * (size_t)net->inputs, 70);
    return net;
}

static network *open_net(int i, cpu_backend backend, int layouts)
{
    return open_net_as(i, &(cpu_options){ .backend = backend, .seed = 7, .layouts = layouts });
}

static void forward_backward(network *net)
{
    layer *last = &net->layers[net->n - 1];
    network_forward(net, net->n, 1);
    check_fill(last->delta, check_size(net, net->n - 1), 71);
    network_backward(net, net->n);
}

/* |a - b| against the largest |b|. */
static void check_alike(const float *a, const float *b, size_t n, double tol, const char *name, int i, const char *what)
{
    double largest = 0, apart = 0;
    for (size_t k = 0; k < n; ++k) {
        assert_true(isfinite(a[k]) && isfinite(b[k]));
        largest = fmax(largest, fabs(b[k]));
        apart = fmax(apart, fabs((double)a[k] - b[k]));
    }
    if (!(apart <= tol * largest + 1e-12)) fail_msg("%s, layer %d, %s: %g apart, largest %g", name, i, what, apart, largest);
}

static void check_nets(const network *a, const network *b, double tol, const char *name)
{
    check_alike(a->output, b->output, (size_t)a->batch * (size_t)a->outputs, tol, name, a->n - 1, "output");
    for (int i = 0; i < a->n; ++i) {
        const layer *x = &a->layers[i], *y = &b->layers[i];
        if (!x->weight_updates) continue;
        size_t weights = x->type == CONNECTED ? (size_t)(x->inputs * x->outputs) : (size_t)x->nweights, c = (size_t)x->out_c;
        check_alike(x->weight_updates, y->weight_updates, weights, tol, name, i, "weight updates");
        check_alike(x->bias_updates, y->bias_updates, x->type == CONNECTED ? (size_t)x->outputs : c, tol, name, i, "bias updates");
        if (!x->batch_normalize) continue;
        check_alike(x->scale_updates, y->scale_updates, c, tol, name, i, "scale updates");
        check_alike(x->rolling_mean, y->rolling_mean, c, tol, name, i, "running mean");
        check_alike(x->rolling_variance, y->rolling_variance, c, tol, name, i, "running variance");
    }
}

static void agree_with_reference(cpu_layouts layouts)
{
    for (int i = 0; i < NETS; ++i) {
        network *fast = open_net(i, BACKEND_DNNL, layouts), *plain = open_net(i, BACKEND_REFERENCE, 0);
        for (int twice = 0; twice < 2; ++twice) {   /* memory is used again */
            forward_backward(fast);
            forward_backward(plain);
        }
        check_nets(fast, plain, 2e-5, nets[i].name);
        network_forward(fast, fast->n, 0);
        network_forward(plain, plain->n, 0);
        check_alike(fast->output, plain->output, (size_t)fast->batch * (size_t)fast->outputs, 2e-5, nets[i].name, fast->n - 1, "inference");
        check_release(fast);
        check_release(plain);
    }
}

static void networks_agree_with_reference(void **unused)
{
    (void)unused;
    agree_with_reference(LAYOUTS_WIDE);
}

static void narrow_networks_agree_with_reference(void **unused)
{
    (void)unused;
    agree_with_reference(LAYOUTS_NARROW);
}

/* |a - b| / |b|, of all numbers together. */
static double apart(const float *a, const float *b, size_t n)
{
    double off = 0, size = 0;
    for (size_t k = 0; k < n; ++k) {
        assert_true(isfinite(a[k]) && isfinite(b[k]));
        off += pow((double)a[k] - b[k], 2);
        size += pow((double)b[k], 2);
    }
    return sqrt(off / (size + 1e-30));
}

/* Maps of halves, each rounded to 2^-8: a lane or a pixel out of its place would be off by all of itself. */
static void halves_agree(const char *products)
{
    const cpu_options bf16 = { .backend = BACKEND_DNNL, .seed = 7, .layouts = LAYOUTS_BLOCKED, .precision = PRECISION_BF16,
                               .products = products };
    for (int i = 0; i < NETS; ++i) {
        network *half = open_net_as(i, &bf16), *plain = open_net(i, BACKEND_REFERENCE, 0);
        for (int twice = 0; twice < 2; ++twice) {
            forward_backward(half);
            forward_backward(plain);
        }
        double y = apart(half->output, plain->output, (size_t)half->batch * (size_t)half->outputs), worst = 0;
        for (int k = 0; k < half->n; ++k) {
            const layer *l = &half->layers[k];
            size_t n = l->type == CONNECTED ? (size_t)(l->inputs * l->outputs) : (size_t)l->nweights;
            if (l->weight_updates) worst = fmax(worst, apart(l->weight_updates, plain->layers[k].weight_updates, n));
        }
        print_message("%s: output %.4f, weights' gradients at most %.4f apart\n", nets[i].name, y, worst);
        if (!(y < .02) || !(worst < .3)) fail_msg("%s: output %.4f, a weight's gradient %.4f apart", nets[i].name, y, worst);
        check_release(half);
        check_release(plain);
    }
}

/* A letter a layer, for networks of up to 32. */
static void halves_agree_with_reference(void **unused)
{
    (void)unused;
    halves_agree("wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww");
    halves_agree("dddddddddddddddddddddddddddddddd");
}

static void channels_last_agree_with_reference(void **unused)
{
    (void)unused;
    halves_agree("llllllllllllllllllllllllllllllll");
}

static int lanes_of(const char *cfg)
{
    network *net = check_bound_as(cfg, &(cpu_options){ .backend = BACKEND_DNNL, .layouts = LAYOUTS_BLOCKED });
    int lanes = cpu_state_of(&net->layers[0])->shared->kernels->lanes;
    check_release(net);
    return lanes;
}

/* Blocks of 8 for depthwise networks whose wide blocks would be empty for a good part. */
static void chooses_blocks(void **unused)
{
    (void)unused;
#ifdef DNNL
    assert_int_equal(lanes_of(NET(1, 8) CONV(8, 3, 1, leaky) DEPTHWISE(8, 3, 1, leaky)), 8);
#endif
    assert_int_equal(lanes_of(NET(1, 8) CONV(32, 3, 1, leaky) DEPTHWISE(32, 3, 1, leaky)), cpu_wide.lanes);
    assert_int_equal(lanes_of(NET(1, 8) CONV(8, 3, 1, leaky) CONV(8, 3, 1, leaky)), cpu_wide.lanes);
}

static void step(network *net, uint64_t stream)
{
    layer *last = &net->layers[net->n - 1];
    size_t n = check_size(net, net->n - 1);
    check_fill(net->input, (size_t)net->batch * (size_t)net->inputs, stream);
    *net->seen += (size_t)net->batch;
    network_forward(net, net->n, 1);
    for (size_t i = 0; i < n; ++i) last->delta[i] = .02f * (.1f - last->output[i]);
    network_backward(net, net->n);
    network_update(net, net->n);
}

/* Validation between steps, as training does it, must not disturb them. */
static void ten_steps_of(cpu_layouts layouts)
{
    for (int i = 0; i < NETS; i += getenv("DISTILL_QUICK") ? 3 : 1) {   /* under sanitizers every third */
        network *fast = open_net(i, BACKEND_DNNL, layouts), *plain = open_net(i, BACKEND_REFERENCE, 0);
        for (uint64_t k = 0; k < 10; ++k) {
            step(fast, 80 + k);
            step(plain, 80 + k);
            if (k % 3 == 2) network_forward(fast, fast->n, 0);
        }
        for (int l = 0; l < fast->n; ++l)
            if (fast->layers[l].weights)
                check_close_n(fast->layers[l].weights, plain->layers[l].weights, (size_t)fast->layers[l].nweights, 1e-4, nets[i].name);
        check_release(fast);
        check_release(plain);
    }
}

static void ten_steps_agree_with_reference(void **unused)
{
    (void)unused;
    ten_steps_of(LAYOUTS_WIDE);
    ten_steps_of(LAYOUTS_NARROW);
}

static void threads_change_little(void **unused)
{
    (void)unused;
    for (int i = 0; i < 2 * NETS; ++i) {
        cpu_layouts layouts = i < NETS ? LAYOUTS_WIDE : LAYOUTS_NARROW;
        parallel_set_threads(1);
        network *one = open_net(i % NETS, BACKEND_DNNL, layouts);
        forward_backward(one);
        parallel_set_threads(2);
        network *two = open_net(i % NETS, BACKEND_DNNL, layouts);
        forward_backward(two);
        parallel_set_threads(0);
        check_nets(two, one, 1e-5, nets[i % NETS].name);
        check_release(one);
        check_release(two);
    }
}

static void same_run_same_bits(void **unused)
{
    (void)unused;
    network *a = open_net(0, BACKEND_DNNL, 1), *b = open_net(0, BACKEND_DNNL, 1);
    for (uint64_t k = 0; k < 3; ++k) {
        step(a, 90 + k);
        step(b, 90 + k);
    }
    for (int l = 0; l < a->n; ++l)
        if (a->layers[l].weights) assert_memory_equal(a->layers[l].weights, b->layers[l].weights, (size_t)a->layers[l].nweights * sizeof(float));
    check_release(a);
    check_release(b);
}

/* ---- frozen networks ---- */

static size_t memory_of(const network *net, int *blocks)
{
    for (int i = 0; i < net->n; ++i) {
        const cpu_state *s = cpu_state_of(&net->layers[i]);
        size_t bytes = 0;
        for (int k = 0; s && k < s->shared->blocks; ++k) bytes += s->shared->block[k].bytes;
        if (s) return *blocks = s->shared->blocks, bytes;
    }
    return 0;
}

static network *frozen_net(int i, int layouts, const char *keep)
{
    cpu_mode mode[32];
    for (int k = 0; k < 32; ++k) mode[k] = CPU_FROZEN;
    network *net = check_bound_as(nets[i].cfg, &(cpu_options){ .mode = mode, .layouts = layouts, .keep = keep });
    cpu_init_weights(net, 0, net->n, 11);
    for (int k = 0; k < net->n; ++k)
        for (int c = 0; net->layers[k].rolling_variance && c < net->layers[k].out_c; ++c) net->layers[k].rolling_variance[c] = 1 + .1f * (float)c;
    cpu_weights_changed(net);
    check_fill(net->input, (size_t)net->batch * (size_t)net->inputs, 72);
    return net;
}

static void frozen_maps_share_memory(void **unused)
{
    (void)unused;
    char keep[32] = { 0 };
    int blocks = 0;
    keep[3] = 1;
    network *fast = frozen_net(0, 1, keep), *plain = frozen_net(0, 0, NULL);
    for (int twice = 0; twice < 2; ++twice) {
        network_forward(fast, fast->n, 0);
        network_forward(plain, plain->n, 0);
        check_alike(fast->layers[3].output, plain->layers[3].output, check_size(fast, 3), 1e-5, "frozen", 3, "a kept output");
        check_alike(fast->output, plain->output, check_size(fast, fast->n - 1), 1e-5, "frozen", fast->n - 1, "output");
    }
    size_t map = 4 * 16 * 12 * 12;   /* the widest map; never more than three are alive */
    size_t used = memory_of(fast, &blocks);
    if (used > 3 * map * sizeof(float)) fail_msg("%zu bytes in %d blocks, expected at most %zu", used, blocks, 3 * map * sizeof(float));
    check_release(fast);
    check_release(plain);
}

/* What was derived from frozen weights is kept until somebody says that they are others. */
static void new_weights_are_noticed(void **unused)
{
    (void)unused;
    network *net = frozen_net(0, 1, NULL), *other = frozen_net(0, 1, NULL);
    network_forward(net, net->n, 0);
    cpu_init_weights(net, 0, net->n, 9);
    cpu_init_weights(other, 0, net->n, 9);
    for (int k = 0; k < net->n; ++k)
        for (int c = 0; net->layers[k].rolling_variance && c < net->layers[k].out_c; ++c)
            net->layers[k].rolling_variance[c] = other->layers[k].rolling_variance[c] = 2;
    cpu_weights_changed(net);
    cpu_weights_changed(other);
    network_forward(net, net->n, 0);
    network_forward(other, other->n, 0);
    assert_memory_equal(net->output, other->output, check_size(net, net->n - 1) * sizeof(float));
    check_release(net);
    check_release(other);
}

static void follows_resize(void **unused)
{
    (void)unused;
    network *a = open_net(6, BACKEND_DNNL, 1), *b = open_net(6, BACKEND_REFERENCE, 0);
    forward_backward(a);
    forward_backward(b);
    resize_network(a, 16, 16);
    resize_network(b, 16, 16);
    check_fill(a->input, (size_t)a->batch * (size_t)a->inputs, 73);
    check_fill(b->input, (size_t)b->batch * (size_t)b->inputs, 73);
    forward_backward(a);
    forward_backward(b);
    check_nets(a, b, 2e-5, "resized");
    check_release(a);
    check_release(b);
}

/* Dropout's hidden delta and mask grow, too. */
static void dropout_follows_resize(void **unused)
{
    (void)unused;
    for (int way = 0; way < 3; ++way) {
        network *a = open_net(NETS - 2, BACKEND_DNNL, way == 2 ? LAYOUTS_NARROW : LAYOUTS_WIDE);
        network *b = open_net(NETS - 2, BACKEND_REFERENCE, LAYOUTS_PLAIN), *both[] = { a, b };
        for (int k = 0; k < 2; ++k) {
            if (way) forward_backward(both[k]);
            diag *d = diag_new();
            assert_int_equal(host_resize(both[k], 14, 14, d), 0);
            cpu_resized(both[k]);
            check_fill(both[k]->input, (size_t)both[k]->batch * (size_t)both[k]->inputs, 74);
            diag_free(d);
            forward_backward(both[k]);
        }
        if (!way) check_nets(a, b, 2e-5, "resized at once");
        else check_alike(a->output, b->output, check_size(a, a->n - 1), 2e-5, "resized", a->n - 1, "output");
        check_release(a);
        check_release(b);
    }
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients), cmocka_unit_test(gradients_of_narrow_blocks), cmocka_unit_test(says_who_computes),
        cmocka_unit_test(networks_agree_with_reference), cmocka_unit_test(narrow_networks_agree_with_reference),
        cmocka_unit_test(halves_agree_with_reference), cmocka_unit_test(channels_last_agree_with_reference),
        cmocka_unit_test(chooses_blocks),
        cmocka_unit_test(ten_steps_agree_with_reference), cmocka_unit_test(threads_change_little),
        cmocka_unit_test(same_run_same_bits), cmocka_unit_test(frozen_maps_share_memory),
        cmocka_unit_test(new_weights_are_noticed), cmocka_unit_test(follows_resize), cmocka_unit_test(dropout_follows_resize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
