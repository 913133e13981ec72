/* The classifier that [teachers] combine=logits makes of several (lower_combine.c has the formula): its weights follow
 * from the teachers' own, whose copies in the training network it is computed from, in doubles, batch norm folded.
 *
 * They are in every weights file, so a file tells which classifiers it was trained for: its weights are then, teacher
 * by teacher, those of the teacher times a number, which [teachers] weights= has chosen. */
#include "model_internal.h"

#include "darknet_plugin/base/mem.h"
#include "weights_tools/file/fold.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One teacher's part: where its inputs begin among those of the combined classifier, and its own arrays, folded. */
typedef struct part {
    size_t classes, begin, inputs;
    float *weights, *biases;     /* (classes, inputs), (classes), owned */
} part;

/* The k-th; end it with drop. */
static part part_of(const model *model, int k)
{
    const combining *combine = &model->low->combine;
    part part = { .classes = (size_t)model->net->layers[combine->layer].n };
    for (int i = 0; i <= k; ++i) {
        const layer *l = &model->net->layers[model->low->head[combine->head[i]].linear];
        part.begin += part.inputs;
        part.inputs = (size_t)(l->type == CONNECTED ? l->inputs : l->c);
        if (i < k) continue;
        part.weights = mem_calloc(part.classes * part.inputs, sizeof *part.weights);
        part.biases = mem_calloc(part.classes, sizeof *part.biases);
        fold_arrays(l, part.weights, part.biases);
    }
    return part;
}

static void drop(part *part)
{
    free(part->weights);
    free(part->biases);
}

int model_combines(const model *model) { return model->teacher && model->low->combine.kind == COMBINE_LOGITS; }

void model_fill_combined(model *model)
{
    if (!model_combines(model)) return;
    const combining *combine = &model->low->combine;
    layer *l = &model->net->layers[combine->layer];
    double *bias = mem_calloc((size_t)l->n, sizeof *bias);
    for (int k = 0; k < combine->heads; ++k) {
        part part = part_of(model, k);
        for (size_t o = 0; o < part.classes; ++o) {
            float *row = l->weights + o * (size_t)l->c + part.begin;
            for (size_t q = 0; q < part.inputs; ++q)
                row[q] = (float)(combine->weight[k] * part.weights[o * part.inputs + q]);
            bias[o] += combine->weight[k] * part.biases[o];
        }
        drop(&part);
    }
    for (int o = 0; o < l->n; ++o) l->biases[o] = (float)bias[o];
    free(bias);
}

/* The number of l that is made of number i of the part's weights. */
static double place_of(const layer *l, const part *part, size_t i)
{
    return l->weights[i / part->inputs * (size_t)l->c + part->begin + i % part->inputs];
}

/* What teacher k's weights are multiplied by in those of l; below 0: they are not this teacher's. */
static double found_weight(const model *model, const layer *l, int k)
{
    part part = part_of(model, k);
    size_t largest = 0, n = part.classes * part.inputs;
    for (size_t i = 1; i < n; ++i)
        if (fabsf(part.weights[i]) > fabsf(part.weights[largest])) largest = i;
    double most = part.weights[largest], weight = 0;
    if (most != 0) weight = place_of(l, &part, largest) / most;
    for (size_t i = 0; i < n; ++i) {
        double there = place_of(l, &part, i);
        if (!(fabs(there - weight * part.weights[i]) <= 1e-5 * weight * fabs(most))) weight = -1;
    }
    drop(&part);
    return weight > 0 ? weight : -1;
}

/* Says that the file has other weights= than the cfg, or that its classifiers are not the teachers'; 0, or -1. */
static int other_weights(const model *model, const layer *l, const char *weights, diag *d)
{
    const combining *combine = &model->low->combine;
    char text[MAX_TEACHERS * 16] = "";
    for (int k = 0; k < combine->heads; ++k) {
        double weight = found_weight(model, l, k);
        size_t at = strlen(text);
        snprintf(text + at, sizeof text - at, "%s%.4g", k ? "," : "", weight);
        if (weight > 0) continue;
        diag_error(d, weights, 0, NULL, "layer %d, the combined classifier, is not made of the teachers' classifiers",
                   combine->layer);
        diag_hint(d, "these weights were trained with other teachers, or another [teacher] eps=");
        return -1;
    }
    diag_warn(d, weights, 0, NULL, "was written with [teachers] weights=%s: those of the cfg count", text);
    return 0;
}

/* What the file should have is what is filled in again. */
int model_check_combined(model *model, const char *weights, diag *d)
{
    if (!model_combines(model)) return 0;
    const layer *l = &model->net->layers[model->low->combine.layer];
    size_t n = (size_t)l->nweights;
    float *read = mem_calloc(n, sizeof *read);
    memcpy(read, l->weights, n * sizeof *read);
    model_fill_combined(model);
    int differs = memcmp(read, l->weights, n * sizeof *read) != 0;
    layer file = *l;
    file.weights = read;
    int failed = differs ? other_weights(model, &file, weights, d) : 0;
    free(read);
    return failed;
}

/* ---- what the teachers themselves would answer so ---- */

/* The weighted mean of their class scores, of the last run: (batch, classes), into out. */
void model_teachers_scores(const model *model, float *out)
{
    const combining *combine = &model->low->combine;
    size_t n = (size_t)model->net->batch * (size_t)model->net->layers[combine->layer].n;
    memset(out, 0, n * sizeof *out);
    for (int k = 0; k < combine->heads; ++k) {
        const teacher *teacher = model->teacher[model->low->head[combine->head[k]].teacher];
        const float *scores = teacher_feature(teacher, teacher->spec->answer);
        for (size_t i = 0; i < n; ++i) out[i] += (float)combine->weight[k] * scores[i];
    }
}
