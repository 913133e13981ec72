/* `darknet distill bench CFG [WEIGHTS]`: the deployed network's latency and throughput in this runtime, in stock
 * Darknet's code and in OpenCV's DNN, side by side. Without WEIGHTS random ones: what a layer computes costs the same
 * whatever its numbers are. The network goes to the readers as files, in a temporary folder. */
#include "results.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/base/out_file.h"
#include "darknet_plugin/base/rng.h"
#include "darknet_plugin/base/temp_folder.h"
#include "darknet_plugin/deploying/bench.h"
#include "darknet_plugin/model/model.h"
#include "layers/cpu/parallel.h"
#include "weights_tools/file/weights_file.h"

#include <stdlib.h>
#include <unistd.h>

typedef struct bench_run {
    bench_job job;
    lowered *low;                    /* owned, as all below */
    temp_folder folder;
    char *cfg, *weights;
    float *x;
    bench_result result[BENCH_READERS];
} bench_run;

static int whole_weights(network *net, const net_shape *shape, const char *path, diag *d)
{
    weights_info info;
    if (weights_load(net, shape, path, &info, d)) return -1;
    if (info.layers >= net->n) return 0;
    diag_error(d, path, 0, NULL, "holds %d of the network's %d layers", info.layers, net->n);
    return -1;
}

/* The network as a reader's files, with weights of the user's or random ones. */
static int write_files(bench_run *run, const options *options, diag *d)
{
    size_t len;
    char *text = bench_text(run->low, 1, &len);
    network *net = host_parse(text, len, options->arg[0], d);
    int failed = !net || out_file_text(run->cfg, text, len, d);
    if (!failed && options->n > 1) failed = whole_weights(net, run->low->shape, options->arg[1], d);
    else if (!failed) bench_random_weights(net, (uint64_t)options->seed);
    failed = failed || weights_save(net, run->weights, d);
    host_free(net);
    free(text);
    return failed ? -1 : 0;
}

static int make_folder(bench_run *run, diag *d)
{
    if (temp_folder_make(&run->folder, d)) return -1;
    run->cfg = mem_printf("%s/net.cfg", run->folder.path);
    run->weights = mem_printf("%s/net.weights", run->folder.path);
    return 0;
}

/* The host counts batch x outputs in an int: shapes say where that does not do. */
static int check_batch(const bench_run *run, const char *path, diag *d)
{
    size_t len;
    char *text = bench_text(run->low, run->job.batch, &len);
    diag *quiet = diag_new();
    cfg_file *cfg = cfg_parse(path, text, len, quiet);
    net_shape *shape = shapes_infer(cfg, quiet);
    int failed = !shape;
    int last = diag_count(quiet) - 1;
    if (failed) diag_error(d, path, 0, NULL, "batch %d: %s", run->job.batch, diag_get(quiet, last)->text);
    shapes_free(shape);
    cfg_free(cfg);
    diag_free(quiet);
    free(text);
    return failed ? -1 : 0;
}

/* Images a run: -batch, or what the cfg runs at a time. */
static int choose_batch(bench_run *run, const options *options, diag *d)
{
    const cfg_section *net = cfg_net(run->low->source);
    int batch = options->batch;
    if (!options_given(options, "batch")) batch = cfg_int(net, "batch", 1) / cfg_int(net, "subdivisions", 1);
    run->job.batch = batch < 1 ? 1 : batch;
    return check_batch(run, options->arg[0], d);
}

static void make_images(bench_run *run)
{
    size_t n = (size_t)run->low->shape->inputs * (size_t)run->job.batch;
    rng r = rng_make(1, 0, 0, RNG_TEST);
    run->x = mem_calloc(n, sizeof *run->x);
    for (size_t i = 0; i < n; ++i) run->x[i] = (float)rng_uniform(&r, 0, 1);
}

/* ---- results ---- */

static double images_per_second(const bench_times *times)
{
    return times->median > 0 ? times->batch / times->median : 0;
}

/* How many times faster this runtime is; 0 where one of them did not run. */
static double times_faster(const bench_run *run, const bench_result *result, int throughput)
{
    const bench_result *own = &run->result[BENCH_OWN];
    if (!own->ran || !result->ran) return 0;
    if (!throughput) return result->latency.median / own->latency.median;
    return images_per_second(&own->throughput) / images_per_second(&result->throughput);
}

static cJSON *latency_json(const bench_run *run, const bench_result *result)
{
    double ratio = times_faster(run, result, 0);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "median_ms", result->latency.median * 1e3);
    cJSON_AddNumberToObject(object, "p95_ms", result->latency.p95 * 1e3);
    cJSON_AddNumberToObject(object, "runs", result->latency.runs);
    if (ratio > 0) cJSON_AddNumberToObject(object, "ratio", ratio);
    return object;
}

