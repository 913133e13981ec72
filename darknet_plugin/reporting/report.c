/* The report from its beginning to its page (see report.h): all files are looked at first, then time is measured, then
 * network after network is run; the page is written when everything is known. */
#include "report_internal.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/out_file.h"
#include "layers/cpu/parallel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- beginning ---- */

/* One page is of one data set and one task. */
static int check_alike(const report *report, int i, diag *d)
{
    const report_run *run = &report->run[i];
    int detector = run->low->outs > 0;
    for (int k = 0; k < i; ++k) {
        if (strcmp(report->run[k].prefix, run->prefix)) continue;
        diag_error(d, run->prefix, 0, NULL, "is named twice");
        return -1;
    }
    if (!i || detector == report->detector) return 0;
    diag_error(d, run->cfg, 0, NULL, "is a %s, %s a %s", detector ? "detector" : "classifier", report->run[0].cfg,
               detector ? "classifier" : "detector");
    diag_hint(d, "one page compares networks of one task");
    return -1;
}

/* All runs' files, whatever is wrong with one of them. */
static int open_runs(report *report, diag *d)
{
    int failed = 0;
    for (int i = 0; i < report->options.runs; ++i) {
        report_run *run = &report->run[report->runs];
        if (report_run_open(run, report->options.run[i], report, d)) {
            report_run_free(run);
            failed = -1;
            continue;
        }
        if (!report->runs) report->detector = run->low->outs > 0;
        failed |= check_alike(report, report->runs++, d);
    }
    return failed;
}

static int open_data(report *report, diag *d)
{
    report->file = data_file_read(report->options.data, d);
    if (!report->file) return -1;
    report->file->held_out = report->options.holdout;
    report->set = dataset_open(report->file, DATA_VALID, report->options.limit,
                               report->detector ? DATA_BOXES : DATA_UNAMBIGUOUS, d);
    return report->set ? 0 : -1;
}

report *report_begin(const report_options *options, diag *d)
{
    if (options->runs > REPORT_RUNS) {
        diag_error(d, NULL, 0, NULL, "%d runs, at most %d go into one page", options->runs, REPORT_RUNS);
        return NULL;
    }
    report *report = mem_calloc(1, sizeof *report);
    report->options = *options;
    parallel_set_threads(options->threads ? options->threads : ranks_threads(NULL));
    if (!open_runs(report, d) && !open_data(report, d) && !out_file_check(&options->path, 1, d) &&
        !out_file_check_place(options->path, d) && !report_time(report, d))
        return report;
    report_free(report);
    return NULL;
}

void report_free(report *report)
{
    if (!report) return;
    for (int i = 0; i < report->runs; ++i) report_run_free(&report->run[i]);
    dataset_free(report->set);
    data_file_free(report->file);
    free(report);
}

/* ---- the page ---- */

static void put_fact(FILE *out, const char *what, const char *value)
{
    if (!value) return;
    fprintf(out, "<dt>%s</dt><dd><code>", what);
    html_text(out, value);
    fputs("</code></dd>", out);
}

/* What the run is made of, and how near it came to its teacher. */
static void put_facts(const report_run *run, FILE *out)
{
    fputs("<div class=\"card\"><h3>Files</h3><dl class=\"facts\">", out);
    put_fact(out, "cfg", run->cfg);
    put_fact(out, "weights", run->weights);
    put_fact(out, "from labels", run->labels_weights);
    for (int i = 0; i < run->teachers; ++i) {
        put_fact(out, "teacher", run->teacher[i].cfg);
        put_fact(out, "its weights", run->teacher[i].weights);
    }
    if (!isnan(run->agreement))
        fprintf(out, "<dt>agreement</dt><dd>%.2f\xc2\xa0%% of images get the teacher\xe2\x80\x99s class</dd>",
                run->agreement);
    if (!isnan(run->feature_mse))
        fprintf(out, "<dt>features</dt><dd>%.6g mean squared error</dd>", run->feature_mse);
    if (isfinite(run->log.seed)) fprintf(out, "<dt>seed</dt><dd>%.0f</dd>", run->log.seed);
    fputs("</dl></div>", out);
}

static void put_part(FILE *out, const char *title, const char *html)
{
    if (!html) return;
    fprintf(out, "<h3 class=\"part\">%s</h3>", title);
    fputs(html, out);
}

/* All that is said of one run alone. */
static void put_run(const report *report, int i, FILE *out)
{
    const report_run *run = &report->run[i];
    fprintf(out, "<section id=\"run-%d\">", i);
    report_put_title(report, i, out);
    fputs("<div class=\"beside\">", out);
    fputs(run->diagram, out);
    put_facts(run, out);
    fputs("</div>", out);
    if (report_is_distilled(run)) report_put_classes(report, run, out);
    put_part(out, "Feature maps", run->maps);
    put_part(out, "Where student and teacher disagree", run->disagreements);
    fputs("</section>\n", out);
}

/* The page, under a temporary name until it is whole. */
static int write_page(const report *report, diag *d)
{
    out_file page;
    if (out_file_open(&page, report->options.path, d)) return -1;
    FILE *out = page.file;
    report_put_head(report, out);
    report_put_sum(report, out);
    report_put_table(report, out);
    report_put_curves(report, out);
    for (int i = 0; i < report->runs; ++i) put_run(report, i, out);
    report_put_foot(report, out);
    return out_file_close(&page, ferror(out), d);
}

int report_write(report *report, cpu_backend backend, diag *d)
{
    for (int i = 0; i < report->runs; ++i) {
        if (report_measure(report, i, backend, d)) return -1;
        report->run[i].diagram = report_diagram(report, &report->run[i]);
    }
    if (write_page(report, d)) return -1;
    fprintf(report->options.out, "report in %s\n", report->options.path);
    return 0;
}
