/* Opening, loading, running and training a model for the library (see library_model.h). */
#include "library_model.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/data/augment.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/model/numbers.h"
#include "layers/network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- open ---- */

/* What a program was told to close is forgotten, not freed: in what state a call that ended in the middle left it
 * nobody knows. */
void library_model_close(library_model *it)
{
    if (!it->lost) model_close(it->model);
    free(it->batch);
    free(it->loss_layer);
    free(it->loss);
    *it = (library_model){ 0 };
}

void library_model_break(library_model *it) { it->broken = it->lost = 1; }

static void list_losses(library_model *it)
{
    const network *net = it->model->net;
    it->loss_layer = mem_calloc((size_t)net->n, sizeof *it->loss_layer);
    it->loss = mem_calloc((size_t)net->n, sizeof *it->loss);
    for (int i = 0; i < it->model->low->trained; ++i)
        if (net->layers[i].cost) it->loss_layer[it->losses++] = i;
}

/* What was open is gone, whatever becomes of this. */
int library_model_open(library_model *it, const char *cfg, const model_options *how, diag *d)
{
    library_model_close(it);
    if (how->threads < 0) {
        diag_error(d, cfg, 0, NULL, "%d threads: expected 0 or more", how->threads);
        return -1;
    }
    it->model = model_open(cfg, how, d);
    if (!it->model) return -1;
    const network *net = it->model->net;
    it->batch = mem_calloc((size_t)net->batch * (size_t)net->inputs, sizeof *it->batch);
    if (how->mode == LOWER_TRAIN) list_losses(it);
    return 0;
}

static int is_open(const library_model *it, diag *d)
{
    if (it->model && !it->broken) return 1;
    if (it->broken) diag_error(d, NULL, 0, NULL, "a call before this failed in the middle: open the cfg again");
    else diag_error(d, NULL, 0, NULL, "no cfg is open");
    return 0;
}

int library_model_load(library_model *it, const char *weights, diag *d)
{
    return is_open(it, d) ? model_load(it->model, weights, NULL, d) : -1;
}

int library_model_save(library_model *it, const char *weights, diag *d)
{
    return is_open(it, d) ? weights_save(it->model->net, weights, d) : -1;
}

/* ---- sizes ---- */

static int images_of_a_step(const library_model *it)
{
    return it->model->net->batch * it->model->net->subdivisions;
}

/* Numbers an image. */
static int student_answers(const library_model *it)
{
    const model *model = it->model;
    int sum = 0;
    for (int i = 0; i < model->low->outs; ++i) sum += model->net->layers[model->low->out[i]].outputs;
    return model->low->outs ? sum : model->classes;
}

static int answers_of(const teacher *teacher)
{
    int sum = 0;
    for (int i = 0; i < teacher->spec->outs; ++i) sum += teacher->net->layers[teacher->spec->out[i]].outputs;
    return teacher->spec->outs ? sum : teacher_outputs(teacher);
}

static int teachers(const library_model *it) { return it->model->teacher ? it->model->low->teachers : 0; }

static int teacher_answers(const library_model *it)
{
    int sum = 0;
    for (int i = 0; i < teachers(it); ++i) sum += answers_of(it->model->teacher[i]);
    return sum;
}

static int channels(const library_model *it) { return it->model->low->shape->c; }
static int height(const library_model *it) { return it->model->low->shape->h; }
static int width(const library_model *it) { return it->model->low->shape->w; }
static int losses(const library_model *it) { return it->losses; }

int library_model_size(library_model *it, const char *what, int *value, diag *d)
{
    static const struct { const char *name; int (*of)(const library_model *it); } rows[] = {
        { "channels", channels }, { "height", height }, { "width", width }, { "step", images_of_a_step },
        { "answers", student_answers }, { "teachers", teachers }, { "teacher_answers", teacher_answers },
        { "losses", losses },
    };
    if (!is_open(it, d)) return -1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        if (strcmp(rows[i].name, what)) continue;
        *value = rows[i].of(it);
        return 0;
    }
    diag_error(d, NULL, 0, NULL, "no size is called '%s'", what);
    return -1;
}

