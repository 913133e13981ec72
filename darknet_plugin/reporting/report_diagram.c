/* The network as a diagram, an SVG: what is trained on the left, the teacher on the right, in rows from the image down
 * to the answer; where they are compared, a line between them; what is the teacher's own and frozen, a line from it. */
#include "report_internal.h"

#include "darknet_plugin/base/mem.h"

#include <stdarg.h>
#include <stdlib.h>

enum { WIDTH = 360, BOX = 158, RIGHT = WIDTH - BOX - 4, LEFT = 4, LINE = 17, TOP = 27, GAP = 30, LINES = 6, WORDS = 64,
       LETTERS = 25, MAPS = 3 };

/* A box: a title and lines below it. */
typedef struct block {
    const char *kind;            /* its class in the page's style */
    char line[LINES][WORDS];     /* the first is the title */
    int lines;
} block;

typedef struct drawing {
    FILE *out;
    int y, before;               /* the next row's top; the end of the last row, 0: there was none */
} drawing;

static void say(block *block, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(block *block, const char *fmt, ...)
{
    va_list ap;
    if (block->lines == LINES) return;
    va_start(ap, fmt);
    vsnprintf(block->line[block->lines++], WORDS, fmt, ap);
    va_end(ap);
}

/* "1.23 M parameters", "3 layers". */
static void say_size(block *block, int layers, double params)
{
    char *text;
    size_t len;
    FILE *out = mem_stream(&text, &len);
    html_size(out, params);
    mem_stream_end(out);
    say(block, "%d layer%s", layers, layers == 1 ? "" : "s");
    say(block, "%s parameters", text);
    free(text);
}

static void say_map(block *block, const layer_shape *shape)
{
    if (shape->c && shape->h * shape->w > 1) say(block, "%d \xc3\x97 %d \xc3\x97 %d", shape->c, shape->h, shape->w);
    else say(block, "%d numbers", shape->outputs);
}

static int height_of(const block *block) { return block->lines ? TOP + LINE * (block->lines - 1) + 9 : 0; }

/* Its lines stand in the middle of its height. */
static void put_box(FILE *out, const block *block, int x, int y, int width, int height)
{
    if (!block->lines) return;
    fprintf(out, "<g class=\"%s\"><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"9\"/>", block->kind, x, y,
            width, height);
    y += (height - height_of(block)) / 2 + TOP - 7;
    for (int i = 0; i < block->lines; ++i) {
        const char *title = i ? "" : " class=\"title\"";
        fprintf(out, "<text x=\"%d\" y=\"%d\"%s>", x + width / 2, y + i * LINE, title);
        html_short(out, block->line[i], width > BOX ? 2 * LETTERS : LETTERS);
        fputs("</text>", out);
    }
    fputs("</g>", out);
}

static void put_arrow(FILE *out, int x, int from, int to)
{
    fprintf(out, "<path class=\"arrow\" d=\"M%d %dV%dm-4 -5l4 5l4 -5\"/>", x, from, to);
}

/* A row: what stands left and right, under what stood above. */
static void put_boxes(drawing *drawing, const block *left, const block *right)
{
    int a = height_of(left), b = height_of(right), height = a > b ? a : b;
    if (!height) return;
    if (drawing->before && left->lines) put_arrow(drawing->out, LEFT + BOX / 2, drawing->before, drawing->y - 2);
    if (drawing->before && right->lines) put_arrow(drawing->out, RIGHT + BOX / 2, drawing->before, drawing->y - 2);
    put_box(drawing->out, left, LEFT, drawing->y, BOX, height);
    put_box(drawing->out, right, RIGHT, drawing->y, BOX, height);
    drawing->before = drawing->y + height;
    drawing->y = drawing->before + GAP;
}

/* A line across the last row's middle; `back`: from right to left, else both ways. */
static void put_link(const drawing *drawing, int top, const char *kind, int back)
{
    int y = (top + drawing->before) / 2, from = LEFT + BOX + 3, to = RIGHT - 3;
    fprintf(drawing->out, "<path class=\"%s\" d=\"M%d %dH%d", kind, from, y, to);
    if (!back) fprintf(drawing->out, "m-5 -4l5 4l-5 4");
    fprintf(drawing->out, "M%d %dm5 -4l-5 4l5 4\"/>", from, y);
}

/* ---- what is in the boxes ---- */

/* Layers of the student in that role, and their parameters. */
static int count_role(const lowered *low, layer_role role, double *params)
{
    int n = 0;
    *params = 0;
    for (int i = 0; i < low->shape->n; ++i) {
        if (low->role[i] != role) continue;
        *params += (double)low->shape->layer[i].params;
        ++n;
    }
    return n;
}

static int count_teacher(const teacher_spec *spec, int from, int to, double *params)
{
    *params = 0;
    for (int i = from; i < to; ++i) *params += (double)spec->shape->layer[i].params;
    return to - from;
}

static block encoder_box(const report_run *run)
{
    double params;
    int n = count_role(run->low, ROLE_STUDENT, &params);
    block block = { .kind = "trained" };
    const char *student = run->low->heads ? "student\xe2\x80\x99s encoder" : "student";
    say(&block, "%s", report_is_distilled(run) ? student : "network");
    say_size(&block, n, params);
    return block;
}

/* The projectors of all heads and the maps that they make. */
static block projector_box(const report_run *run)
{
    double params, pooling;
    const lowered *low = run->low;
    int n = count_role(low, ROLE_PROJECTOR, &params);
    block block = { .kind = "trained projector" };
    if (!low->heads) return block;
    say(&block, n ? "projector" : "student\xe2\x80\x99s map");
    if (n) say_size(&block, n + count_role(low, ROLE_POOL, &pooling), params);
    for (int i = 0; i < low->heads && i < MAPS; ++i) {
        const lower_head *head = &low->head[i];
        int last = head->pool >= 0 ? head->pool : head->feeds;
        if (head->projectors) last = head->projector + head->projectors - 1;
        if (last >= 0) say_map(&block, &low->shape->layer[last]);
    }
    return block;
}

/* The layer behind which its classifier begins: the tap that is deepest. */
static int cut_of(const teacher_spec *spec)
{
    int cut = 0;
    for (int i = 0; i < spec->taps; ++i)
        if (spec->tap[i] >= cut) cut = spec->tap[i] + 1;
    return cut ? cut : spec->shape->n;
}

static block teacher_box(const report_run *run)
{
    double params;
    const teacher_spec *spec = &run->low->teacher[run->last];
    int n = count_teacher(spec, 0, cut_of(spec), &params);
    block block = { .kind = "teacher" };
    say(&block, "teacher");
    say(&block, "%s", run->teacher[run->last].name);
    say_size(&block, n, params);
    return block;
}

/* The teacher's maps that the heads learn. */
static block tap_box(const report_run *run)
{
    const lowered *low = run->low;
    const teacher_spec *spec = &low->teacher[run->last];
    block block = { .kind = "teacher" };
    int n = 0;
    for (int i = 0; i < low->heads; ++i) n += low->head[i].teacher == run->last;
    if (!n) return block;
    say(&block, n > 1 ? "taps" : "tap");
    for (int i = 0; i < low->heads && i < MAPS; ++i) {
        const lower_head *head = &low->head[i];
        if (head->teacher != run->last) continue;
        say(&block, "layer %d", head->tap);
        if (n == 1 || i < 2) say_map(&block, &spec->shape->layer[head->tap]);
    }
    return block;
}

static block frozen_box(const report_run *run)
{
    double params;
    int n = count_role(run->low, ROLE_TAIL, &params);
    block block = { .kind = "frozen" };
    if (!n) return block;
    say(&block, "classifier, frozen");
    say_size(&block, n, params);
    return block;
}

static block classifier_box(const report_run *run)
{
    double params;
    const teacher_spec *spec = &run->low->teacher[run->last];
    int n = count_teacher(spec, cut_of(spec), spec->shape->n, &params);
    block block = { .kind = "teacher" };
    if (!n) return block;
    say(&block, "its classifier");
    say_size(&block, n, params);
    return block;
}

static block answer_box(const report *report, const char *kind)
{
    block block = { .kind = kind };
    say(&block, report->detector ? "boxes of %d classes" : "%d classes", report->file->classes);
    return block;
}

static void put_image_box(drawing *drawing, const net_shape *shape)
{
    block block = { .kind = "image" };
    say(&block, "image, %d \xc3\x97 %d \xc3\x97 %d", shape->c, shape->h, shape->w);
    put_box(drawing->out, &block, LEFT, drawing->y, WIDTH - 2 * LEFT, height_of(&block));
    drawing->before = drawing->y + height_of(&block);
    drawing->y = drawing->before + GAP;
}

/* Row by row; a plain network has a left side alone. */
static void put_rows(drawing *drawing, const report *report, const report_run *run)
{
    int teacher = report_is_distilled(run), top;
    const block none = { 0 }, encoder = encoder_box(run), projector = projector_box(run), frozen = frozen_box(run);
    const block answer = answer_box(report, "answer");
    put_image_box(drawing, run->low->shape);
    const block right[] = { teacher ? teacher_box(run) : none, teacher ? tap_box(run) : none,
                          teacher ? classifier_box(run) : none };
    put_boxes(drawing, &encoder, &right[0]);
    top = drawing->y;
    put_boxes(drawing, &projector, &right[1]);
    if (projector.lines && right[1].lines) put_link(drawing, top, "compared", 0);
    top = drawing->y;
    put_boxes(drawing, &frozen, &right[2]);
    if (frozen.lines && right[2].lines) put_link(drawing, top, "copied", 1);
    top = drawing->y;
    put_boxes(drawing, &answer, teacher ? &answer : &none);
    if (teacher && !frozen.lines) put_link(drawing, top, "compared", 0);
}

static void put_legend(const report_run *run, FILE *out)
{
    if (!report_is_distilled(run)) return;
    fputs("<ul class=\"legend\"><li><i class=\"swatch trained\"></i>trained</li>"
          "<li><i class=\"swatch frozen\"></i>the teacher\xe2\x80\x99s, copied and frozen</li>"
          "<li><i class=\"swatch\"></i>the teacher, not deployed</li></ul>", out);
}

char *report_diagram(const report *report, const report_run *run)
{
    char *html, *svg;
    size_t len;
    drawing drawing = { .out = mem_stream(&svg, &len), .y = 4 };
    put_rows(&drawing, report, run);
    mem_stream_end(drawing.out);
    FILE *out = mem_stream(&html, &len);
    fprintf(out, "<figure class=\"card diagram\"><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"the network, "
            "from image to answer\">", WIDTH, drawing.before + 4);
    fputs(svg, out);
    fputs("</svg><figcaption>", out);
    put_legend(run, out);
    fputs("</figcaption></figure>", out);
    mem_stream_end(out);
    free(svg);
    return html;
}
