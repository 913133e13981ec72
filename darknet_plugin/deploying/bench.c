/* Timing the readers of a deployed network (see bench.h).
 *
 * Two measurements: latency at batch 1, then throughput. In each all readers are open together and take turns, a fifth
 * of their time a turn; a reader that has used up its time on one run is not asked again. Each first run is not
 * counted, since it plans and touches memory, unless it already takes all the time there is. The throughput batch of a
 * slow reader is cut so that a few runs fit: it has little to gain from a larger one.
 *
 *   this runtime   every layer frozen: batch norm folded into the weights, blocked maps, Winograd
 *   libdarknet     the host's network_predict with no layer of ours bound; Debian's runs on one thread
 *   OpenCV         its own reading of the files, every output layer asked for */
#include "layers/network.h"
#include "bench.h"

#include "layers/cpu/parallel.h"
#include "weights_tools/file/weights_file.h"
#include "darknet_plugin/base/clock.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/base/mem.h"
#include "readers.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 5, FEW_RUNS = 3 };

/* One reader with the network open. */
typedef struct side {
    const bench_job *job;
    int batch;
    network *net;            /* own and host */
    float *host_input;       /* net->input as the host allocated it */
    dnn_net *dnn;            /* OpenCV */
    char *why;               /* room of bench_result.why, borrowed */
} side;

enum { WHY = sizeof ((bench_result *)0)->why };

/* ---- this runtime and the host ---- */

/* The network with its weights; `own` has it bound to our layers. */
static int open_net(side *side, int own, diag *d)
{
    const lowered *low = side->job->low;
    size_t len;
    char *text = bench_text(low, side->batch, &len);
    side->net = host_parse(text, len, low->source->path, d);
    free(text);
    if (!side->net) return -1;
    side->host_input = side->net->input;
    if (own && bench_bind_frozen(side->net, side->job->backend, d)) return -1;
    if (weights_load(side->net, low->shape, side->job->weights, NULL, d)) return -1;
    if (own) cpu_statistics_loaded(side->net, 0, side->net->n);
    return 0;
}

static int open_either(side *side, int own)
{
    diag *d = diag_new();
    int failed = open_net(side, own, d);
    if (failed) snprintf(side->why, WHY, "%s", diag_count(d) ? diag_get(d, diag_count(d) - 1)->text : "refused");
    diag_free(d);
    return failed;
}

/* Does something keep reader `who` from reading it as it is meant? Then `why` says so. */
static int is_kept(side *side, unsigned who)
{
    const char *obstacle = readers_obstacle(side->job->low->cfg, side->job->low->shape, who);
    if (obstacle) snprintf(side->why, WHY, "does not take %s", obstacle);
    return obstacle != NULL;
}

static int open_own(side *side) { return open_either(side, 1); }
static int open_host(side *side) { return is_kept(side, READER_DARKNET) ? -1 : open_either(side, 0); }

static int run_own(side *side)
{
    side->net->input = (float *)side->job->x;      /* layers only read their input */
    side->net->truth = NULL;
    network_forward(side->net, side->net->n, 0);
    return 0;
}

static int run_host(side *side)
{
    (void)network_predict(side->net, (float *)side->job->x);
    return 0;
}

static void close_net(side *side)
{
    if (!side->net) return;
    side->net->input = side->host_input;
    cpu_unbind(side->net);
    host_free(side->net);
}

/* ---- OpenCV ---- */

static int open_opencv(side *side)
{
    side->dnn = dnn_read_darknet(side->job->cfg, side->job->weights, side->why, WHY);
    dnn_set_threads(parallel_threads());
    return side->dnn ? 0 : -1;
}

static int run_opencv(side *side)
{
    const net_shape *shape = side->job->low->shape;
    return dnn_run(side->dnn, side->job->x, side->batch, shape->c, shape->h, shape->w, side->why, WHY);
}

static void close_opencv(side *side)
{
    if (side->dnn) dnn_free(side->dnn);
    dnn_set_threads(1);
}

