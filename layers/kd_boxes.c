/* [kd] behind a detector's head on the CPU (see kd_boxes.h for the formulae, kd_boxes_ops.h for one anchor of them). */
#include "kd_boxes.h"

#include "darknet_plugin/base/bug.h"
#include "darknet_plugin/base/mem.h"
#include "layers/cpu/parallel.h"

#include <stdlib.h>
#include <string.h>

/* ---- where it stands ---- */

/* Keys that speak of class scores. */
static int check_keys(const cfg_section *section, diag *d)
{
    static const char *const classifiers[] = { "temperature", "standardise", "decouple" };
    for (size_t i = 0; i < sizeof classifiers / sizeof *classifiers; ++i) {
        if (!cfg_find(section, classifiers[i])) continue;
        diag_error(d, section->file, cfg_line(section, classifiers[i]), section->name,
                   "%s= is for class scores, and this one stands behind a detector's head", classifiers[i]);
        diag_hint(d, "leave it out: objectness, boxes and classes are compared as they are");
        return -1;
    }
    double focal = cfg_float(section, "focal", 0);
    if (focal == 0 || focal >= 1) return 0;
    diag_error(d, section->file, cfg_line(section, "focal"), section->name, "'focal' is %g, expected 0 or at least 1",
               focal);
    return -1;
}

int check_kd_boxes_section(const cfg_section *section, const loss_place *place, diag *d)
{
    box_head head;
    if (check_keys(section, d) || box_head_find(section, NULL, place, &head, d)) return -1;
    if ((size_t)place->c == head.rows && place->h == place->teacher_h && place->w == place->teacher_w) return 0;
    diag_error(d, section->file, section->line, section->name,
               "the student's head answers %dx%dx%d numbers, the teacher's %zux%dx%d", place->c, place->h, place->w,
               head.rows, place->teacher_h, place->teacher_w);
    return -1;
}

/* ---- memory ---- */

static size_t places_of(const layer *l) { return (size_t)l->out_h * (size_t)l->out_w; }

static size_t doubles(const layer *l)
{
    return (size_t)l->batch * kd_boxes_of(l)->head.form.anchors * places_of(l);
}

static void backward_kd_boxes_layer(layer l, host_state net);

/* By its name, which is [yolo]'s for the same. */
static int kind_of(const cfg_section *section)
{
    static const char *const kinds[] = { "iou", "giou", "diou", "ciou" };   /* as IOU_... count */
    const char *value = cfg_str(section, "iou_loss", "mse");
    for (int i = 0; i < 4; ++i)
        if (!strcmp(value, kinds[i])) return i;
    return KD_BOXES_SQUARES;
}

/* What becomes boxes of the head's numbers: the anchors of a [yolo] that are its own, or a [region]'s. */
static void take_anchors(kd_boxes_state *state, const cfg_section *boxes)
{
    int *mask;
    float *size;
    int masks = cfg_ints(boxes, "mask", &mask), sizes = cfg_floats(boxes, "anchors", &size);
    int anchors = (int)state->head.form.anchors;
    state->pixels = !cfg_is(boxes, "region");
    state->grid = state->pixels ? cfg_float(boxes, "scale_x_y", 1) : 1;
    state->sizes = mem_calloc(2 * (size_t)anchors, sizeof *state->sizes);
    for (int i = 0; i < 2 * anchors; ++i) {
        int at = 2 * (state->pixels && i / 2 < masks ? mask[i / 2] : i / 2) + i % 2;
        state->sizes[i] = at >= 0 && at < sizes ? size[at] : .5f;   /* the host's where there is none */
    }
    free(mask);
    free(size);
}

/* Behind a tail that something measures itself by ([reused_classifier] is its section then) it is of no weight. */
int make_kd_boxes_section(layer *l, const cfg_section *section, const loss_place *place, diag *d)
{
    static const map_loss_kind kind = { "kd", doubles, forward_kd_boxes_layer, backward_kd_boxes_layer };
    box_head head;
    if (box_head_find(section, NULL, place, &head, d) ||
        map_loss_make_larger(l, &kind, sizeof(kd_boxes_state), section, place, 1, d))
        return -1;
    kd_boxes_state *state = kd_boxes_of(l);
    state->head = head;
    take_anchors(state, cfg_layer(place->teacher, head.boxes));
    state->kind = KD_BOXES_SQUARES;
    state->box_weight = 1;
    if (!cfg_is(section, "kd")) {
        state->base.scale = 0;
        return 0;
    }
    state->focal = cfg_float(section, "focal", 0);
    state->kind = kind_of(section);
    state->box_weight = cfg_float(section, "iou_normalizer", 1);
    return 0;
}

