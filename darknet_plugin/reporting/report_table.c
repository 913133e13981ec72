/* The numbers: what each run is worth in large figures, then all networks in one table. Nothing is called a gain but
 * what a student is better than the same network trained from labels.
 *
 * Of a classifier the gain has a margin. Both networks were asked about the same n images; b of them the student alone
 * is right about, c the other alone. The gain is (b - c) / n, its standard error
 *
 *   sqrt(b + c - (b - c)^2 / n) / n
 *
 * (that of paired proportions, as in McNemar's test), and the margin 1.96 of these. It tells of other images, not of
 * other seeds. */
#include "report_internal.h"

#include "layers/cpu/parallel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What distilling bought against the same network from labels, in points; NaN: nobody knows. *margin: half the 95 %
 * interval for other images of this kind, of a classifier; NaN: not known. */
static double gain_of(const report *report, const report_run *run, double *margin)
{
    const report_network *student = &run->student, *labels = &run->labels;
    double alone = 0, other = 0, n = 0;
    *margin = NAN;
    for (size_t i = 0; student->answer && labels->answer && i < dataset_count(report->set); ++i) {
        int label = dataset_label(report->set, i);
        if (label < 0 || student->answer[i] < 0 || labels->answer[i] < 0) continue;
        ++n;
        alone += student->answer[i] == label && labels->answer[i] != label;
        other += student->answer[i] != label && labels->answer[i] == label;
    }
    double spread = alone + other - (alone - other) * (alone - other) / n;
    if (n > 0) *margin = 100 * 1.96 * sqrt(fmax(0, spread)) / n;
    return student->score - labels->score;
}

void report_put_no_labels(const report_run *run, FILE *out)
{
    fputs("<p>There is no run of the same network from labels (<code>", out);
    html_print(out, "%s" MODEL_FROM_LABELS "_final.weights", run->prefix);
    fputs("</code>), so nobody knows whether distilling bought anything. This makes it:</p><pre>", out);
    html_text(out, run->labels_command);
    fputs("</pre>", out);
}

/* ---- in large figures ---- */

static void put_gain(const report *report, const report_run *run, FILE *out)
{
    double margin, gain = gain_of(report, run, &margin);
    html_signed(out, gain, 2);
    if (!isnan(margin)) fprintf(out, "\xc2\xa0\xc2\xb1\xc2\xa0%.2f", margin);
}

/* What the gain says, in words. */
static const char *verdict(double gain, double margin)
{
    if (!isnan(margin) && fabs(gain) <= margin) return "other images might say otherwise";
    return gain > 0 ? "better, in these runs" : "no better, in these runs";
}

static void put_tile(FILE *out, const char *what, double value, const char *unit)
{
    fputs("<div class=\"tile\"><b>", out);
    html_number(out, value, 2);
    fprintf(out, "%s</b><span>%s</span></div>", isnan(value) ? "" : unit, what);
}

static void put_gain_tile(const report *report, const report_run *run, FILE *out)
{
    double margin, gain = gain_of(report, run, &margin);
    fputs("<div class=\"tile accent\"><b>", out);
    if (isnan(gain)) {
        fputs("not known</b><span>gain over labels</span></div>", out);
        return;
    }
    put_gain(report, run, out);
    fprintf(out, "</b><span>points over labels: %s</span></div>", verdict(gain, margin));
}

/* A run's numbers, large. */
static void put_tiles(const report *report, const report_run *run, FILE *out)
{
    char what[64];
    lower_savings saves = lower_saves(run->low);
    fputs("<div class=\"tiles\">", out);
    snprintf(what, sizeof what, "%s, %s", report_score_name(report),
             report_is_distilled(run) ? "distilled" : "from labels");
    put_tile(out, what, run->student.score, "\xc2\xa0%");
    if (report_is_distilled(run)) {
        put_gain_tile(report, run, out);
        snprintf(what, sizeof what, "%s, teacher", report_score_name(report));
        put_tile(out, what, run->teacher[run->last].net.score, "\xc2\xa0%");
        put_tile(out, "of the teacher\xe2\x80\x99s parameters gone", 100 * saves.pruning, "\xc2\xa0%");
    }
    fputs("</div>", out);
}

void report_put_sum(const report *report, FILE *out)
{
    for (int i = 0; i < report->runs; ++i) {
        const report_run *run = &report->run[i];
        fputs("<section class=\"sum\">", out);
        if (report->runs > 1) report_put_title(report, i, out);
        put_tiles(report, run, out);
        if (run->labels_command) report_put_no_labels(run, out);
        fputs("</section>", out);
    }
}

/* ---- the table ---- */

static void put_cell(FILE *out, double value, int digits)
{
    fputs("<td>", out);
    html_number(out, value, digits);
    fputs("</td>", out);
}

static void put_size_cell(FILE *out, double value)
{
    fputs("<td>", out);
    if (isnan(value)) html_number(out, value, 0);
    else html_size(out, value);
    fputs("</td>", out);
}

/* What all rows have. */
static void put_numbers(FILE *out, const report_network *network)
{
    put_cell(out, network->score, 2);
    put_cell(out, network->finer, 2);
    put_size_cell(out, network->params);
    put_size_cell(out, network->macs);
    put_cell(out, network->seconds * 1e3, 3);
}

