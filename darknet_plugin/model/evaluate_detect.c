/* Measuring detectors (see evaluate_detect.h): images through the networks, boxes out of their heads, both against the
 * labels. Truth is taken from the label files as they are, relative to the image, and boxes are moved back to it. */
#include "evaluate_detect.h"

#include "darknet_plugin/data/loader.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

static const double PRECISION_AT = .25;   /* Darknet's own threshold for precision and recall */
/* COCO counts no more of a class in an image */
static const detect_options MEASURE = { .threshold = .001f, .nms = .45f, .most = 100 };

/* One network's answers. */
typedef struct side {
    int on;
    detect_heads heads;
    detect_list boxes;
} side;

typedef struct measuring {
    model *m;
    detect_evaluation *e;
    const evaluate_watch *watch;   /* NULL: nobody */
    const dataset *data;
    detect_options how;
    side student[MAX_TEACHERS], teacher[MAX_TEACHERS];
    map_truth *truth;        /* owned */
    size_t truths, room;
} measuring;

/* ---- heads ---- */

static int answers_for(const lowered *low, int layer, int t)
{
    const lower_head *head = lower_head_of(low, layer);
    return !head || (head->answers && head->teacher == t);
}

int detect_student_heads(const model *model, int t, detect_heads *heads, diag *d)
{
    int kept = 0;
    if (detect_heads_of(model->net, model->low->cfg, heads, d)) return -1;
    for (int i = 0; i < heads->n; ++i)
        if (!model->teacher || answers_for(model->low, (int)(heads->head[i].l - model->net->layers), t))
            heads->head[kept++] = heads->head[i];
    heads->n = kept;
    return 0;
}

static int is_deployed(const lowered *low, int layer)
{
    const lower_head *head = lower_head_of(low, layer);
    return head ? head->deploys : low->role[layer] != ROLE_LABELS;
}

int detect_deployed_heads(const model *model, detect_heads *heads, diag *d)
{
    int kept = 0;
    if (detect_heads_of(model->net, model->low->cfg, heads, d)) return -1;
    for (int i = 0; i < heads->n; ++i)
        if (is_deployed(model->low, (int)(heads->head[i].l - model->net->layers))) heads->head[kept++] = heads->head[i];
    heads->n = kept;
    return 0;
}

int detect_teacher_heads(const model *model, int t, detect_heads *heads, diag *d)
{
    const teacher *live = model->teacher[t];
    if (detect_heads_of(live->net, live->spec->cfg, heads, d)) return -1;
    for (int i = 0; i < heads->n; ++i) heads->head[i].output = teacher_detections(live, i);
    return 0;
}

/* ---- counting ---- */

/* Image `image`'s objects join those to be found. */
static void add_truths(measuring *measuring, uint64_t image)
{
    int n;
    const data_box *b = dataset_boxes(measuring->data, image, &n);
    if (measuring->truths + (size_t)n > measuring->room) {
        measuring->room = 2 * (measuring->truths + (size_t)n);
        measuring->truth = mem_realloc(measuring->truth, measuring->room, sizeof *measuring->truth);
    }
    for (int i = 0; i < n; ++i)
        measuring->truth[measuring->truths++] = (map_truth){ .image = (int)image, .label = b[i].class, .x = b[i].x,
                                                             .y = b[i].y, .w = b[i].w, .h = b[i].h };
}

static void add_boxes(const measuring *measuring, side *side, const batch *batch, int i)
{
    if (side->on) detect_image(&side->heads, i, batch->place[i].image_w, batch->place[i].image_h, &measuring->how,
                               (int)batch->index[i], &side->boxes);
}

/* How far the maps of n images are apart, in comparison k. */
static void count_maps(measuring *measuring, int k, int n)
{
    detect_comparison *of = &measuring->e->of[k];
    double mse[MAX_LEARNT_MAPS];
    of->maps = model_features_mse(measuring->m, k, n, mse, MAX_LEARNT_MAPS);
    for (int i = 0; i < of->maps; ++i) of->map_mse[i] += mse[i] * n;
}

/* From sums to means. */
static void finish_maps(detect_comparison *of, size_t images)
{
    for (int i = 0; i < of->maps; ++i) {
        of->map_mse[i] /= (double)images;
        of->feature_mse += of->map_mse[i] / of->maps;
    }
}

