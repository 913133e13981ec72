/* `darknet distill bench CFG [WEIGHTS]`: the deployed network's latency and throughput in this runtime, in stock
 * Darknet's code and in OpenCV's DNN, side by side. Without WEIGHTS random ones: what a layer computes costs the same
 * whatever its numbers are. The network goes to the readers as files, in a temporary folder. */
#include "results.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/base/out_file.h"
#include "darknet_plugin/base/rng.h"
#include "darknet_plugin/deploying/bench.h"
#include "darknet_plugin/model/model.h"
#include "layers/cpu/parallel.h"
#include "weights_tools/file/weights_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct bench_run {
    bench_job job;
    lowered *low;                    /* owned, as all below */
    char *folder, *cfg, *weights;
    float *x;
    bench_result result[BENCH_READERS];
} bench_run;

/* He's weights and settled statistics: with those of an untrained network, all 0, everything would overflow. */
static void random_weights(network *net, uint64_t seed)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    cpu_init_weights(net, 0, net->n, seed);
    for (int i = 0; i < net->n; ++i) {
        int n = weights_tensors(&net->layers[i], t);
        for (int j = 0; j < n; ++j)
            for (size_t k = 0; weights_is_variance(t[j].name) && k < t[j].n; ++k) t[j].data[k] = 1;
    }
}

static int whole_weights(network *net, const net_shape *s, const char *path, diag *d)
{
    weights_info info;
    if (weights_load(net, s, path, &info, d)) return -1;
    if (info.layers >= net->n) return 0;
    diag_error(d, path, 0, NULL, "holds %d of the network's %d layers", info.layers, net->n);
    return -1;
}

static int write_files(bench_run *b, const options *o, diag *d)
{
    size_t len;
    char *text = bench_text(b->low, 1, &len);
    network *net = host_parse(text, len, o->arg[0], d);
    int failed = !net || out_file_text(b->cfg, text, len, d);
    if (!failed && o->n > 1) failed = whole_weights(net, b->low->shape, o->arg[1], d);
    else if (!failed) random_weights(net, (uint64_t)o->seed);
    failed = failed || weights_save(net, b->weights, d);
    host_free(net);
    free(text);
    return failed ? -1 : 0;
}

static int make_folder(bench_run *b, diag *d)
{
    const char *tmp = getenv("TMPDIR");
    b->folder = mem_printf("%s/distill-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(b->folder)) {
        diag_error(d, b->folder, 0, NULL, "cannot make a temporary folder: %s", strerror(errno));
        return -1;
    }
    b->cfg = mem_printf("%s/net.cfg", b->folder);
    b->weights = mem_printf("%s/net.weights", b->folder);
    return 0;
}

static void remove_folder(const bench_run *b)
{
    if (!b->cfg) return;
    unlink(b->cfg);
    unlink(b->weights);
    rmdir(b->folder);
}

/* Images a run: -batch, or what the cfg runs at a time. The host counts batch x outputs in an int: shapes say if not. */
static int choose_batch(bench_run *b, const options *o, diag *d)
{
    const cfg_section *net = cfg_net(b->low->source);
    int batch = options_given(o, "batch") ? o->batch : cfg_int(net, "batch", 1) / cfg_int(net, "subdivisions", 1);
    size_t len;
    b->job.batch = batch < 1 ? 1 : batch;
    char *text = bench_text(b->low, b->job.batch, &len);
    diag *quiet = diag_new();
    cfg_file *c = cfg_parse(o->arg[0], text, len, quiet);
    net_shape *s = shapes_infer(c, quiet);
    if (!s) diag_error(d, o->arg[0], 0, NULL, "batch %d: %s", b->job.batch, diag_get(quiet, diag_count(quiet) - 1)->text);
    int failed = !s;
    shapes_free(s);
    cfg_free(c);
    diag_free(quiet);
    free(text);
    return failed ? -1 : 0;
}

static void make_images(bench_run *b)
{
    size_t n = (size_t)b->low->shape->inputs * (size_t)b->job.batch;
    rng r = rng_make(1, 0, 0, RNG_TEST);
    b->x = mem_calloc(n, sizeof *b->x);
    for (size_t i = 0; i < n; ++i) b->x[i] = (float)rng_uniform(&r, 0, 1);
}

/* ---- results ---- */

static double images_per_second(const bench_times *t) { return t->median > 0 ? t->batch / t->median : 0; }

/* How many times faster this runtime is; 0 where one of them did not run. */
static double times_faster(const bench_run *b, const bench_result *r, int throughput)
{
    const bench_result *own = &b->result[BENCH_OWN];
    if (!own->ran || !r->ran) return 0;
    return throughput ? images_per_second(&own->throughput) / images_per_second(&r->throughput) : r->latency.median / own->latency.median;
}