static void put_name(FILE *out, const char *kind, const char *name)
{
    fprintf(out, "<th scope=\"row\">%s<span class=\"note\">", kind);
    html_short(out, name, 48);
    fputs("</span></th>", out);
}

/* Is it in a row of an earlier run, or of this one? */
static int is_told(const report *report, const report_run *run, int teacher)
{
    const report_teacher *this = &run->teacher[teacher];
    for (const report_run *before = report->run; before <= run; ++before)
        for (int k = 0; k < (before == run ? teacher : before->teachers); ++k)
            if (!strcmp(before->teacher[k].cfg, this->cfg) && !strcmp(before->teacher[k].weights, this->weights))
                return 1;
    return 0;
}

/* A row for each teacher of all runs. */
static void put_teachers(const report *report, FILE *out)
{
    for (int i = 0; i < report->runs; ++i)
        for (int k = 0; k < report->run[i].teachers; ++k) {
            const report_teacher *teacher = &report->run[i].teacher[k];
            if (is_told(report, &report->run[i], k)) continue;
            fputs("<tr>", out);
            put_name(out, "teacher", teacher->name);
            put_numbers(out, &teacher->net);
            fputs("<td>\xe2\x80\x93</td><td>\xe2\x80\x93</td><td>\xe2\x80\x93</td></tr>", out);
        }
}

static void put_labels_row(const report_run *run, FILE *out)
{
    fputs("<tr>", out);
    put_name(out, "same network, from labels", run->name);
    if (run->labels.measured) put_numbers(out, &run->labels);
    else fputs("<td colspan=\"5\" class=\"missing\">not trained: no gain can be claimed</td>", out);
    fputs("<td>\xe2\x80\x93</td><td>\xe2\x80\x93</td><td>\xe2\x80\x93</td></tr>", out);
}

/* The student, with what it gains and saves. */
static void put_student_row(const report *report, const report_run *run, FILE *out)
{
    lower_savings saves = lower_saves(run->low);
    int distilled = report_is_distilled(run);
    fputs("<tr class=\"strong\">", out);
    put_name(out, distilled ? "distilled" : "from labels", run->name);
    put_numbers(out, &run->student);
    fputs("<td>", out);
    if (distilled && run->labels.measured) put_gain(report, run, out);
    else fputs(distilled ? "not known" : "\xe2\x80\x93", out);
    fputs("</td>", out);
    put_cell(out, distilled ? 100 * saves.pruning : NAN, 1);
    put_cell(out, distilled ? 100 * saves.share : NAN, 1);
    fputs("</tr>", out);
}

/* This machine's processor, out of what says who computes. */
static void put_processor(FILE *out)
{
    static const char KEY[] = "processor=";
    char *who = cpu_identity(), *name = strstr(who, KEY);
    if (name) {
        name += strlen(KEY);
        name[strcspn(name, "\n")] = 0;
    }
    html_short(out, name ? name : "a CPU", 80);
    free(who);
}

/* What was measured, and where. */
static void put_notes(const report *report, FILE *out)
{
    fputs("<p class=\"note\">Measured by this command on ", out);
    html_count(out, (double)dataset_count(report->set));
    fputs(" validation images of <code>", out);
    html_text(out, report->options.data);
    fputs("</code>. ", out);
    if (!report->detector)
        fputs("\xc2\xb1: where the gain lies for 95 of 100 sets of other such images (paired); other seeds differ, "
              "too. ", out);
    if (report->options.seconds > 0) {
        fprintf(out, "ms: the median of one image, %d thread%s of ", parallel_threads(),
                parallel_threads() > 1 ? "s" : "");
        put_processor(out);
        fputs(". ", out);
    }
    fputs("Pruned: parameters that the teachers have and the deployed student has not. Projector: its share of the "
          "student\xe2\x80\x99s parameters.</p>", out);
}

/* Teachers first, then run after run, the yardstick above what is held against it. */
void report_put_table(const report *report, FILE *out)
{
    fputs("<section id=\"numbers\"><h2>Numbers</h2><div class=\"card\"><div class=\"scroll\" tabindex=\"0\"><table>"
          "<thead><tr><th scope=\"col\">network</th>", out);
    fprintf(out, "<th scope=\"col\">%s\xc2\xa0%%</th><th scope=\"col\">%s\xc2\xa0%%</th>", report_score_name(report),
            report_finer_name(report));
    fputs("<th scope=\"col\">parameters</th><th scope=\"col\">multiply-adds</th><th scope=\"col\">ms</th>"
          "<th scope=\"col\">gain over labels</th><th scope=\"col\">pruned\xc2\xa0%</th>"
          "<th scope=\"col\">projector\xc2\xa0%</th>"
          "</tr></thead><tbody>", out);
    put_teachers(report, out);
    for (int i = 0; i < report->runs; ++i) {
        const report_run *run = &report->run[i];
        if (report_is_distilled(run)) put_labels_row(run, out);
        put_student_row(report, run, out);
    }
    fputs("</tbody></table></div>", out);
    put_notes(report, out);
    fputs("</div></section>", out);
}
