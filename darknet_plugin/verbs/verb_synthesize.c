/* `darknet distill synthesize CFG [WEIGHTS] OUT`: images for a teacher whose data is not there (see
 * darknet_plugin/synthesis/synthesis.h). CFG is a distillation's, whose [teacher] it is, or a classifier's with its
 * weights. The CPU computes: there is no -gpus. */
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/model/model.h"
#include "darknet_plugin/synthesis/synthesis.h"
#include "layers/cpu/parallel.h"

enum { BATCH = 250, IMAGES = 5000 };

/* A flag's number, or -1: the way's own. */
static double asked(const options *options, const char *flag, double value)
{
    return options_given(options, flag) ? value : -1;
}

/* Who computes: a backend whose gradients are right. */
static int read_backend(const options *options, cpu_backend *backend, diag *d)
{
    if (model_backend(options->backend, backend, d)) return -1;
    if (*backend != BACKEND_HOST) return 0;
    diag_error(d, NULL, 0, NULL, "'-backend host': its gradients are wrong behind batch norm that has settled");
    return -1;
}

/* Flags to a job, and the job. */
static int run(options *options, diag *d)
{
    int weights = options->n > 2;
    synthesis_job job = {
        .cfg = options->arg[0], .weights = weights ? options->arg[1] : NULL, .out = options->arg[1 + weights],
        .way = synthesis_way_named(options->method, d), .n = options->images ? options->images : IMAGES,
        .batch = options->batch ? options->batch : BATCH, .steps = options->steps,
        .rate = asked(options, "rate", options->rate), .bn = asked(options, "bn", options->bn),
        .ce = asked(options, "ce", options->ce), .tv = asked(options, "tv", options->tv),
        .seed = (uint64_t)options->seed, .force = options->force, .print = options->out, .quiet = options->quiet,
    };
    if (!job.way || read_backend(options, &job.backend, d)) return -1;
    parallel_set_threads(options->threads);
    return synthesize(&job, d);
}

const verb verb_synthesize = {
    .name = "synthesize", .arguments = "CFG [WEIGHTS] OUT", .min = 2, .max = 3, .run = run,
    .help = "make images for a teacher whose data is not there, into a folder",
    .example = "synthesize student.cfg made -n 5000",
    .flags = { "n", "method", "steps", "batch", "rate", "bn", "ce", "tv", "seed", "threads", "backend", "force",
               "quiet" },
};
