/* A network to be timed: its text, its weights, how it runs (see bench.h). */
#include "bench.h"

#include "darknet_plugin/base/mem.h"
#include "weights_tools/file/weights_file.h"

#include <stdlib.h>

char *bench_text(const lowered *low, int batch, size_t *len)
{
    cfg_file *copy = cfg_copy(low->cfg);
    cfg_set(&copy->section[0], "batch", "%d", batch);
    char *text = cfg_text(copy, len);
    cfg_free(copy);
    return text;
}

void bench_random_weights(network *net, uint64_t seed)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    cpu_init_weights(net, 0, net->n, seed);
    for (int i = 0; i < net->n; ++i) {
        int n = weights_tensors(&net->layers[i], t);
        for (int j = 0; j < n; ++j)
            for (size_t k = 0; weights_is_variance(t[j].name) && k < t[j].n; ++k) t[j].data[k] = 1;
    }
}

int bench_bind_frozen(network *net, cpu_backend backend, diag *d)
{
    cpu_mode *mode = mem_calloc((size_t)net->n, sizeof *mode);
    for (int i = 0; i < net->n; ++i) mode[i] = CPU_FROZEN;
    cpu_options options = { .backend = backend, .mode = mode, .layouts = 1 };
    int failed = cpu_bind(net, &options, d);
    free(mode);
    return failed;
}
