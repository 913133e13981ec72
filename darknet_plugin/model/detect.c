/* From raw head outputs to boxes (see detect.h).
 *
 * A head's layer keeps, for each anchor, 4 numbers of a box t (coords, where a [region] has more), the objectness o and
 * one number a class p, each a map of its h x w cells; its own forward has put x, y, o and p through the logistic (or,
 * in a [region] with softmax=1, the classes through a softmax). With s = scale_x_y and the cell's column and row c, r:
 *   x = (s tx - (s - 1)/2 + c) / w        width  = exp(tw) anchor_w        probability of a class = o p
 *   y = (s ty - (s - 1)/2 + r) / h        height = exp(th) anchor_h
 * With new_coords all comes out of the logistic in the layer before, and
 *   width = (2 tw)^2 anchor_w              height = (2 th)^2 anchor_h
 * A [Gaussian_yolo] has an uncertainty behind each number of a box; o p is multiplied by 1 - their mean. Sizes are in
 * parts of the net's input; [yolo] gives its anchors in pixels of that input and picks them by mask, [region] in
 * cells. Sources: Redmon, Farhadi, "YOLO9000" (2017), section 2, and "YOLOv3" (2018), section 2.1; the scale from
 * Bochkovskiy et al., "YOLOv4" (2020), "eliminate grid sensitivity". As Darknet does, a letterboxed image is taken to
 * sit in the exact middle, half a pixel off where its border is odd.
 * Left out: softmax trees, [region] masks beyond the box, Darknet's average over a flipped twin where batch is 2. */
#include "detect.h"

#include "darknet_plugin/base/bug.h"
#include "darknet_plugin/base/mem.h"
#include "layers/fork_heads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float GREEDY_BETA = .6f;   /* AlexeyAB's, and his default of beta_nms= */

/* Where things are in a head's output, and what its anchors measure. */
typedef struct head_plan {
    int coords, objectness;   /* entries of an anchor: its box's numbers, then (-1: always 1) objectness */
    int step;                 /* entries from one number of the box to the next; 2: an uncertainty behind each */
    int squared;              /* width and height are (2 t)^2 of the anchor's, else exp(t) */
    double unit_w, unit_h;    /* an anchor's size in parts of the net's input is its value times this */
    const int *mask;          /* anchors used; NULL = all in order. Borrowed */
} head_plan;

typedef struct head_row {
    LAYER_TYPE type;
    head_plan (*plan)(const layer *l, const network *net);
} head_row;

static head_plan yolo_plan(const layer *l, const network *net)
{
    int step = l->coords == HEAD_GAUSSIAN ? 2 : 1;
    return (head_plan){ .coords = 4 * step, .objectness = 4 * step, .step = step, .mask = l->mask,
                        .squared = l->coords == HEAD_NEW_COORDS, .unit_w = 1. / net->w, .unit_h = 1. / net->h };
}

static head_plan region_plan(const layer *l, const network *net)
{
    (void)net;
    return (head_plan){ .coords = l->coords, .objectness = l->background ? -1 : l->coords, .step = 1,
                        .unit_w = 1. / l->w, .unit_h = 1. / l->h };
}

static const head_row rows[] = { { YOLO, yolo_plan }, { REGION, region_plan } };

static const head_row *row_of(const layer *l)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if (rows[i].type == l->type) return &rows[i];
    return NULL;
}

/* Heads of one network have one number of classes; 0, or -1 with a message. */
static int check_head(const detect_heads *heads, const layer *l, int classes, const cfg_section *section, diag *d)
{
    const char *why = NULL;
    if (l->softmax_tree) why = "tree= (a hierarchy of classes) is not supported";
    else if (l->type == REGION && l->coords < 4) why = "a box needs coords=4";
    if (why) diag_error(d, section->file, section->line, section->name, "%s", why);
    else if (heads->n && classes != heads->classes)
        diag_error(d, section->file, cfg_line(section, "classes"), section->name,
                   "has %d classes, the head before it %d", classes, heads->classes);
    else return 0;
    return -1;
}

static float scale_of(const cfg_section *section, diag *d)
{
    float scale = (float)cfg_float(section, "scale_x_y", 1);
    if (scale != 1)
        diag_warn(d, section->file, cfg_line(section, "scale_x_y"), section->name,
                  "scale_x_y=%g is taken into account here; stock Darknet ignores it, "
                  "its boxes lie up to %.3g cells elsewhere", (double)scale, fabs((double)scale - 1) / 2);
    return scale;
}

/* As the last head has it. */
static void read_nms(const cfg_section *section, detect_heads *heads)
{
    const char *kind = cfg_str(section, "nms_kind", "default");
    heads->nms = strcmp(kind, "greedynms") && strcmp(kind, "diounms") ? NMS_IOU : NMS_DIOU;
    heads->beta = strcmp(kind, "diounms") ? GREEDY_BETA : (float)cfg_float(section, "beta_nms", (double)GREEDY_BETA);
}

