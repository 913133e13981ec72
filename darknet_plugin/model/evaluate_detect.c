/* Measuring detectors (see evaluate_detect.h): images through the networks, boxes out of their heads, both against the
 * labels. Truth is taken from the label files as they are, relative to the image, and boxes are moved back to it. */
#include "evaluate_detect.h"

#include "darknet_plugin/data/loader.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>

static const double PRECISION_AT = .25;   /* Darknet's own threshold for precision and recall */
static const detect_options MEASURE = { .threshold = .001f, .nms = .45f, .most = 100 };   /* COCO counts no more of a class in an image */

/* One network's answers. */
typedef struct side {
    int on;
    detect_heads heads;
    detect_list boxes;
} side;

typedef struct measuring {
    model *m;
    detect_evaluation *e;
    const dataset *data;
    detect_options how;
    side student[MAX_TEACHERS], teacher[MAX_TEACHERS];
    map_truth *truth;        /* owned */
    size_t truths, room;
} measuring;

/* ---- heads ---- */

static int answers_for(const lowered *low, int layer, int t)
{
    for (int i = 0; i < low->heads; ++i) {
        const lower_head *h = &low->head[i];
        if (layer >= h->tail && layer < h->tail + h->tails) return h->teacher == t;
    }
    return 1;
}

int detect_student_heads(const model *m, int t, detect_heads *h, diag *d)
{
    int kept = 0;
    if (detect_heads_of(m->net, m->low->cfg, h, d)) return -1;
    for (int i = 0; i < h->n; ++i)
        if (answers_for(m->low, (int)(h->head[i].l - m->net->layers), t)) h->head[kept++] = h->head[i];
    h->n = kept;
    return 0;
}

int detect_teacher_heads(const model *m, int t, detect_heads *h, diag *d)
{
    const teacher *live = m->teacher[t];
    if (detect_heads_of(live->net, live->spec->cfg, h, d)) return -1;
    for (int i = 0; i < h->n; ++i) h->head[i].output = teacher_detections(live, i);
    return 0;
}

/* ---- counting ---- */

static void add_truths(measuring *c, uint64_t image)
{
    int n;
    const data_box *b = dataset_boxes(c->data, image, &n);
    if (c->truths + (size_t)n > c->room) {
        c->room = 2 * (c->truths + (size_t)n);
        c->truth = mem_realloc(c->truth, c->room, sizeof *c->truth);
    }
    for (int i = 0; i < n; ++i)
        c->truth[c->truths++] = (map_truth){ .image = (int)image, .label = b[i].class, .x = b[i].x, .y = b[i].y, .w = b[i].w, .h = b[i].h };
}

static void add_boxes(const measuring *c, side *s, const batch *b, int i)
{
    if (s->on) detect_image(&s->heads, i, b->place[i].image_w, b->place[i].image_h, &c->how, (int)b->index[i], &s->boxes);
}

static void count_batch(measuring *c, const batch *b)
{
    detect_evaluation *e = c->e;
    if (e->has_teacher) model_run_teachers(c->m, b->x, 1);
    if (e->has_student) model_predict(c->m, b->x);
    for (int k = 0; k < e->n; ++k) {
        for (int i = 0; i < b->n; ++i) {
            add_boxes(c, &c->student[k], b, i);
            add_boxes(c, &c->teacher[k], b, i);
        }
        if (e->has_student && e->has_teacher) e->of[k].feature_mse += model_feature_mse(c->m, k, b->n) * b->n;
    }
    for (int i = 0; i < b->n; ++i) add_truths(c, b->index[i]);
    e->images += (size_t)b->n;
}

/* ---- beginning and end ---- */

static int open_side(measuring *c, side *s, int k, int of_teacher, diag *d)
{
    s->on = 1;
    return of_teacher ? detect_teacher_heads(c->m, k, &s->heads, d) : detect_student_heads(c->m, k, &s->heads, d);
}

static int begin(measuring *c, int who, diag *d)
{
    const lowered *low = c->m->low;
    detect_evaluation *e = c->e;
    *e = (detect_evaluation){ .has_student = who & EVALUATE_STUDENT, .has_teacher = c->m->teacher && (who & EVALUATE_TEACHER),
                              .n = c->m->teacher ? low->teachers : 1, .last = low->heads ? low->head[low->heads - 1].teacher : 0 };
    for (int k = 0; k < e->n; ++k) {
        e->of[k].name = c->m->teacher ? low->teacher[k].name : "";
        if (e->has_student && open_side(c, &c->student[k], k, 0, d)) return -1;
        if (e->has_teacher && open_side(c, &c->teacher[k], k, 1, d)) return -1;
    }
    return 0;
}

static int run_images(measuring *c, int threads, diag *d)
{
    const net_shape *s = c->m->low->shape;
    loader_options lo = { .data = c->data, .how = LOAD_VALID, .batch = c->m->net->batch, .c = s->c, .h = s->h, .w = s->w,
                          .augment = c->m->low->augment, .threads = threads > 0 ? threads : 1 };
    int before = diag_errors(d);
    loader *l = loader_start(&lo, d);
    if (!l) return -1;
    for (const batch *b; (b = loader_next(l, d));) count_batch(c, b);
    c->e->left_out = loader_left_out(l, d);
    loader_stop(l);
    return diag_errors(d) > before ? -1 : 0;
}

static void measure(const measuring *c, const side *s, map_result *r, double *darknet)
{
    if (!s->on) return;
    int classes = dataset_classes(c->data);
    map_result other = map_measure(&map_darknet, classes, s->boxes.box, s->boxes.n, c->truth, c->truths, PRECISION_AT);
    *darknet = other.all.ap50;
    map_free(&other);
    *r = map_measure(&map_coco, classes, s->boxes.box, s->boxes.n, c->truth, c->truths, PRECISION_AT);
}

static void close_side(side *s)
{
    detect_heads_free(&s->heads);
    detect_list_free(&s->boxes);
}

int evaluate_detector(model *m, const dataset *data, int threads, int who, detect_evaluation *e, diag *d)
{
    measuring c = { .m = m, .e = e, .data = data, .how = MEASURE };
    c.how.letterbox = !m->low->augment.stretch;
    int failed = begin(&c, who, d) || run_images(&c, threads, d);
    e->truths = c.truths;
    for (int k = 0; k < e->n; ++k) {
        if (!failed) {
            measure(&c, &c.student[k], &e->of[k].student, &e->of[k].student_darknet);
            measure(&c, &c.teacher[k], &e->of[k].teacher, &e->of[k].teacher_darknet);
        }
        if (e->images) e->of[k].feature_mse /= (double)e->images;
        close_side(&c.student[k]);
        close_side(&c.teacher[k]);
    }
    free(c.truth);
    return failed;
}

void detect_evaluation_free(detect_evaluation *e)
{
    for (int k = 0; k < e->n; ++k) {
        map_free(&e->of[k].student);
        map_free(&e->of[k].teacher);
    }
    e->n = 0;
}