/* ---- run ---- */

int library_model_image(library_model *it, const char *path, float *image, diag *d)
{
    uint8_t *pixels;
    int w, h;
    char why[256];
    if (!is_open(it, d)) return -1;
    if (image_decode(path, channels(it), &pixels, &w, &h, why, sizeof why)) {
        diag_error(d, path, 0, NULL, "cannot read this image: %s", why);
        return -1;
    }
    augment_still(pixels, w, h, channels(it), it->model->low->augment.fit, image, width(it), height(it));
    free(pixels);
    return 0;
}

/* `images` rows of `width` numbers to where the row of each image begins, `stride` apart. */
static void copy_rows(const float *from, int images, int width, float *to, int stride)
{
    for (int i = 0; i < images; ++i)
        memcpy(to + (size_t)i * (size_t)stride, from + (size_t)i * (size_t)width, (size_t)width * sizeof *to);
}

static void take_student(const library_model *it, int images, float *to)
{
    const model *model = it->model;
    int stride = student_answers(it);
    if (!model->low->outs) copy_rows(model_answer(model), images, stride, to, stride);
    for (int i = 0; i < model->low->outs; ++i) {
        const layer *l = &model->net->layers[model->low->out[i]];
        copy_rows(l->output, images, l->outputs, to, stride);
        to += l->outputs;
    }
}

/* All teachers' answers stand next to each other, of a detector those of its outputs. */
static void take_teachers(const library_model *it, int images, float *to)
{
    int stride = teacher_answers(it);
    for (int t = 0; t < teachers(it); ++t) {
        const teacher *teacher = it->model->teacher[t];
        int outs = teacher->spec->outs;
        if (!outs) copy_rows(teacher_answer(teacher), images, answers_of(teacher), to, stride);
        for (int i = 0, at = 0; i < outs; ++i) {
            int outputs = teacher->net->layers[teacher->spec->out[i]].outputs;
            copy_rows(teacher_detections(teacher, i), images, outputs, to + at, stride);
            at += outputs;
        }
        to += answers_of(teacher);
    }
}

/* As many images as a batch has, or fewer. */
static void run_some(library_model *it, const library_run *how, int from, int images)
{
    size_t inputs = (size_t)it->model->net->inputs;
    memset(it->batch, 0, (size_t)it->model->net->batch * inputs * sizeof *it->batch);
    memcpy(it->batch, how->images + (size_t)from * inputs, (size_t)images * inputs * sizeof *it->batch);
    if (how->teachers) {
        model_run_teachers(it->model, it->batch, 1);
        take_teachers(it, images, how->teachers + (size_t)from * (size_t)teacher_answers(it));
    }
    if (how->student) {
        model_predict(it->model, it->batch);
        take_student(it, images, how->student + (size_t)from * (size_t)student_answers(it));
    }
}

/* A batch at a time. */
int library_model_run(library_model *it, const library_run *how, diag *d)
{
    if (!is_open(it, d)) return -1;
    if (how->count < 0 || (how->teachers && !teachers(it))) {
        if (how->count < 0) diag_error(d, NULL, 0, NULL, "%d images: expected 0 or more", how->count);
        else diag_error(d, it->model->low->source->path, 0, NULL, "has no teacher here that could answer");
        return -1;
    }
    int most = it->model->net->batch;
    for (int from = 0; from < how->count; from += most)
        run_some(it, how, from, how->count - from < most ? how->count - from : most);
    return 0;
}

/* ---- train ---- */

/* What train measures on a data set before step 1 cannot be had here. */
static int check_measured(const model *model, diag *d)
{
    for (int i = 0; i < model->low->losses; ++i) {
        const taught_loss *loss = &model->low->loss[i];
        const loss_facts *facts = loss->type->facts ? loss->type->facts(&model->net->layers[loss->layer]) : NULL;
        if ((!facts || facts->known) && !section_scale_is_auto(loss->section)) continue;
        diag_error(d, loss->section->file, loss->section->line, loss->section->name,
                   "is measured on a data set before step 1, which a library has not");
        diag_hint(d, "write a number for scale=auto, leave out normalise= and metric=, or use 'train'");
        return -1;
    }
    return 0;
}

