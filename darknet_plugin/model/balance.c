/* scale=auto: how large each loss of a triple is to be, measured before the first step.
 *
 * A learning rate suits a loss of a certain size. That of the labels' cross-entropy is known to work for the student's
 * layers, so all losses are brought to it where they meet, at the projector's output: of some batches, with first
 * weights, G(loss) is the root of the mean square of the loss's gradient there at scale 1, and
 *
 *   scale = G(cross-entropy) / G(loss)
 *
 * Cross-entropy is taken through the teacher's frozen classifier and against the teacher's own first class, so that no
 * label is needed. Behind a detector's head [kd] with a scale of 1 takes its place: it is a sum over places as the loss
 * of [yolo] is, against the teacher's answer. The scales stay what they are from then on, and go along with a run's
 * state. */
#include "layers/network.h"
#include "model_internal.h"
#include "model_truth.h"
#include "run_state.h"

#include "darknet_plugin/base/argmax.h"
#include "darknet_plugin/base/mem.h"
#include "layers/gpu/gpu.h"

#include <math.h>
#include <stdlib.h>

static int is_auto(const taught_loss *loss) { return section_scale_is_auto(loss->section); }

/* Is the loss what the others of its triple are measured by? */
static int is_yardstick(const taught_loss *loss)
{
    return loss->type->asks == TEACH_LABELS || loss->type->asks == TEACH_HEAD;
}

/* Of a triple: does one of its losses want a scale? */
static int wants(const lowered *low, int head)
{
    for (int i = 0; i < low->losses; ++i)
        if (low->loss[i].head == head && is_auto(&low->loss[i])) return 1;
    return 0;
}

int model_has_auto_scales(const model *model)
{
    for (int i = 0; i < model->low->losses; ++i)
        if (is_auto(&model->low->loss[i])) return 1;
    return 0;
}

/* The class that teacher `t` puts first, of each image; `label` has room for the batch. */
static void teachers_choice(const model *model, int t, int *label)
{
    const teacher_spec *spec = &model->low->teacher[t];
    const taught_loss asks = { .teacher = t, .taught = spec->answer, .tap_index = spec->taps };
    const feature_map *stored = model->features[t] ? model_teaching_of(model, &asks).stored : NULL;
    const float *live = stored ? NULL : teacher_feature(model->teacher[t], spec->answer);
    int classes = spec->shape->layer[spec->answer].outputs;
    float *scores = mem_calloc((size_t)classes, sizeof *scores);
    for (int b = 0; b < model->net->batch; ++b) {
        if (stored) feature_unpack(&stored[b], (size_t)classes, 1, scores);
        label[b] = argmax(stored ? scores : live + (size_t)b * (size_t)classes, classes);
    }
    free(scores);
}

/* Mean square of the gradient that the one loss with a scale of 1 sends to what the triple's [feature_l2] reads. */
static double mean_square(model *model, int stands)
{
    network *net = model->net;
    const layer *reads = &net->layers[stands - 1];
    size_t n = (size_t)reads->outputs * (size_t)net->batch;
    double sum = 0;
    network_forward(net, model->low->shape->n, 1);
    model_weigh_boxes(model, NULL, 0);
    network_backward_to(net, model->low->shape->n, stands);
    gpu_pull_delta(net, stands - 1);
    for (size_t i = 0; i < n; ++i) sum += (double)reads->delta[i] * reads->delta[i];
    return sum / (double)n;
}

/* Measures one triple: every other loss of the network is of no weight meanwhile. */
static void measure_triple(model *model, int head, double *sum)
{
    const lowered *low = model->low;
    for (int i = 0; i < low->losses; ++i) {
        if (low->loss[i].head != head) continue;
        for (int k = 0; k < low->losses; ++k) *model_scale_of(model, &low->loss[k]) = k == i;
        sum[i] += mean_square(model, low->head[head].loss);
    }
}

/* Each triple that wants a scale, on one batch; scales are put back. */
void model_measure_losses(model *model, const float *x, double *sum)
{
    const lowered *low = model->low;
    network *net = model->net;
    int *label = mem_calloc((size_t)net->batch, sizeof *label);
    double *kept = model_scales(model);
    model_ask_teachers(model, x, NULL);
    net->input = (float *)x;
    for (int head = 0; head < low->heads; ++head) {
        if (!wants(low, head)) continue;
        if (low->teacher[low->head[head].teacher].answer >= 0) {
            teachers_choice(model, low->head[head].teacher, label);
            model_fill_truth(net, &(mixed_labels){ .first = label }, 0);
        }
        measure_triple(model, head, sum);
    }
    model_taught(model);
    model_put_scales(model, kept);
    free(label);
}

/* The sum of what the triple's losses are measured by. */
static double yardstick_of(const lowered *low, int head, const double *sum)
{
    for (int i = 0; i < low->losses; ++i)
        if (low->loss[i].head == head && is_yardstick(&low->loss[i])) return sum[i];
    return 0;
}

/* By what all batches have summed up to. */
void model_set_auto_scales(model *model, const double *sum, FILE *out)
{
    const lowered *low = model->low;
    for (int i = 0; i < low->losses; ++i) {
        const taught_loss *loss = &low->loss[i];
        if (!is_auto(loss)) continue;
        double scale = sum[i] > 0 ? sqrt(yardstick_of(low, loss->head, sum) / sum[i]) : 1;
        *model_scale_of(model, loss) = scale;
        fprintf(out, "%s:%d: [%s] scale=auto is %.4g\n", loss->section->file, cfg_line(loss->section, "scale"),
                loss->section->name, scale);
    }
}

int model_apply_state(model *model, run_state *state, const char *path, diag *d)
{
    const lowered *low = model->low;
    double *scale = model_scales(model);
    int failed = run_state_apply(state, model->net, low->trained, path, d);
    for (int i = 0; i < low->losses; ++i)
        if (is_auto(&low->loss[i])) scale[i] = *model_scale_of(model, &low->loss[i]);
    model_put_scales(model, scale);
    return failed;
}