static cJSON *throughput_json(const bench_run *run, const bench_result *result)
{
    double ratio = times_faster(run, result, 1);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "images_per_second", images_per_second(&result->throughput));
    cJSON_AddNumberToObject(object, "batch", result->throughput.batch);
    cJSON_AddNumberToObject(object, "runs", result->throughput.runs);
    if (ratio > 0) cJSON_AddNumberToObject(object, "ratio", ratio);
    return object;
}

/* One reader: its times, or why it did not run. */
static cJSON *result_json(const bench_run *run, const bench_result *result)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "reader", result->reader);
    cJSON_AddBoolToObject(object, "ran", result->ran);
    if (!result->ran) cJSON_AddStringToObject(object, "why", result->why);
    else {
        cJSON_AddItemToObject(object, "latency", latency_json(run, result));
        cJSON_AddItemToObject(object, "throughput", throughput_json(run, result));
    }
    return object;
}

static cJSON *bench_json(const bench_run *run, const options *options)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "cfg", options->arg[0]);
    if (options->n > 1) cJSON_AddStringToObject(object, "weights", options->arg[1]);
    cJSON_AddNumberToObject(object, "threads", parallel_threads());
    cJSON_AddNumberToObject(object, "multiply_adds", run->low->shape->macs);
    cJSON *list = cJSON_AddArrayToObject(object, "readers");
    for (int i = 0; i < BENCH_READERS; ++i) cJSON_AddItemToArray(list, result_json(run, &run->result[i]));
    return object;
}

/* "1.00x", or "-" without a value. */
static const char *ratio_text(double ratio, char text[16])
{
    if (ratio > 0) snprintf(text, 16, "%.2fx", ratio);
    else snprintf(text, 16, "-");
    return text;
}

/* The same as a line. */
static void print_row(const bench_run *run, const bench_result *result, FILE *out)
{
    char latency[16], throughput[16];
    if (!result->ran) {
        fprintf(out, "%-16s  %s\n", result->reader, result->why);
        return;
    }
    fprintf(out, "%-16s %10.3f %10.3f %9s   %12.1f %6d %9s\n", result->reader,
            result->latency.median * 1e3, result->latency.p95 * 1e3, ratio_text(times_faster(run, result, 0), latency),
            images_per_second(&result->throughput), result->throughput.batch,
            ratio_text(times_faster(run, result, 1), throughput));
}

static void print_bench(const bench_run *run, const options *options, FILE *out)
{
    fprintf(out, "%s: %.3f M multiply-adds, %d threads, %s weights\n\n", options->arg[0],
            run->low->shape->macs / 1e6, parallel_threads(), options->n > 1 ? "given" : "random");
    fprintf(out, "%-16s %10s %10s %9s   %12s %6s %9s\n", "",
            "latency ms", "95 % below", "ratio", "images/s", "batch", "ratio");
    for (int i = 0; i < BENCH_READERS; ++i) print_row(run, &run->result[i], out);
    fprintf(out, "\nlatency: one image, median; ratio: how many times faster %s is\n", run->result[BENCH_OWN].reader);
}

static int report(const bench_run *run, const options *options, diag *d)
{
    int ran = 0;
    for (int i = 0; i < BENCH_READERS; ++i) ran |= run->result[i].ran;
    if (!ran) diag_error(d, options->arg[0], 0, NULL, "no reader takes this network");
    if (options->json) return json_print(bench_json(run, options), options->out, d);
    print_bench(run, options, options->out);
    return 0;
}

/* Everything in order; what was made is freed by the caller. */
static int measure(bench_run *run, const options *options, diag *d)
{
    run->low = lower_read(options->arg[0], LOWER_DEPLOY, d);
    if (!run->low || choose_batch(run, options, d) || make_folder(run, d) || write_files(run, options, d)) return -1;
    make_images(run);
    run->job.low = run->low;
    run->job.cfg = run->cfg;
    run->job.weights = run->weights;
    run->job.x = run->x;
    bench_readers(&run->job, run->result);
    return report(run, options, d);
}

static void free_run(bench_run *run)
{
    temp_folder_remove(&run->folder);
    lower_free(run->low);
    free(run->cfg);
    free(run->weights);
    free(run->x);
}

static int run(options *options, diag *d)
{
    bench_run bench = { .job = { .seconds = options_given(options, "seconds") ? options->seconds : 3 } };
    if (model_backend(options->backend, &bench.job.backend, d)) return -1;
    parallel_set_threads(options->threads);
    int failed = measure(&bench, options, d);
    free_run(&bench);
    return failed;
}

const verb verb_bench = {
    .name = "bench", .arguments = "CFG [WEIGHTS]", .min = 1, .max = 2, .run = run,
    .help = "latency and throughput beside stock Darknet and OpenCV",
    .flags = { "json", "threads", "backend", "seed", "batch", "seconds" },
};
