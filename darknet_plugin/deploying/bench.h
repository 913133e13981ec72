/* How fast a deployed network answers in each reader at hand: this runtime, stock Darknet's own code, OpenCV's DNN.
 * To add a reader: three functions and a row in bench.c, a number here. */
#ifndef DISTILL_BENCH_H
#define DISTILL_BENCH_H
#include "layers/cpu/cpu.h"
#include "darknet_plugin/lowering/lower.h"

enum { BENCH_OWN, BENCH_HOST, BENCH_OPENCV, BENCH_READERS };

typedef struct bench_job {
    const lowered *low;             /* the network as it deploys; borrowed, as all below */
    const char *cfg, *weights;      /* the same as files, batch 1 */
    const float *x;                 /* (batch, inputs), the batch below */
    int batch;                      /* images a run when throughput is measured, at most */
    cpu_backend backend;            /* of this runtime */
    double seconds;                 /* for each reader, both measurements together */
} bench_job;

typedef struct bench_times {
    int batch, runs;                /* images a run, runs measured */
    double median, p95;             /* seconds a run: the middle one, and what 95 of 100 stay below */
} bench_times;

typedef struct bench_result {
    const char *reader;             /* "darknet-distill", "libdarknet", "OpenCV 4.6.0" */
    int ran;                        /* 0: it does not take this network, `why` says why */
    bench_times latency, throughput;/* batch 1; batch of the job, or what fits into the time */
    char why[256];
} bench_result;

/* Measures all readers, in turns, so that what else the machine does hits all alike. */
void bench_readers(const bench_job *job, bench_result result[BENCH_READERS]);
/* This runtime's alone, with random weights: the median of an image in seconds, measured for about so long; below 0
 * after reporting. */
double bench_alone(const lowered *low, cpu_backend backend, double seconds, diag *d);
/* He's weights and settled statistics: with those of an untrained network, all 0, everything would overflow. */
void bench_random_weights(network *net, uint64_t seed);
/* Every layer as it runs when nothing is trained. 0, or not after reporting. */
int bench_bind_frozen(network *net, cpu_backend backend, diag *d);
/* The network's text with another batch; the caller frees. */
char *bench_text(const lowered *low, int batch, size_t *len);

#endif
