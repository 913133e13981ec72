/* Images in which a detector and its teacher find different things: boxes of one of them that the other has not, of
 * the same class and at an IoU of .5 or more. Those with most of them are shown twice, with the teacher's boxes and
 * with the student's, and what is there. */
#include "report_internal.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <math.h>
#include <stdlib.h>

enum { SHOWN = 6, SIDE = 480, NAMED = 14, DRAWN = 12 };
static const float SAME = .5f;
static const detect_options SHOW = { .threshold = .3f, .nms = .45f, .most = 50 };

typedef struct shown_image {
    size_t image;
    double weight;               /* sum of the probabilities of boxes that the other has not */
    detect_list student, teacher;    /* owned */
} shown_image;

struct report_boxes {
    detect_heads student, teacher;
    detect_options how;
    shown_image most[SHOWN];
    int kept;
    size_t asked, differ;
    int run;                     /* its number, for the pictures' names */
};

/* Heads are looked for once; what they hold changes with each batch. */
report_boxes *report_boxes_begin(const model *model, const report *report, int run, diag *d)
{
    report_boxes *boxes = mem_calloc(1, sizeof *boxes);
    int teacher = report->run[run].last;
    boxes->run = run;
    boxes->how = SHOW;
    boxes->how.letterbox = model->low->augment.fit != FIT_STRETCH;
    if (!detect_student_heads(model, teacher, &boxes->student, d) &&
        !detect_teacher_heads(model, teacher, &boxes->teacher, d))
        return boxes;
    report_boxes_end(boxes, NULL, NULL, d);
    return NULL;
}

/* The sum of the probabilities of boxes that are not in the other list. */
static double only_in(const detect_list *list, const detect_list *other)
{
    double sum = 0;
    for (size_t i = 0; i < list->n; ++i) {
        int there = 0;
        for (size_t k = 0; k < other->n && !there; ++k)
            there = list->box[i].label == other->box[k].label && detect_iou(&list->box[i], &other->box[k]) >= SAME;
        if (!there) sum += (double)list->box[i].probability;
    }
    return sum;
}

static void forget(shown_image *image)
{
    detect_list_free(&image->student);
    detect_list_free(&image->teacher);
}

/* Among those that differ most, most first, or forgotten. */
static void keep(report_boxes *boxes, shown_image *image)
{
    int at = boxes->kept;
    while (at > 0 && boxes->most[at - 1].weight < image->weight) --at;
    if (at >= SHOWN) {
        forget(image);
        return;
    }
    if (boxes->kept == SHOWN) forget(&boxes->most[SHOWN - 1]);
    else ++boxes->kept;
    for (int i = boxes->kept - 1; i > at; --i) boxes->most[i] = boxes->most[i - 1];
    boxes->most[at] = *image;
}

/* Boxes of both networks in each image of the batch. */
void report_boxes_look(report_boxes *boxes, const batch *batch)
{
    for (int i = 0; i < batch->n; ++i) {
        int w = batch->place[i].image_w, h = batch->place[i].image_h, number = (int)batch->index[i];
        shown_image image = { .image = batch->index[i] };
        detect_image(&boxes->student, i, w, h, &boxes->how, number, &image.student);
        detect_image(&boxes->teacher, i, w, h, &boxes->how, number, &image.teacher);
        image.weight = only_in(&image.student, &image.teacher) + only_in(&image.teacher, &image.student);
        ++boxes->asked;
        boxes->differ += image.weight > 0;
        if (image.weight > 0) keep(boxes, &image);
        else forget(&image);
    }
}

/* ---- drawing ---- */

/* A rectangle in pixels of the image; far outside is cut. */
static void put_rect(FILE *out, const char *kind, double x, double y, double w, double h, int width, int height)
{
    double left = fmax(0, (x - w / 2) * width), top = fmax(0, (y - h / 2) * height);
    double right = fmin(width, (x + w / 2) * width), bottom = fmin(height, (y + h / 2) * height);
    if (right <= left || bottom <= top) return;
    fprintf(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", kind, left, top,
            right - left, bottom - top);
}