int detect_heads_of(const network *net, const cfg_file *cfg, detect_heads *heads, diag *d)
{
    *heads = (detect_heads){ .net = net, .head = mem_calloc((size_t)net->n + 1, sizeof *heads->head) };
    for (int i = 0; i < net->n; ++i) {
        const layer *l = &net->layers[i];
        if (!row_of(l)) continue;
        const cfg_section *s = cfg_layer(cfg, i);
        BUG_UNLESS(s && cfg_is_boxes(s), "the cfg is not the network's");
        int classes = cfg_is(s, "Gaussian_yolo") ? cfg_int(s, "classes", l->classes) : l->classes;
        if (check_head(heads, l, classes, s, d)) return -1;
        heads->classes = classes;
        heads->head[heads->n++] = (detect_head){ .l = l, .scale_x_y = scale_of(s, d), .classes = classes };
        read_nms(s, heads);
    }
    if (heads->n) return 0;
    diag_error(d, cfg->path, 0, NULL, "has no [yolo] and no [region]: not a detector");
    return -1;
}

void detect_heads_free(detect_heads *heads)
{
    free(heads->head);
    *heads = (detect_heads){ 0 };
}

void detect_list_add(detect_list *list, const detect_box *box)
{
    if (list->n == list->room) {
        list->room = list->room ? 2 * list->room : 64;
        list->box = mem_realloc(list->box, list->room, sizeof *list->box);
    }
    list->box[list->n++] = *box;
}

void detect_list_free(detect_list *list)
{
    free(list->box);
    *list = (detect_list){ 0 };
}

/* From one end to the other of the two together, which are their widths' or heights' centres and sizes. */
static float span(float a, float a_size, float b, float b_size)
{
    float left = fminf(a - a_size / 2, b - b_size / 2), right = fmaxf(a + a_size / 2, b + b_size / 2);
    return right - left;
}

static float overlap(float a, float a_size, float b, float b_size)
{
    float left = fmaxf(a - a_size / 2, b - b_size / 2), right = fminf(a + a_size / 2, b + b_size / 2);
    return right - left;
}

float detect_iou(const detect_box *box, const detect_box *place)
{
    float w = overlap(box->x, box->w, place->x, place->w), h = overlap(box->y, box->h, place->y, place->h);
    if (!(w > 0 && h > 0)) return 0;
    float both = w * h;
    return both / (box->w * box->h + place->w * place->h - both);
}

float detect_diou(const detect_box *box, const detect_box *place, float beta)
{
    float w = span(box->x, box->w, place->x, place->w), h = span(box->y, box->h, place->y, place->h);
    float across = w * w + h * h, x = box->x - place->x, y = box->y - place->y, iou = detect_iou(box, place);
    return across > 0 ? iou - powf((x * x + y * y) / across, beta) : iou;
}

/* What carries a box from the net's input to the image: v' = (v - shift) * scale. */
typedef struct frame {
    double shift_x, shift_y, scale_x, scale_y;
} frame;

static frame frame_of(const network *net, int w, int h, int letterbox)
{
    if (!letterbox) return (frame){ 0, 0, 1, 1 };
    int fit_w = net->w, fit_h = net->h;
    if ((float)net->w / (float)w < (float)net->h / (float)h) fit_h = (int)((int64_t)h * net->w / w);
    else fit_w = (int)((int64_t)w * net->h / h);
    fit_w = fit_w < 1 ? 1 : fit_w;
    fit_h = fit_h < 1 ? 1 : fit_h;
    return (frame){ (net->w - fit_w) / 2. / net->w, (net->h - fit_h) / 2. / net->h, (double)net->w / fit_w,
                    (double)net->h / fit_h };
}

/* One anchor in one cell of one image. */
typedef struct place {
    const detect_head *head;
    head_plan plan;
    const float *at;          /* entry 0 of this anchor at this cell; entries are `stride` floats apart */
    size_t stride;
    int anchor, cell;
} place;

/* A width or height in anchors. */
static double side_of(const place *p, float t)
{
    return p->plan.squared ? 4 * (double)t * (double)t : exp((double)t);
}

/* The box of one anchor at one cell, in the image's own measure. */
static detect_box decode(const place *p, const frame *f)
{
    const layer *l = p->head->l;
    const float *t = p->at;
    size_t next = (size_t)p->plan.step * p->stride;
    const float *anchor = l->biases + 2 * (size_t)(p->plan.mask ? p->plan.mask[p->anchor] : p->anchor);
    double s = (double)p->head->scale_x_y, back = (s - 1) / 2;
    double x = (p->cell % l->w + (double)t[0] * s - back) / l->w,
        y = (p->cell / l->w + (double)t[next] * s - back) / l->h;
    double w = side_of(p, t[2 * next]) * (double)anchor[0] * p->plan.unit_w;
    double h = side_of(p, t[3 * next]) * (double)anchor[1] * p->plan.unit_h;
    return (detect_box){ .x = (float)((x - f->shift_x) * f->scale_x), .y = (float)((y - f->shift_y) * f->scale_y),
                         .w = (float)(w * f->scale_x), .h = (float)(h * f->scale_y) };
}

