/* The state of a training run against a network of two layers. The first byte says whether the checksum is put right, which
 * nothing else could get past. */
#include "fuzz.h"

#include "darknet_plugin/base/hash.h"
#include "darknet_plugin/model/run_state.h"
#include "layers/cpu/cpu.h"

enum { FILTERS = 3, KERNEL = 9, INPUTS = 4, OUTPUTS = 2 };
static float memory[200];
static layer layers[2];
static size_t seen;
static int updates;
static network net = { .n = 2, .batch = 1, .subdivisions = 1, .seen = &seen, .t = &updates, .layers = layers };

static float *take(size_t n)
{
    static size_t used;
    used += n;
    return memory + used - n;
}

static void update(layer l, update_args a) { (void)l, (void)a; }

/* The processor's layers are not linked here: what a state may set there is looked at instead. */
int cpu_statistics_count(const layer *l) { return (void)l, 0; }
void cpu_set_statistics_count(layer *l, int count)
{
    (void)l;
    if (count < 0 || count > 100) abort();
}

void fuzz_begin(void)
{
    layers[0] = (layer){ .type = CONVOLUTIONAL, .n = FILTERS, .c = 1, .groups = 1, .size = 3, .nweights = FILTERS * KERNEL, .nbiases = FILTERS,
                         .batch_normalize = 1, .biases = take(FILTERS), .scales = take(FILTERS), .rolling_mean = take(FILTERS),
                         .rolling_variance = take(FILTERS), .weights = take(FILTERS * KERNEL), .bias_updates = take(FILTERS),
                         .scale_updates = take(FILTERS), .mean = take(FILTERS), .weight_updates = take(FILTERS * KERNEL), .update = update };
    layers[1] = (layer){ .type = CONNECTED, .inputs = INPUTS, .outputs = OUTPUTS, .biases = take(OUTPUTS), .weights = take(OUTPUTS * INPUTS),
                         .bias_updates = take(OUTPUTS), .weight_updates = take(OUTPUTS * INPUTS), .update = update };
}

void fuzz_one(const uint8_t *data, size_t n)
{
    if (n < 9) return;
    uint8_t *file = mem_calloc(n - 1, 1);
    memcpy(file, data + 1, n - 1);
    uint64_t sum = hash_bytes(file, n - 1 - sizeof sum, HASH_START);
    if (data[0] & 1) memcpy(file + n - 1 - sizeof sum, &sum, sizeof sum);
    fuzz_write("x.state", file, n - 1);
    free(file);
    diag *d = diag_new();
    run_state *s = run_state_read("x.state", d);
    int failed = !s || run_state_apply(s, &net, net.n, "x.state", d);
    if (s) fuzz_use((float)strlen(s->key));
    run_state_free(s);
    fuzz_end(d, failed);
}