/* The class and how sure, within the picture. */
static void put_name(FILE *out, const report *report, const detect_box *box, int width, int height)
{
    char number[16];
    double size = fmax(width, height) / 26., x = ((double)box->x - (double)box->w / 2) * width;
    double y = ((double)box->y - (double)box->h / 2) * height - size / 4;
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.1f\" stroke-width=\"%.1f\">",
            fmin(fmax(0, x), .8 * width), fmax(size, y), size, size / 5);
    html_short(out, data_file_class(report->file, box->label, number, sizeof number), NAMED);
    fprintf(out, " %.0f</text>", 100 * (double)box->probability);
}

/* What is there and these boxes, the likeliest ones, over the picture. */
static void put_pane(FILE *out, const report *report, const shown_image *image, const detect_list *list,
                     const char *who, int w, int h)
{
    int truths;
    const data_box *truth = dataset_boxes(report->set, image->image, &truths);
    for (int i = 0; i < truths; ++i)
        put_rect(out, "truth", (double)truth[i].x, (double)truth[i].y, (double)truth[i].w, (double)truth[i].h, w, h);
    size_t drawn = list->n < DRAWN ? list->n : DRAWN;
    for (size_t i = drawn; i-- > 0;) {
        const detect_box *box = &list->box[i];
        put_rect(out, who, (double)box->x, (double)box->y, (double)box->w, (double)box->h, w, h);
        put_name(out, report, box, w, h);
    }
    fprintf(out, "</svg><figcaption>%s", who);
    if (drawn < list->n) fprintf(out, ", %zu of %zu boxes", drawn, list->n);
    fputs("</figcaption></figure>", out);
}

static void begin_pane(FILE *out, const char *who, int w, int h)
{
    fprintf(out, "<figure><svg class=\"boxes\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"the %s's boxes\">", w, h,
            who);
}

/* Both panes of an image; the second shows the picture of the first. */
static int put_image(const report_boxes *boxes, const report *report, int i, FILE *out, diag *d)
{
    const shown_image *image = &boxes->most[i];
    char name[512], *picture;
    size_t len;
    int w = 1, h = 1;
    FILE *to = mem_stream(&picture, &len);
    int failed = report_image(report, image->image, SIDE, to, &w, &h, d);
    mem_stream_end(to);
    fputs("<div class=\"card\"><div class=\"pair\">", out);
    begin_pane(out, "teacher", w, h);
    fprintf(out, "<image id=\"picture-%d-%d\" width=\"%d\" height=\"%d\" href=\"%s\"/>", boxes->run, i, w, h,
            failed ? "" : picture);
    put_pane(out, report, image, &image->teacher, "teacher", w, h);
    begin_pane(out, "student", w, h);
    fprintf(out, "<use href=\"#picture-%d-%d\"/>", boxes->run, i);
    put_pane(out, report, image, &image->student, "student", w, h);
    fputs("</div><p class=\"note path\">", out);
    html_short(out, path_base_name(dataset_name(report->set, image->image, name, sizeof name)), 60);
    fputs("</p></div>", out);
    free(picture);
    return failed;
}

static int put_all(const report_boxes *boxes, const report *report, FILE *out, diag *d)
{
    int failed = 0;
    fprintf(out, "<p>In %zu of %zu images one of them sees something that the other does not, of the same class at an "
            "IoU of .5 (boxes above %.0f\xc2\xa0%%). Those where most is at odds; thin white frames are what is "
            "there:</p><div class=\"cards two\">", boxes->differ, boxes->asked, 100 * (double)SHOW.threshold);
    for (int i = 0; i < boxes->kept && !failed; ++i) failed = put_image(boxes, report, i, out, d);
    fputs("</div>", out);
    return failed;
}

/* Without a report what was kept is only freed. */
int report_boxes_end(report_boxes *boxes, const report *report, char **html, diag *d)
{
    int failed = 0;
    size_t len;
    if (report) {
        FILE *out = mem_stream(html, &len);
        failed = put_all(boxes, report, out, d);
        mem_stream_end(out);
    }
    for (int i = 0; i < boxes->kept; ++i) forget(&boxes->most[i]);
    detect_heads_free(&boxes->student);
    detect_heads_free(&boxes->teacher);
    free(boxes);
    return failed;
}