static int finite_box(const detect_box *box)
{
    return isfinite(box->x) && isfinite(box->y) && isfinite(box->w) && isfinite(box->h);
}

/* 1, or less by the mean of a box's uncertainties. */
static float certainty(const place *p)
{
    float sum = 0;
    for (int i = 1; i < p->plan.coords && p->plan.step == 2; i += 2) sum += p->at[(size_t)i * p->stride];
    return 1 - sum / 4;
}

/* Every class that passes, at one place; written so that NaN does not. */
static void add_place(const place *p, const frame *f, float threshold, int image, detect_list *out)
{
    float objectness = p->plan.objectness < 0 ? 1 : p->at[(size_t)p->plan.objectness * p->stride];
    if (!(objectness > threshold)) return;
    detect_box b = decode(p, f);
    if (!finite_box(&b)) return;
    b.image = image;
    float certain = certainty(p);
    for (int k = 0; k < p->head->classes; ++k) {
        b.probability = objectness * p->at[(size_t)(p->plan.coords + 1 + k) * p->stride] * certain;
        b.label = k;
        if (b.probability > threshold) detect_list_add(out, &b);
    }
}

/* All boxes of head i for entry b of the batch. */
static void add_head(const detect_heads *heads, int i, int b, const frame *f, float threshold, int image,
                     detect_list *out)
{
    const layer *l = heads->head[i].l;
    size_t cells = (size_t)l->w * (size_t)l->h;
    place p = { .head = &heads->head[i], .plan = row_of(l)->plan(l, heads->net), .stride = cells };
    size_t entries = (size_t)(p.plan.coords + 1 + p.head->classes);
    const float *output = (heads->head[i].output ? heads->head[i].output : l->output) + (size_t)b * (size_t)l->outputs;
    for (p.cell = 0; p.cell < (int)cells; ++p.cell)
        for (p.anchor = 0; p.anchor < l->n; ++p.anchor) {
            p.at = output + (size_t)p.anchor * entries * cells + (size_t)p.cell;
            add_place(&p, f, threshold, image, out);
        }
}

/* A box and its place in the host's order, which settles ties. */
typedef struct ranked {
    detect_box box;
    size_t order;
} ranked;

static int likelier(const ranked *one, const ranked *other)
{
    return (one->box.probability < other->box.probability) - (one->box.probability > other->box.probability);
}

static int earlier(const ranked *one, const ranked *other)
{
    return (one->order > other->order) - (one->order < other->order);
}

static int by_class(const void *one, const void *other)
{
    const ranked *a = one, *b = other;
    int k = (a->box.label > b->box.label) - (a->box.label < b->box.label), p = likelier(a, b);
    if (k) return k;
    return p ? p : earlier(a, b);
}

static int by_probability(const void *one, const void *other)
{
    const ranked *a = one, *b = other;
    int k = (a->box.label > b->box.label) - (a->box.label < b->box.label), p = likelier(a, b);
    if (p) return p;
    return k ? k : earlier(a, b);
}

static float overlap_of(const detect_heads *heads, const detect_box *box, const detect_box *place)
{
    return heads->nms == NMS_DIOU ? detect_diou(box, place, heads->beta) : detect_iou(box, place);
}

/* Keeps, of sorted[0..n-1] sorted by class, what no kept box of the same class covers; returns how many. */
static size_t thin(ranked *sorted, size_t n, const detect_heads *heads, float nms, size_t most)
{
    size_t kept = 0, first = 0;   /* r[first..kept-1] are the class's kept boxes */
    for (size_t i = 0; i < n; ++i) {
        if (!i || !kept || sorted[i].box.label != sorted[kept - 1].box.label) first = kept;
        if (most && kept - first >= most) continue;
        int covered = 0;
        for (size_t j = first; j < kept && nms < 1 && !covered; ++j)
            covered = overlap_of(heads, &sorted[j].box, &sorted[i].box) > nms;
        if (!covered) sorted[kept++] = sorted[i];
    }
    return kept;
}

/* Sorts and thins the boxes that one image has added from `begin` on. */
static void finish_image(const detect_heads *heads, detect_list *out, size_t begin, const detect_options *options)
{
    size_t n = out->n - begin;
    ranked *r = mem_calloc(n + 1, sizeof *r);
    for (size_t i = 0; i < n; ++i) r[i] = (ranked){ out->box[begin + i], i };
    qsort(r, n, sizeof *r, by_class);
    n = thin(r, n, heads, options->nms, (size_t)options->most);
    qsort(r, n, sizeof *r, by_probability);
    for (size_t i = 0; i < n; ++i) out->box[begin + i] = r[i].box;
    out->n = begin + n;
    free(r);
}

void detect_image(const detect_heads *heads, int b, int image_w, int image_h, const detect_options *options, int image,
                  detect_list *out)
{
    size_t begin = out->n;
    frame f = frame_of(heads->net, image_w, image_h, options->letterbox);
    for (int i = 0; i < heads->n; ++i) add_head(heads, i, b, &f, options->threshold, image, out);
    finish_image(heads, out, begin, options);
}
