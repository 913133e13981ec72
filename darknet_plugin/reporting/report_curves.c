/* Which curves the page has: accuracy or mAP by epochs, with the teacher's level and the same network from labels; then
 * the loss, and each of its parts, all runs in one chart. The loss from labels is another loss: it shares a chart only
 * with parts of the same name. */
#include "report_chart.h"
#include "report_internal.h"

#include "darknet_plugin/model/model.h"

#include <math.h>
#include <string.h>

/* The first epoch's end, or the first step, that says something of the loss. */
static const log_list *losses_of(const report_log *log)
{
    return log->steps.n > log->epoch_ends.n ? &log->steps : &log->epoch_ends;
}

static void add_scores(chart *chart, const report_log *log, int colour, chart_dash dash, const char *name, int finer)
{
    chart_line *line = log->epoch_ends.n ? chart_add(chart, colour, dash, "%s", name) : NULL;
    for (size_t i = 0; line && i < log->epoch_ends.n; ++i) {
        const log_entry *entry = &log->epoch_ends.entry[i];
        chart_point(line, report_log_epochs(log, entry), finer ? entry->finer : entry->score);
    }
}

/* A level that all teachers of that name share is drawn once. */
static void add_teacher(chart *chart, const report_run *run, int i, int finer)
{
    const report_network *net = &run->teacher[i].net;
    double level = finer ? net->finer : net->score, told = i < run->log.teachers ? run->log.teacher[i] : NAN;
    char name[CHART_NAME];
    if (!finer && !isnan(told)) level = told;    /* on the images that the curves were measured on */
    snprintf(name, sizeof name, "the teacher, %s", run->teacher[i].name);
    for (int k = 0; k < chart->lines; ++k)
        if (!strcmp(chart->line[k].name, name)) return;
    chart_level(chart_add(chart, -1, LINE_DOTTED, "%s", name), level);
}

/* From labels without a log: where it ended, as measured here. */
static void add_labels(chart *chart, const report_run *run, int i, int finer)
{
    char name[CHART_NAME];
    snprintf(name, sizeof name, "%.60s, from labels", run->name);
    add_scores(chart, &run->labels_log, i, LINE_DASHED, name, finer);
    if (run->labels_log.epoch_ends.n || !run->labels.measured) return;
    chart_level(chart_add(chart, i, LINE_DASHED, "%s (its end)", name), finer ? run->labels.finer : run->labels.score);
}

/* Accuracy or mAP of all runs; `finer`: top-5, or mAP over stricter overlaps. */
static void put_scores(const report *report, int finer, FILE *out)
{
    chart chart = { .title = finer ? report_finer_name(report) : report_score_name(report), .unit = "\xc2\xa0%",
                    .digits = 2 };
    for (int i = 0; i < report->runs; ++i) {
        const report_run *run = &report->run[i];
        add_scores(&chart, &run->log, i, LINE_SOLID, run->name, finer);
        add_labels(&chart, run, i, finer);
    }
    for (int i = 0; i < report->runs; ++i)
        for (int k = 0; k < report->run[i].teachers; ++k) add_teacher(&chart, &report->run[i], k, finer);
    chart_put(&chart, out);
    chart_free(&chart);
}

static double part_of(const report_log *log, const log_entry *entry, const char *part)
{
    for (int i = 0; part && i < log->parts; ++i)
        if (!strcmp(log->part[i], part)) return entry->part[i];
    return part ? NAN : entry->loss;
}

/* A part of the loss; `part` NULL: all of it. */
static void add_loss(chart *chart, const report_log *log, const char *part, int colour, chart_dash dash,
                     const char *name)
{
    const log_list *list = losses_of(log);
    chart_line *line = list->n ? chart_add(chart, colour, dash, "%s", name) : NULL;
    for (size_t i = 0; line && i < list->n; ++i)
        chart_point(line, report_log_epochs(log, &list->entry[i]), part_of(log, &list->entry[i], part));
}

/* All runs' parts of that name. */
static void put_part(const report *report, const char *part, FILE *out)
{
    chart chart = { .title = part, .unit = "", .digits = -1, .positive = 1 };
    for (int i = 0; i < report->runs; ++i) {
        const report_run *run = &report->run[i];
        char name[CHART_NAME];
        snprintf(name, sizeof name, "%.60s, from labels", run->name);
        add_loss(&chart, &run->log, part, i, LINE_SOLID, run->name);
        add_loss(&chart, &run->labels_log, part, i, LINE_DASHED, name);
    }
    chart_put(&chart, out);
    chart_free(&chart);
}

/* Losses as a whole, where they are more than one part, or say nothing of parts. */
static void put_whole(const report *report, int of_labels, FILE *out)
{
    chart chart = { .title = of_labels ? "loss from labels" : "loss", .unit = "", .digits = -1, .positive = 1 };
    for (int i = 0; i < report->runs; ++i) {
        const report_run *run = &report->run[i];
        const report_log *log = of_labels ? &run->labels_log : &run->log;
        if (log->parts != 1) add_loss(&chart, log, NULL, i, of_labels ? LINE_DASHED : LINE_SOLID, run->name);
    }
    chart_put(&chart, out);
    chart_free(&chart);
}

/* Was the part met in a log before this one? Logs are counted 0, 1 of run 0, 2, 3 of run 1, ... */
static int is_known(const report *report, int before, const char *part)
{
    for (int i = 0; i < before; ++i) {
        const report_run *run = &report->run[i / 2];
        const report_log *log = i % 2 ? &run->labels_log : &run->log;
        for (int k = 0; k < log->parts; ++k)
            if (!strcmp(log->part[k], part)) return 1;
    }
    return 0;
}

static void put_parts(const report *report, FILE *out)
{
    for (int i = 0; i < 2 * report->runs; ++i) {
        const report_run *run = &report->run[i / 2];
        const report_log *log = i % 2 ? &run->labels_log : &run->log;
        for (int k = 0; k < log->parts; ++k)
            if (!is_known(report, i, log->part[k])) put_part(report, log->part[k], out);
    }
}

static void put_missing(const char *prefix, const char *end, FILE *out)
{
    fputs("<p class=\"note\">No curves of <code>", out);
    html_print(out, "%s%s.jsonl", prefix, end);
    fputs("</code>: that file is not there, or no line of it is understood. <code>train</code> writes it.</p>", out);
}

/* All charts, then which logs are missing. */
void report_put_curves(const report *report, FILE *out)
{
    fputs("<section id=\"curves\"><h2>Curves</h2><div class=\"cards\">", out);
    put_scores(report, 0, out);
    put_scores(report, 1, out);
    put_whole(report, 0, out);
    put_whole(report, 1, out);
    put_parts(report, out);
    fputs("</div>", out);
    for (int i = 0; i < report->runs; ++i) {
        const report_run *run = &report->run[i];
        if (!run->log.there) put_missing(run->prefix, "", out);
        if (run->labels_weights && report_is_distilled(run) && !run->labels_log.there)
            put_missing(run->prefix, MODEL_FROM_LABELS, out);
    }
    fputs("</section>", out);
}