/* Boxes of both networks, and how far their maps are apart. */
static void count_batch(measuring *measuring, const batch *batch)
{
    detect_evaluation *e = measuring->e;
    if (e->has_teacher) model_run_teachers(measuring->m, batch->x, 1);
    if (e->has_student) model_predict(measuring->m, batch->x);
    if (measuring->watch) measuring->watch->look(measuring->watch->of, measuring->m, batch);
    for (int k = 0; k < e->n; ++k) {
        for (int i = 0; i < batch->n; ++i) {
            add_boxes(measuring, &measuring->student[k], batch, i);
            add_boxes(measuring, &measuring->teacher[k], batch, i);
        }
        if (e->has_student && e->has_teacher) count_maps(measuring, k, batch->n);
    }
    for (int i = 0; i < batch->n; ++i) add_truths(measuring, batch->index[i]);
    e->images += (size_t)batch->n;
}

/* ---- beginning and end ---- */

static int open_side(measuring *measuring, side *side, int k, int of_teacher, diag *d)
{
    side->on = 1;
    return of_teacher ? detect_teacher_heads(measuring->m, k, &side->heads, d) : detect_student_heads(measuring->m, k,
        &side->heads, d);
}

/* Who is compared with whom, and through which heads; 0, or -1 with a message. */
static int begin(measuring *measuring, int who, diag *d)
{
    const lowered *low = measuring->m->low;
    detect_evaluation *e = measuring->e;
    int teachers = measuring->m->teacher ? low->teachers : 0;
    *e = (detect_evaluation){ .has_student = who & EVALUATE_STUDENT,
                              .has_teacher = measuring->m->teacher && (who & EVALUATE_TEACHER),
                              .n = teachers ? teachers : 1,
                              .last = teachers && low->heads ? lower_speaker(low) : 0 };
    for (int k = 0; k < e->n; ++k) {
        e->of[k].name = measuring->m->teacher ? low->teacher[k].name : "";
        if (e->has_student && open_side(measuring, &measuring->student[k], k, 0, d)) return -1;
        if (e->has_teacher && open_side(measuring, &measuring->teacher[k], k, 1, d)) return -1;
    }
    return 0;
}

/* Every image once; 0, or -1 with messages. */
static int run_images(measuring *measuring, int threads, diag *d)
{
    const net_shape *s = measuring->m->low->shape;
    loader_options lo = { .data = measuring->data, .how = LOAD_VALID, .batch = measuring->m->net->batch, .c = s->c,
                          .h = s->h, .w = s->w, .augment = measuring->m->low->augment,
                          .threads = threads > 0 ? threads : 1,
                          .start = ranks_share(measuring->m->ranks, dataset_count(measuring->data), 0),
                          .end = ranks_share(measuring->m->ranks, dataset_count(measuring->data), 1) };
    int before = diag_errors(d);
    loader *l = loader_start(&lo, d);
    if (!l) return -1;
    for (const batch *b; (b = loader_next(l, d));) count_batch(measuring, b);
    measuring->e->left_out = loader_left_out(l, d);
    loader_stop(l);
    return diag_errors(d) > before ? -1 : 0;
}

/* ---- several ranks: each gets the boxes and objects of all, in the order of images ---- */

static int merge_boxes(ranks *ranks, side *side, diag *d)
{
    detect_list *list = &side->boxes;
    size_t total;
    if (!side->on) return 0;
    void *all = ranks_gather(ranks, RANKS_EVALUATE, list->box, list->n * sizeof *list->box, &total, d);
    if (!all) return -1;
    detect_list_free(list);
    *list = (detect_list){ .box = all, .n = total / sizeof *list->box, .room = total / sizeof *list->box + 1 };
    return 0;
}

static int merge_truths(ranks *ranks, measuring *measuring, diag *d)
{
    size_t total, own = measuring->truths * sizeof *measuring->truth;
    void *all = ranks_gather(ranks, RANKS_EVALUATE, measuring->truth, own, &total, d);
    if (!all) return -1;
    free(measuring->truth);
    measuring->truth = all;
    measuring->truths = measuring->room = total / sizeof *measuring->truth;
    return 0;
}

