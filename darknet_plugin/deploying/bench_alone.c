/* This runtime's latency alone, in memory (see bench.h). */
#include "bench.h"

#include "darknet_plugin/base/clock.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/rng.h"
#include "layers/network.h"

#include <stdlib.h>

enum { FEWEST = 3, MOST = 1000 };

static int by_size(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

/* The median of what fits into the time; the first run plans and touches memory, and does not count. */
static double median_run(network *net, float *x, double seconds)
{
    double taken[MOST], spent = 0;
    int n = 0;
    float *input = net->input;
    net->input = x;
    net->truth = NULL;
    network_forward(net, net->n, 0);
    while (n < FEWEST || (n < MOST && spent < seconds)) {
        double begin = clock_now();
        network_forward(net, net->n, 0);
        spent += taken[n++] = clock_now() - begin;
    }
    net->input = input;
    qsort(taken, (size_t)n, sizeof *taken, by_size);
    return taken[n / 2];
}

double bench_alone(const lowered *low, cpu_backend backend, double seconds, diag *d)
{
    size_t len;
    char *text = bench_text(low, 1, &len);
    network *net = host_parse(text, len, low->source->path, d);
    double median = -1;
    free(text);
    if (net && !bench_bind_frozen(net, backend, d)) {
        float *x = mem_calloc((size_t)net->inputs, sizeof *x);
        rng stream = rng_make(1, 0, 0, RNG_TEST);
        for (int i = 0; i < net->inputs; ++i) x[i] = (float)rng_uniform(&stream, 0, 1);
        bench_random_weights(net, 0);
        cpu_statistics_loaded(net, 0, net->n);
        median = median_run(net, x, seconds);
        cpu_unbind(net);
        free(x);
    }
    host_free(net);
    return median;
}