/* Can it be trained at all? Asked once. */
static int prepare(library_model *it, diag *d)
{
    const lowered *low = it->model->low;
    if (it->prepared) return 0;
    if (low->mode != LOWER_TRAIN) {
        diag_error(d, low->source->path, 0, NULL, "is open as it is deployed, which is not trained");
        return -1;
    }
    if (low->labels && model_is_detector(it->model)) {
        diag_error(d, low->source->path, 0, NULL, "this detector learns from boxes, which a library does not take");
        return -1;
    }
    if (lower_check_loss(low, 0, d) || check_measured(it->model, d)) return -1;
    it->prepared = 1;
    return 0;
}

static int check_labels(const library_model *it, const int *labels, diag *d)
{
    for (int i = 0; labels && i < images_of_a_step(it); ++i) {
        if (labels[i] >= -1 && labels[i] < it->model->classes) continue;
        diag_error(d, NULL, 0, NULL, "label %d of image %d: expected a class from 0 to %d, or -1", labels[i], i,
                   it->model->classes - 1);
        return -1;
    }
    return 0;
}

static void count_losses(library_model *it)
{
    const network *net = it->model->net;
    for (int i = 0; i < it->losses; ++i)
        it->loss[i] += (double)net->layers[it->loss_layer[i]].cost[0] / images_of_a_step(it);
}

/* One of `subdivisions` parts of a step. */
static int learn(library_model *it, const float *images, const int *labels, double *sum, diag *d)
{
    const network *net = it->model->net;
    double loss = model_train_step(it->model, images, labels, NULL);
    if (!isfinite(loss)) {
        numbers_explain_loss(it->model, images, loss, d);
        return -1;
    }
    count_losses(it);
    *sum += loss / net->subdivisions;
    return 0;
}

/* All that comes before the update. */
static int learn_step(library_model *it, const float *images, const int *labels, double *sum, diag *d)
{
    const network *net = it->model->net;
    size_t inputs = (size_t)net->inputs;
    for (int i = 0; i < net->subdivisions; ++i) {
        size_t first = (size_t)i * (size_t)net->batch;
        if (learn(it, images + first * inputs, labels + first, sum, d)) return -1;
    }
    return numbers_check_updates(it->model, d);
}

/* Labels where losses read them, none where none were given. */
static int *own_labels(const library_model *it, const int *labels)
{
    int *own = mem_calloc((size_t)images_of_a_step(it), sizeof *own);
    for (int i = 0; i < images_of_a_step(it); ++i) own[i] = labels ? labels[i] : -1;
    return own;
}

int library_model_step(library_model *it, const float *images, const int *labels, double *loss, diag *d)
{
    if (!is_open(it, d) || prepare(it, d) || check_labels(it, labels, d)) return -1;
    size_t seen = *it->model->net->seen;
    int *own = own_labels(it, labels);
    step_copy *before = step_copy_new(it->model);
    step_copy_keep(before, it->model);
    memset(it->loss, 0, (size_t)it->losses * sizeof *it->loss);
    *loss = 0;
    int failed = learn_step(it, images, own, loss, d);
    if (failed) {
        step_copy_undo(before, it->model);
        *it->model->net->seen = seen;
    } else {
        network_update(it->model->net, it->model->low->trained);
        failed = it->broken = numbers_check_weights(it->model, d) != 0;
    }
    step_copy_free(before);
    free(own);
    return failed ? -1 : 0;
}

/* The name is that of the section which the user wrote. */
int library_model_loss(library_model *it, int i, const char **name, double *value, diag *d)
{
    if (!is_open(it, d)) return -1;
    if (i < 0 || i >= it->losses) {
        diag_error(d, NULL, 0, NULL, "loss %d: there are %d", i, it->losses);
        return -1;
    }
    const lowered *low = it->model->low;
    int layer = it->loss_layer[i];
    *name = low->type[layer] ? low->type[layer]->name : cfg_layer(low->cfg, layer)->name;
    *value = it->loss[i];
    return 0;
}
