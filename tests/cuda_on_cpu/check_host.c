/* Darknet's own GPU code on the emulated device beside its CPU code, in one process: tests/test_cuda_on_cpu.sh builds and
 * runs it. The two are compared layer by layer where they are meant to agree, and with a formula where they differ:
 *
 *   batch norm   GPU (x - mean) / sqrt(variance + 1e-5), CPU (x - mean) / (sqrt(variance) + 1e-6); both with the N-1 variance
 *   connected    the GPU cuts its delta at 1 and -1: softmax alone, without [cost], stays within
 *   [yolo]       a library built with GPU=1 leaves out the logistic function on the CPU; the GPU applies it
 *
 * Prints a line for each comparison; status 1 if one is further apart than it may be. */
#include <darknet.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *get_layer_string(LAYER_TYPE type);   /* exported, in no header */

enum { CPU = -1, GPU_0 = 0, BATCH = 4 };

#define NET(size, rate) "[net]\nbatch=4\nsubdivisions=1\nheight=" #size "\nwidth=" #size "\nchannels=3\nlearning_rate=" #rate "\nmomentum=0.9\ndecay=0.001\nmax_batches=100\n"
#define CONV(filters, size, more) "[convolutional]\nfilters=" #filters "\nsize=" #size "\nstride=1\npad=1\n" more
#define TAIL "[avgpool]\n[connected]\noutput=5\nactivation=linear\n[softmax]\n"
#define BN "batch_normalize=1\nactivation=relu\n"

static const char plain[] = NET(12, 0.1) CONV(8, 3, "activation=leaky\n") CONV(8, 3, "activation=relu\n") "[shortcut]\nfrom=-2\nactivation=linear\n"
    "[maxpool]\nsize=2\nstride=2\n" CONV(6, 1, "activation=logistic\n") "[upsample]\nstride=2\n[route]\nlayers=-1,-4\n"
    CONV(8, 3, "groups=2\nactivation=leaky\n") TAIL;
static const char normed[] = NET(12, 0.1) CONV(8, 3, BN) CONV(8, 3, BN) "[shortcut]\nfrom=-2\nactivation=relu\n" CONV(16, 1, BN) TAIL;
static const char boxes[] = NET(16, 0.01) CONV(8, 3, "activation=leaky\n") "[maxpool]\nsize=2\nstride=2\n" CONV(14, 1, "activation=linear\n")
    "[yolo]\nmask=0,1\nanchors=4,4, 8,8\nclasses=2\nnum=2\nignore_thresh=.5\n";

static int failures;

/* The largest difference of a and b, relative to the largest of b. NaN fails. */
static void compare(const char *what, const float *a, const float *b, size_t n, double tolerance)
{
    double apart = 0, size = 1e-12;
    for (size_t i = 0; i < n; ++i) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= apart)) apart = d;
        if (fabs((double)b[i]) > size) size = fabs((double)b[i]);
    }
    int bad = !(apart / size <= tolerance);
    failures += bad;
    fprintf(stderr, "%s%s: %.1e of %.1e\n", bad ? "APART " : "", what, apart / size, tolerance);
}

static void fill(float *x, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; ++i) x[i] = (float)((seed = seed * 1664525u + 1013904223u) >> 8) / 16777216;
}

/* The library keeps who computes in a global. The caller frees nothing. */
static network *parse(const char *text, int device)
{
    char path[] = "/tmp/check_hostXXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) exit(2);
    close(fd);
    gpu_index = device;
    network *net = parse_network_cfg(path);
    unlink(path);
    return net;
}

static void give_weights(network *from, network *to)
{
    char path[] = "/tmp/check_hostXXXXXX";
    close(mkstemp(path));
    gpu_index = from->gpu_index;
    save_weights(from, path);
    gpu_index = to->gpu_index;
    load_weights(to, path);
    unlink(path);
}

/* Shows the same batch: the classifier's truth is one class an image, the detector's one box. */
static void show(network *net, unsigned seed)
{
    fill(net->input, (size_t)net->inputs * BATCH, seed);
    memset(net->truth, 0, (size_t)net->truths * BATCH * sizeof(float));
    for (int b = 0; b < BATCH; ++b) {
        float *t = net->truth + b * net->truths, box[] = { 0.4f, 0.6f, 0.3f, 0.4f, (float)(b % 2) };
        if (net->layers[net->n - 1].type == YOLO) memcpy(t, box, sizeof box);
        else t[(seed + (unsigned)b) % 5] = 1;
    }
}

static float train(network *net, unsigned seed)
{
    show(net, seed);
    gpu_index = net->gpu_index;
    return train_network_datum(net);
}

static void run(network *net, int training, unsigned seed)
{
    show(net, seed);
    gpu_index = net->gpu_index;
    net->train = training;
    forward_network(net);
}

static const float *pulled(float *device, size_t n)
{
    float *host = malloc(n * sizeof *host);
    cuda_pull_array(device, host, n);
    return host;
}