static cJSON *times_json(const bench_run *b, const bench_result *r, int throughput)
{
    const bench_times *t = throughput ? &r->throughput : &r->latency;
    double ratio = times_faster(b, r, throughput);
    cJSON *o = cJSON_CreateObject();
    if (throughput) {
        cJSON_AddNumberToObject(o, "images_per_second", images_per_second(t));
        cJSON_AddNumberToObject(o, "batch", t->batch);
    } else {
        cJSON_AddNumberToObject(o, "median_ms", t->median * 1e3);
        cJSON_AddNumberToObject(o, "p95_ms", t->p95 * 1e3);
    }
    cJSON_AddNumberToObject(o, "runs", t->runs);
    if (ratio > 0) cJSON_AddNumberToObject(o, "ratio", ratio);
    return o;
}

static cJSON *bench_json(const bench_run *b, const options *o)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "cfg", o->arg[0]);
    if (o->n > 1) cJSON_AddStringToObject(j, "weights", o->arg[1]);
    cJSON_AddNumberToObject(j, "threads", parallel_threads());
    cJSON_AddNumberToObject(j, "multiply_adds", b->low->shape->macs);
    cJSON *list = cJSON_AddArrayToObject(j, "readers");
    for (int i = 0; i < BENCH_READERS; ++i) {
        const bench_result *r = &b->result[i];
        cJSON *e = cJSON_CreateObject();
        cJSON_AddStringToObject(e, "reader", r->reader);
        cJSON_AddBoolToObject(e, "ran", r->ran);
        if (!r->ran) cJSON_AddStringToObject(e, "why", r->why);
        else {
            cJSON_AddItemToObject(e, "latency", times_json(b, r, 0));
            cJSON_AddItemToObject(e, "throughput", times_json(b, r, 1));
        }
        cJSON_AddItemToArray(list, e);
    }
    return j;
}

/* "1.00x", or "-" without a value. */
static const char *ratio_text(double ratio, char text[16])
{
    if (ratio > 0) snprintf(text, 16, "%.2fx", ratio);
    else snprintf(text, 16, "-");
    return text;
}

static void print_row(const bench_run *b, const bench_result *r, FILE *out)
{
    char latency[16], throughput[16];
    if (!r->ran) {
        fprintf(out, "%-16s  %s\n", r->reader, r->why);
        return;
    }
    fprintf(out, "%-16s %10.3f %10.3f %9s   %12.1f %6d %9s\n", r->reader, r->latency.median * 1e3, r->latency.p95 * 1e3,
            ratio_text(times_faster(b, r, 0), latency), images_per_second(&r->throughput), r->throughput.batch,
            ratio_text(times_faster(b, r, 1), throughput));
}

static void print_bench(const bench_run *b, const options *o, FILE *out)
{
    fprintf(out, "%s: %.3f M multiply-adds, %d threads, %s weights\n\n", o->arg[0], b->low->shape->macs / 1e6, parallel_threads(),
            o->n > 1 ? "given" : "random");
    fprintf(out, "%-16s %10s %10s %9s   %12s %6s %9s\n", "", "latency ms", "95 % below", "ratio", "images/s", "batch", "ratio");
    for (int i = 0; i < BENCH_READERS; ++i) print_row(b, &b->result[i], out);
    fprintf(out, "\nlatency: one image, median; ratio: how many times faster %s is\n", b->result[BENCH_OWN].reader);
}

static int report(const bench_run *b, const options *o, diag *d)
{
    int ran = 0;
    for (int i = 0; i < BENCH_READERS; ++i) ran |= b->result[i].ran;
    if (!ran) diag_error(d, o->arg[0], 0, NULL, "no reader takes this network");
    if (o->json) return json_print(bench_json(b, o), o->out, d);
    print_bench(b, o, o->out);
    return 0;
}

static int measure(bench_run *b, const options *o, diag *d)
{
    b->low = lower_read(o->arg[0], LOWER_DEPLOY, d);
    if (!b->low || choose_batch(b, o, d) || make_folder(b, d) || write_files(b, o, d)) return -1;
    make_images(b);
    b->job.low = b->low;
    b->job.cfg = b->cfg;
    b->job.weights = b->weights;
    b->job.x = b->x;
    bench_readers(&b->job, b->result);
    return report(b, o, d);
}

static int run(options *o, diag *d)
{
    bench_run b = { .job = { .seconds = options_given(o, "seconds") ? o->seconds : 3 } };
    if (model_backend(o->backend, &b.job.backend, d)) return -1;
    parallel_set_threads(o->threads);
    int failed = measure(&b, o, d);
    remove_folder(&b);
    lower_free(b.low);
    free(b.folder);
    free(b.cfg);
    free(b.weights);
    free(b.x);
    return failed;
}

const verb verb_bench = {
    .name = "bench", .arguments = "CFG [WEIGHTS]", .min = 1, .max = 2, .run = run,
    .help = "latency and throughput beside stock Darknet and OpenCV",
    .flags = { "json", "threads", "backend", "seed", "batch", "seconds" },
};