static const struct {
    const char *name;
    int (*open)(side *side), (*run)(side *side);
    void (*close)(side *side);
} READERS[BENCH_READERS] = {
    [BENCH_OWN] = { "darknet-distill", open_own, run_own, close_net },
    [BENCH_HOST] = { "libdarknet", open_host, run_host, close_net },
    [BENCH_OPENCV] = { NULL, open_opencv, run_opencv, close_opencv },
};

/* ---- the clock ---- */

typedef struct samples {
    double *seconds;         /* of each run, owned */
    size_t n, room;
    double spent;
} samples;

static void add_sample(samples *samples, double seconds)
{
    if (samples->n == samples->room) {
        samples->room = 2 * samples->room + 256;
        samples->seconds = mem_realloc(samples->seconds, samples->room, sizeof *samples->seconds);
    }
    samples->seconds[samples->n++] = seconds;
    samples->spent += seconds;
}

static int by_size(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static bench_times times_of(samples *samples, int batch)
{
    size_t n = samples->n;
    bench_times times = { .batch = batch, .runs = (int)n };
    if (!n) return times;
    qsort(samples->seconds, n, sizeof *samples->seconds, by_size);
    times.median = (samples->seconds[(n - 1) / 2] + samples->seconds[n / 2]) / 2;
    times.p95 = samples->seconds[(95 * n + 99) / 100 - 1];
    return times;
}

/* Seconds of one run; negative if it failed. */
static double time_run(int reader, side *side)
{
    double begin = clock_now();
    return READERS[reader].run(side) ? -1 : clock_now() - begin;
}

static int open_side(int reader, side *side, samples *samples, double budget)
{
    if (READERS[reader].open(side)) return -1;
    double first = time_run(reader, side);
    if (first >= budget) add_sample(samples, first);
    return first < 0 ? -1 : 0;
}

/* Runs until the turn is over; at least one run, if there is time left at all. */
static int take_turn(int reader, side *side, samples *samples, double budget)
{
    double end = samples->spent + budget / ROUNDS;
    while (!samples->n || (samples->spent < end && samples->spent < budget)) {
        double seconds = time_run(reader, side);
        if (seconds < 0) return -1;
        add_sample(samples, seconds);
    }
    return 0;
}

/* One measurement of all readers that still run, with these batches. */
static void measure(const bench_job *job, bench_result *result, const int *batch, bench_times *times)
{
    side sides[BENCH_READERS];
    samples taken[BENCH_READERS] = { { .n = 0 } };
    double budget = job->seconds / 2;
    for (int i = 0; i < BENCH_READERS; ++i) {
        sides[i] = (side){ .job = job, .batch = batch[i], .why = result[i].why };
        result[i].ran = result[i].ran && !open_side(i, &sides[i], &taken[i], budget);
    }
    for (int round = 0; round < ROUNDS; ++round)
        for (int i = 0; i < BENCH_READERS; ++i)
            if (result[i].ran) result[i].ran = !take_turn(i, &sides[i], &taken[i], budget);
    for (int i = 0; i < BENCH_READERS; ++i) {
        READERS[i].close(&sides[i]);
        times[i] = times_of(&taken[i], batch[i]);
        free(taken[i].seconds);
    }
}

/* The largest batch of which a few runs fit into the time. */
static int batch_that_fits(const bench_job *job, const bench_times *latency)
{
    double most = latency->median > 0 ? job->seconds / 2 / FEW_RUNS / latency->median : job->batch;
    if (most < 1) return 1;
    return most < job->batch ? (int)most : job->batch;
}

void bench_readers(const bench_job *job, bench_result result[BENCH_READERS])
{
    int batch[BENCH_READERS];
    bench_times times[BENCH_READERS];
    for (int i = 0; i < BENCH_READERS; ++i) {
        result[i] = (bench_result){ .reader = READERS[i].name ? READERS[i].name : image_io_version(), .ran = 1 };
        batch[i] = 1;
    }
    measure(job, result, batch, times);
    for (int i = 0; i < BENCH_READERS; ++i) {
        result[i].latency = times[i];
        batch[i] = batch_that_fits(job, &times[i]);
    }
    measure(job, result, batch, times);
    for (int i = 0; i < BENCH_READERS; ++i) result[i].throughput = times[i];
}
