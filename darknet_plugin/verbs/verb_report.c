/* `darknet distill report DATA CFG=backup/NAME...`: one page of one or several runs (see reporting/report.h). */
#include "device.h"

#include "darknet_plugin/base/options.h"
#include "darknet_plugin/base/version.h"
#include "darknet_plugin/reporting/report.h"

/* Flags become the report's options. */
static int run(options *options, diag *d)
{
    cpu_backend backend;
    report_options how = {
        .data = options->arg[0], .run = options->arg + 1, .runs = options->n - 1, .version = DISTILL_VERSION,
        .path = options->cache_out ? options->cache_out : "report.html", .threads = options->threads,
        .limit = (size_t)options->limit, .holdout = (size_t)options->holdout, .out = options->out,
        .seconds = options_given(options, "seconds") ? options->seconds : 1,
    };
    if (device_named(options, &backend, d)) return -1;
    report *report = report_begin(&how, d);      /* networks are timed on the CPU, before a device is chosen */
    int failed = !report || device_backend(options, &backend, d) || report_write(report, backend, d);
    report_free(report);
    return failed ? -1 : 0;
}

const verb verb_report = {
    .name = "report", .arguments = "DATA CFG=backup/NAME...", .min = 2, .max = MAX_POSITIONAL, .run = run,
    .help = "one page: curves, numbers, feature maps, disagreements",
    .example = "report my.data student.cfg=backup/student -out report.html",
    .notes = "Each run is a cfg and what its files' names begin with: NAME_final.weights, NAME.jsonl, and beside them\n"
             "those of NAME-labels, the same network by train -from-labels. Several runs share one page.\n",
    .flags = { "threads", "backend", "gpus", "nogpu", "limit", "holdout", "seconds", "out" },
};