static float *put(const map_loss *loss, float *old, const float *host, size_t n)
{
    float *there = loss->memory->grow(old, n * sizeof *there);
    loss->memory->up(there, host, n * sizeof *there);
    return there;
}

void kd_boxes_see_teacher(layer *l, const network *teacher)
{
    kd_boxes_state *state = kd_boxes_of(l);
    box_head *head = &state->head;
    box_head_see(head, teacher);
    state->weights = put(&state->base, state->weights, head->weights, head->rows * head->width);
    state->biases = put(&state->base, state->biases, head->biases, head->rows);
    state->anchor = put(&state->base, state->anchor, state->sizes, 2 * head->form.anchors);
}

void free_kd_boxes_layer(layer *l)
{
    kd_boxes_state *state = kd_boxes_of(l);
    state->base.memory->release(state->weights);
    state->base.memory->release(state->biases);
    state->base.memory->release(state->answer);
    state->base.memory->release(state->anchor);
    free(state->sizes);
    box_head_free(&state->head);
    map_loss_free(l);
}

/* ---- running ---- */

kd_boxes_answer kd_boxes_answer_of(const layer *l)
{
    kd_boxes_state *state = kd_boxes_of(l);
    size_t n = (size_t)l->batch * (size_t)l->outputs;
    BUG_UNLESS(state->weights, "kd is trained before it has seen the teacher's head");
    if (n > state->answer_room) state->answer = state->base.memory->grow(state->answer, n * sizeof *state->answer);
    if (n > state->answer_room) state->answer_room = n;
    return (kd_boxes_answer){ .weights = state->weights, .biases = state->biases, .map = state->base.target,
                              .raw = state->answer, .batch = (size_t)l->batch, .rows = state->head.rows,
                              .width = state->head.width, .places = places_of(l) };
}

kd_boxes_job kd_boxes_job_of(const layer *l, const host_state *net)
{
    const kd_boxes_state *state = kd_boxes_of(l);
    return (kd_boxes_job){ .teacher = state->answer, .form = state->head.form, .batch = (size_t)l->batch,
                           .places = places_of(l), .focal = state->focal, .scale = state->base.scale,
                           .box_weight = state->box_weight, .kind = state->kind, .anchor = state->anchor,
                           .cells_x = state->pixels ? (double)l->out_w / net->w : 1,
                           .cells_y = state->pixels ? (double)l->out_h / net->h : 1, .grid = state->grid,
                           .part = state->base.work };
}

void kd_boxes_add_up(layer *l) { *l->cost = (float)(kd_boxes_of(l)->base.scale * map_loss_sum(l, doubles(l))); }

static void answer_images(void *context, size_t begin, size_t end)
{
    const layer *l = context;
    const kd_boxes_state *state = kd_boxes_of(l);
    kd_boxes_answer job = kd_boxes_answer_of(l);
    for (size_t b = begin; b < end; ++b)
        box_head_answer(&state->head, job.map + b * job.width * job.places, job.places,
                        job.raw + b * job.rows * job.places);
}

static void lose_anchors(void *context, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; ++i) kd_boxes_lose(context, i);
}

/* Passes the input on; while training asks the teacher's head and takes the loss. */
void forward_kd_boxes_layer(layer l, host_state net)
{
    if (!map_loss_pass(&l, &net)) return;
    kd_boxes_answer answer = kd_boxes_answer_of(&l);
    parallel_for_work(answer.batch, answer.rows * answer.width * answer.places, answer_images, &l);
    kd_boxes_job job = kd_boxes_job_of(&l, &net);
    job.student = l.output;
    parallel_for_work(kd_boxes_elements(&job), 100 * box_entries(&job.form), lose_anchors, &job);
    kd_boxes_add_up(&l);
}

static void pass_anchors(void *context, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; ++i) kd_boxes_pass(context, i);
}

static void backward_kd_boxes_layer(layer l, host_state net)
{
    kd_boxes_job job = kd_boxes_job_of(&l, &net);
    if (!net.delta) return;
    BUG_UNLESS(job.teacher, "kd is trained without a target");
    job.student = l.output;
    job.above = l.delta;
    job.below = net.delta;
    parallel_for_work(kd_boxes_elements(&job), 100 * box_entries(&job.form), pass_anchors, &job);
}
