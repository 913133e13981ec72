/* Images of which student and teacher say different things: how many, who is right, and those about which both are
 * surest. */
#include "report_internal.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>

enum { SHOWN = 12, SIDE = 160 };

typedef struct disagreement {
    size_t image;
    double sure;                 /* of both, the product of their probabilities */
} disagreement;

/* Of all disagreements: how many of which kind, and the surest. */
typedef struct disagreements {
    size_t n, asked, student_right, teacher_right, labelled;
    disagreement most[SHOWN];
    int kept;
} disagreements;

int report_image(const report *report, size_t image, int most, FILE *out, int *w, int *h, diag *d)
{
    char why[256], name[512];
    uint8_t *pixels;
    int channels = dataset_channels(report->set) == 1 ? 1 : 3;
    if (dataset_read(report->set, image, channels, &pixels, w, h, why, sizeof why)) {
        diag_error(d, dataset_name(report->set, image, name, sizeof name), 0, NULL, "cannot read this image: %s", why);
        return -1;
    }
    int failed = html_picture(out, pixels, *w, *h, channels, most, 0, d);
    free(pixels);
    return failed;
}

/* The surest first. */
static void keep(disagreements *all, size_t image, double sure)
{
    int at = all->kept;
    while (at > 0 && all->most[at - 1].sure < sure) --at;
    if (at >= SHOWN) return;
    if (all->kept < SHOWN) ++all->kept;
    for (int i = all->kept - 1; i > at; --i) all->most[i] = all->most[i - 1];
    all->most[at] = (disagreement){ image, sure };
}

/* All images once. */
static disagreements find(const report *report, const report_network *student, const report_network *teacher)
{
    disagreements all = { 0 };
    for (size_t i = 0; i < dataset_count(report->set); ++i) {
        int s = student->answer[i], t = teacher->answer[i], label = dataset_label(report->set, i);
        all.asked += s >= 0 && t >= 0;
        if (s < 0 || t < 0 || s == t) continue;
        ++all.n;
        all.labelled += label >= 0;
        all.student_right += s == label;
        all.teacher_right += t == label;
        keep(&all, i, (double)student->sure[i] * (double)teacher->sure[i]);
    }
    return all;
}

static void put_answer(const report *report, const char *who, int answer, double sure, int label, FILE *out)
{
    char number[16];
    const char *mark = answer == label ? "<span class=\"yes\">\xe2\x9c\x93</span>" : "";
    fprintf(out, "<dt>%s</dt><dd>", who);
    html_text(out, data_file_class(report->file, answer, number, sizeof number));
    fputs(" <span class=\"sure\">", out);
    if (sure >= 0 && sure <= 1) fprintf(out, "<span class=\"note\">%.0f\xc2\xa0%%</span>", 100 * sure);
    fprintf(out, "%s</span></dd>", label >= 0 ? mark : "");
}

/* A thumbnail with both answers and the truth. */
static int put_one(const report *report, const report_run *run, size_t image, FILE *out, diag *d)
{
    const report_network *student = &run->student, *teacher = &run->teacher[run->last].net;
    int w, h, label = dataset_label(report->set, image);
    char number[16], name[512];
    fputs("<figure class=\"card\"><img class=\"thumb\" src=\"", out);
    if (report_image(report, image, SIDE, out, &w, &h, d)) return -1;
    fputs("\" alt=\"", out);
    html_text(out, dataset_name(report->set, image, name, sizeof name));
    fputs("\"><figcaption><dl>", out);
    put_answer(report, "teacher", teacher->answer[image], (double)teacher->sure[image], label, out);
    put_answer(report, "student", student->answer[image], (double)student->sure[image], label, out);
    fputs("<dt>truth</dt><dd>", out);
    html_text(out, label < 0 ? "\xe2\x80\x93" : data_file_class(report->file, label, number, sizeof number));
    fputs("</dd></dl></figcaption></figure>", out);
    return 0;
}

/* How many, and who is right about them. */
static void put_counts(const disagreements *all, FILE *out)
{
    fputs("<p>Student and teacher name different classes for ", out);
    html_count(out, (double)all->n);
    fputs(" of ", out);
    html_count(out, (double)all->asked);
    fprintf(out, " images (%.2f\xc2\xa0%%)", all->asked ? 100. * (double)all->n / (double)all->asked : 0);
    if (all->labelled) {
        fputs(": the teacher is right about ", out);
        html_count(out, (double)all->teacher_right);
        fputs(" of them, the student about ", out);
        html_count(out, (double)all->student_right);
        fputs(", neither about ", out);
        html_count(out, (double)(all->labelled - all->teacher_right - all->student_right));
    }
    fputs(all->n ? ". Those about which both are surest:</p>" : ".</p>", out);
}

int report_disagree(const report *report, const report_run *run, char **html, diag *d)
{
    size_t len;
    disagreements all = find(report, &run->student, &run->teacher[run->last].net);
    FILE *out = mem_stream(html, &len);
    int failed = 0;
    put_counts(&all, out);
    fputs("<div class=\"cards small\">", out);
    for (int i = 0; i < all.kept && !failed; ++i) failed = put_one(report, run, all.most[i].image, out, d);
    fputs("</div>", out);
    mem_stream_end(out);
    return failed;
}