typedef struct rank_counts {
    size_t images, left_out;
    int maps[MAX_TEACHERS];  /* 0 on a rank that has seen no image */
    double map_mse[MAX_TEACHERS][MAX_LEARNT_MAPS];
} rank_counts;

/* Adds what a rank has of comparison k. */
static void add_maps(detect_comparison *of, const rank_counts *counts, int k)
{
    if (counts->maps[k] > of->maps) of->maps = counts->maps[k];
    for (int i = 0; i < counts->maps[k]; ++i) of->map_mse[i] += counts->map_mse[k][i];
}

/* Sums of all ranks, in their order. */
static int merge_counts(ranks *ranks, detect_evaluation *evaluation, diag *d)
{
    size_t n = (size_t)ranks_count(ranks);
    rank_counts mine = { .images = evaluation->images, .left_out = evaluation->left_out },
        *all = mem_calloc(n, sizeof *all);
    for (int k = 0; k < evaluation->n; ++k) {
        mine.maps[k] = evaluation->of[k].maps;
        memcpy(mine.map_mse[k], evaluation->of[k].map_mse, sizeof mine.map_mse[k]);
        memset(evaluation->of[k].map_mse, 0, sizeof mine.map_mse[k]);
    }
    int failed = ranks_exchange(ranks, RANKS_EVALUATE, &mine, sizeof mine, all, d);
    evaluation->images = evaluation->left_out = 0;
    for (size_t i = 0; i < n; ++i) {
        evaluation->images += all[i].images;
        evaluation->left_out += all[i].left_out;
        for (int k = 0; k < evaluation->n; ++k) add_maps(&evaluation->of[k], &all[i], k);
    }
    free(all);
    return failed;
}

static int merge(measuring *measuring, diag *d)
{
    ranks *ranks = measuring->m->ranks;
    if (!ranks) return 0;
    for (int k = 0; k < measuring->e->n; ++k)
        if (merge_boxes(ranks, &measuring->student[k], d) || merge_boxes(ranks, &measuring->teacher[k], d)) return -1;
    return merge_truths(ranks, measuring, d) || merge_counts(ranks, measuring->e, d);
}

static void measure(const measuring *measuring, const side *side, map_result *result, double *darknet)
{
    if (!side->on) return;
    int classes = dataset_classes(measuring->data);
    map_result other = map_measure(&map_darknet, classes, side->boxes.box, side->boxes.n, measuring->truth,
                                   measuring->truths, PRECISION_AT);
    *darknet = other.all.ap50;
    map_free(&other);
    *result = map_measure(&map_coco, classes, side->boxes.box, side->boxes.n, measuring->truth, measuring->truths,
                          PRECISION_AT);
}

static void close_side(side *side)
{
    detect_heads_free(&side->heads);
    detect_list_free(&side->boxes);
}

int evaluate_detector(model *model, const dataset *data, int threads, int who, detect_evaluation *evaluation, diag *d)
{
    return evaluate_detector_watched(model, data, threads, who, NULL, evaluation, d);
}

int evaluate_detector_watched(model *model, const dataset *data, int threads, int who, const evaluate_watch *watch,
                              detect_evaluation *evaluation, diag *d)
{
    measuring c = { .m = model, .e = evaluation, .watch = watch, .data = data, .how = MEASURE };
    c.how.letterbox = model->low->augment.fit != FIT_STRETCH;
    int failed = begin(&c, who, d) || run_images(&c, threads, d) || merge(&c, d);
    evaluation->truths = c.truths;
    for (int k = 0; k < evaluation->n; ++k) {
        if (!failed) {
            measure(&c, &c.student[k], &evaluation->of[k].student, &evaluation->of[k].student_darknet);
            measure(&c, &c.teacher[k], &evaluation->of[k].teacher, &evaluation->of[k].teacher_darknet);
        }
        if (evaluation->images) finish_maps(&evaluation->of[k], evaluation->images);
        close_side(&c.student[k]);
        close_side(&c.teacher[k]);
    }
    free(c.truth);
    return failed;
}

void detect_evaluation_free(detect_evaluation *evaluation)
{
    for (int k = 0; k < evaluation->n; ++k) {
        map_free(&evaluation->of[k].student);
        map_free(&evaluation->of[k].teacher);
    }
    evaluation->n = 0;
}
