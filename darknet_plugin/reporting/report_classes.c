/* Classes that the student gained and lost, against the same network from labels and against its teacher: those where
 * it differs most, each way. */
#include "report_internal.h"

#include "darknet_plugin/base/mem.h"

#include <math.h>
#include <stdlib.h>

enum { SHOWN = 5 };

typedef struct change {
    int label;
    double from, to;
} change;

static double by(const change *change) { return change->to - change->from; }

/* Most gained first; of equals the one that comes first. */
static int by_gain(const void *one, const void *other)
{
    double a = by(one), b = by(other);
    int first = ((const change *)one)->label, second = ((const change *)other)->label;
    return a == b ? (first > second) - (first < second) : (a < b) - (a > b);
}

/* All classes that both have a number of, most gained first; how many. The caller frees *changes. */
static int changes_of(const report *report, const report_network *from, const report_network *to, change **changes)
{
    int n = 0;
    *changes = mem_calloc((size_t)report->file->classes, sizeof **changes);
    for (int i = 0; i < report->file->classes; ++i)
        if (!isnan(from->of_class[i]) && !isnan(to->of_class[i]))
            (*changes)[n++] = (change){ i, from->of_class[i], to->of_class[i] };
    qsort(*changes, (size_t)n, sizeof **changes, by_gain);
    return n;
}

/* A line: name, both numbers, a bar that is `most` at full length. */
static void put_change(const report *report, const change *change, double most, FILE *out)
{
    char number[16];
    double width = most > 0 ? 100 * fabs(by(change)) / most : 0;
    fputs("<tr><th scope=\"row\">", out);
    html_short(out, data_file_class(report->file, change->label, number, sizeof number), 40);
    fputs("</th>", out);
    fprintf(out, "<td class=\"note\">%.1f\xc2\xa0\xe2\x86\x92\xc2\xa0%.1f</td><td>", change->from, change->to);
    html_signed(out, by(change), 1);
    fprintf(out, "</td><td class=\"bar\"><span class=\"%s\" style=\"width:%.1f%%\"></span></td></tr>",
            by(change) < 0 ? "minus" : "plus", width);
}

/* Those that changed that way, SHOWN at most. */
static void put_side(const report *report, const change *changes, int n, int lost, FILE *out)
{
    double most = n ? fmax(fabs(by(&changes[0])), fabs(by(&changes[n - 1]))) : 0;
    int shown = 0;
    fprintf(out, "<div><h4>%s</h4><table class=\"classes\"><tbody>", lost ? "lost" : "gained");
    for (int i = 0; i < n && shown < SHOWN; ++i) {
        const change *change = &changes[lost ? n - 1 - i : i];
        if (lost ? !(by(change) < 0) : !(by(change) > 0)) break;
        put_change(report, change, most, out);
        ++shown;
    }
    fprintf(out, "</tbody></table>%s</div>", shown ? "" : "<p class=\"note\">none</p>");
}

/* A card: the classes whose numbers changed most from one network to the other. */
static void put_against(const report *report, const char *whom, const report_network *from, const report_network *to,
                        FILE *out)
{
    change *changes;
    int n = changes_of(report, from, to, &changes), up = 0, down = 0;
    for (int i = 0; i < n; ++i) {
        up += by(&changes[i]) > 0;
        down += by(&changes[i]) < 0;
    }
    fprintf(out, "<div class=\"card\"><h3>against %s</h3><p class=\"note\">%s by class, in per cent: %d of %d gained, "
            "%d lost</p><div class=\"sides\">", whom, report_class_measure(report), up, n, down);
    put_side(report, changes, n, 0, out);
    put_side(report, changes, n, 1, out);
    fputs("</div></div>", out);
    free(changes);
}

/* Both yardsticks side by side; where one is missing, how to make it. */
void report_put_classes(const report *report, const report_run *run, FILE *out)
{
    const report_network *student = &run->student, *teacher = &run->teacher[run->last].net;
    fputs("<h3 class=\"part\">Classes gained and lost</h3><div class=\"cards two\">", out);
    if (run->labels.of_class) put_against(report, "the same network from labels", &run->labels, student, out);
    else {
        fputs("<div class=\"card\"><h3>against the same network from labels</h3>", out);
        report_put_no_labels(run, out);
        fputs("</div>", out);
    }
    if (teacher->of_class) put_against(report, "the teacher", teacher, student, out);
    fputs("</div>", out);
}