static void compare_layers(const char *name, network *gpu, network *cpu, double tolerance)
{
    for (int i = 0; i < cpu->n; ++i) {
        layer g = gpu->layers[i], c = cpu->layers[i];
        char what[128];
        size_t n = (size_t)(c.outputs * c.batch);
        snprintf(what, sizeof what, "%s, layer %d, %s", name, i, get_layer_string(c.type));
        if (c.type != COST) compare(what, pulled(g.output_gpu, n), c.output, n, tolerance);
        if (!c.weights) continue;
        size_t w = (size_t)(c.type == CONNECTED ? c.inputs * c.outputs : c.nweights);
        strcat(what, "'s weights");
        compare(what, pulled(g.weights_gpu, w), c.weights, w, tolerance);
    }
}

static void check_steps(const char *name, const char *text, double tolerance)
{
    network *cpu = parse(text, CPU), *gpu = parse(text, GPU_0);
    float a = 0, b = 0;
    give_weights(cpu, gpu);
    for (unsigned step = 0; step < 5; ++step) {
        a = train(gpu, step);
        b = train(cpu, step);
    }
    compare(name, &a, &b, 1, tolerance);
    compare_layers(name, gpu, cpu, tolerance);
}

/* What batch norm should give, from the convolution's own result. */
static void check_norm(network *net, int i)
{
    layer l = net->layers[i];
    size_t map = (size_t)(l.out_h * l.out_w), n = (size_t)(l.outputs * l.batch);
    const float *x = pulled(l.x_gpu, n), *y = pulled(l.output_gpu, n), *variance = pulled(l.variance_gpu, (size_t)l.n);
    float *want = calloc(n, sizeof *want), *want_variance = calloc((size_t)l.n, sizeof *want_variance);
    for (size_t c = 0; c < (size_t)l.n; ++c) {
        double sum = 0, squares = 0, count = (double)(map * BATCH);
        for (size_t b = 0; b < BATCH; ++b)
            for (size_t k = 0; k < map; ++k) sum += x[(b * (size_t)l.n + c) * map + k];
        for (size_t b = 0; b < BATCH; ++b)
            for (size_t k = 0; k < map; ++k) squares += pow(x[(b * (size_t)l.n + c) * map + k] - sum / count, 2);
        want_variance[c] = (float)(squares / (count - 1));
        for (size_t b = 0; b < BATCH; ++b)
            for (size_t k = 0; k < map; ++k) {
                size_t at = (b * (size_t)l.n + c) * map + k;
                want[at] = (float)fmax(0, (x[at] - sum / count) / sqrt(want_variance[c] + 1e-5));   /* scale 1, bias 0, relu */
            }
    }
    compare("batch norm's variance and its formula", variance, want_variance, (size_t)l.n, 1e-5);
    compare("batch norm and its formula", y, want, n, 1e-5);
}

/* Training: the formula. Inference: as the CPU, whose variance is changed so that both divide by the same. */
static void check_batchnorm(void)
{
    network *cpu = parse(normed, CPU), *gpu = parse(normed, GPU_0);
    give_weights(cpu, gpu);
    run(gpu, 1, 9);
    for (int i = 0; i < gpu->n; ++i)
        if (gpu->layers[i].batch_normalize) check_norm(gpu, i);
    give_weights(gpu, cpu);
    for (int i = 0; i < cpu->n; ++i)
        for (int k = 0; cpu->layers[i].batch_normalize && k < cpu->layers[i].n; ++k) {
            float *v = &cpu->layers[i].rolling_variance[k];
            *v = (float)pow(sqrt(*v + 1e-5) - 1e-6, 2);
        }
    run(gpu, 0, 10);
    run(cpu, 0, 10);
    compare_layers("batch norm in inference", gpu, cpu, 2e-5);
}

/* The detector's output from the layer before it. Entries of a box: x y w h object class class. */
static void check_yolo(void)
{
    network *cpu = parse(boxes, CPU), *gpu = parse(boxes, GPU_0);
    give_weights(cpu, gpu);
    run(gpu, 0, 11);
    run(cpu, 0, 11);
    layer y = gpu->layers[gpu->n - 1], c = cpu->layers[cpu->n - 2];
    size_t n = (size_t)(y.outputs * BATCH), map = (size_t)(y.w * y.h);
    float *want = calloc(n, sizeof *want);
    for (size_t i = 0; i < n; ++i) {
        size_t entry = i / map % 7;
        want[i] = entry == 2 || entry == 3 ? c.output[i] : 1 / (1 + expf(-c.output[i]));
    }
    compare("[yolo] and its formula", y.output, want, n, 1e-5);
    float loss = train(gpu, 12), later = loss;
    for (int i = 0; i < 10; ++i) later = train(gpu, 12);
    failures += !(later < loss);
    fprintf(stderr, "[yolo] learns: loss %g, then %g\n", (double)loss, (double)later);
}

int main(void)
{
    check_steps("five steps without batch norm", plain, 1e-5);
    check_steps("five steps with batch norm, epsilons apart", normed, 2e-4);
    check_batchnorm();
    check_yolo();
    fprintf(stderr, "%d apart\n", failures);
    return failures != 0;
}
