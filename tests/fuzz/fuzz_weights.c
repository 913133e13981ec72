/* A weights file against a network of two layers, which is built here: the host is not asked. */
#include "fuzz.h"

#include "weights_tools/file/weights_file.h"

enum { FILTERS = 3, KERNEL = 9, MAP = 4, CLASSES = 2 };
static const char cfg[] = "[net]\nwidth=2\nheight=2\nchannels=1\nbatch=1\n[convolutional]\nbatch_normalize=1\nfilters=3\nsize=3\npad=1\n"
                          "activation=relu\n[connected]\noutput=2\nactivation=linear\n";
static float memory[4 * FILTERS + FILTERS * KERNEL + CLASSES + CLASSES * FILTERS * MAP];
static layer layers[2];
static size_t seen;
static network net = { .n = 2, .batch = 1, .subdivisions = 1, .seen = &seen, .layers = layers };
static net_shape *shape;

static float *take(size_t n)
{
    static size_t used;
    used += n;
    return memory + used - n;
}

void fuzz_begin(void)
{
    diag *d = diag_new();
    cfg_file *c = cfg_parse("net.cfg", cfg, sizeof cfg - 1, d);
    shape = shapes_infer(c, d);
    cfg_free(c);
    fuzz_end(d, !shape);
    layers[0] = (layer){ .type = CONVOLUTIONAL, .n = FILTERS, .c = 1, .groups = 1, .size = 3, .nweights = FILTERS * KERNEL, .nbiases = FILTERS,
                         .batch_normalize = 1, .biases = take(FILTERS), .scales = take(FILTERS), .rolling_mean = take(FILTERS),
                         .rolling_variance = take(FILTERS), .weights = take(FILTERS * KERNEL) };
    layers[1] = (layer){ .type = CONNECTED, .inputs = FILTERS * MAP, .outputs = CLASSES, .biases = take(CLASSES),
                         .weights = take(CLASSES * FILTERS * MAP) };
}

static void look_at_it(void)
{
    weights_contents c;
    float sum = 0;
    diag *d = diag_new();
    int status = weights_read("w.weights", shape, &c, d);
    for (size_t i = 0; status >= 0 && i < c.info.floats; ++i) sum += c.x[i];
    fuzz_use(sum);
    weights_drop(&c);
    fuzz_end(d, status != 0);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    weights_info info;
    fuzz_write("w.weights", data, n);
    diag *d = diag_new();
    int failed = weights_inspect("w.weights", shape, &info, d);
    fuzz_end(d, failed);
    look_at_it();
    d = diag_new();
    failed = weights_load(&net, shape, "w.weights", &info, d);
    fuzz_end(d, failed);
}
