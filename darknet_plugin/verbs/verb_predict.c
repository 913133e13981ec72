/* `darknet distill predict DATA CFG WEIGHTS IMAGE...`: the likeliest classes of images, prepared (letterboxed) as stock
 * `darknet classifier predict` does; of a detector boxes (predict_detect.c). */
#include "device.h"
#include "predict_detect.h"
#include "results.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/data/augment.h"
#include "darknet_plugin/data/image_io.h"

#include <stdlib.h>

typedef struct prediction {
    model *model;
    const data_file *file;
    int top;
    float *x;                /* (batch, c, h, w), owned; only the first image counts */
} prediction;

/* Numbers of the `top` largest of n answers, largest first. */
static void find_top(const float *answer, int n, int *best, int top)
{
    for (int k = 0; k < top; ++k) {
        best[k] = -1;
        for (int i = 0; i < n; ++i) {
            int taken = 0;
            for (int j = 0; j < k; ++j) taken |= best[j] == i;
            if (!taken && (best[k] < 0 || answer[i] > answer[best[k]])) best[k] = i;
        }
    }
}

static void print_answer(const prediction *prediction, const char *image, const float *answer, const int *best,
                         FILE *out)
{
    char buf[16];
    fprintf(out, "%s\n", image);
    for (int k = 0; k < prediction->top; ++k)
        fprintf(out, "%6.2f%%: %s\n", 100 * (double)answer[best[k]], data_file_class(prediction->file, best[k], buf,
            sizeof buf));
}

static cJSON *answer_json(const prediction *prediction, const char *image, const float *answer, const int *best)
{
    char buf[16];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "image", image);
    cJSON *list = cJSON_AddArrayToObject(o, "classes");
    for (int k = 0; k < prediction->top; ++k) {
        cJSON *c = cJSON_CreateObject();
        cJSON_AddNumberToObject(c, "class", best[k]);
        cJSON_AddStringToObject(c, "name", data_file_class(prediction->file, best[k], buf, sizeof buf));
        cJSON_AddNumberToObject(c, "probability", (double)answer[best[k]]);
        cJSON_AddItemToArray(list, c);
    }
    return o;
}

static int predict_image(prediction *prediction, const char *image, cJSON *list, FILE *out, diag *d)
{
    const net_shape *s = prediction->model->low->shape;
    uint8_t *pixels;
    int w, h;
    char why[256];
    if (image_decode(image, s->c, &pixels, &w, &h, why, sizeof why)) {
        diag_error(d, image, 0, NULL, "cannot read this image: %s", why);
        return -1;
    }
    augment_letterbox(pixels, w, h, s->c, prediction->x, s->w, s->h);
    free(pixels);
    const float *answer = model_predict(prediction->model, prediction->x);
    int *best = mem_calloc((size_t)prediction->top, sizeof *best);
    find_top(answer, prediction->model->classes, best, prediction->top);
    if (list) cJSON_AddItemToArray(list, answer_json(prediction, image, answer, best));
    else print_answer(prediction, image, answer, best, out);
    free(best);
    return 0;
}

static int predict_all(options *options, prediction *prediction, diag *d)
{
    cJSON *object = options->json ? cJSON_CreateObject() : NULL, *list = options->json ? cJSON_AddArrayToObject(object,
        "predictions") : NULL;
    int failed = 0;
    for (int i = 3; i < options->n; ++i) failed |= predict_image(prediction, options->arg[i], list, options->out, d);
    if (object) failed |= json_print(object, options->out, d);
    return failed;
}

static int predict_with(options *options, prediction *prediction, diag *d)
{
    network *net = prediction->model->net;
    if (model_load_whole(prediction->model, options->arg[2], d)) return -1;
    if (model_fits_classes(prediction->model, prediction->file, d)) return -1;
    prediction->top = options->top ? options->top : prediction->file->top;
    if (prediction->top > prediction->model->classes) prediction->top = prediction->model->classes;
    prediction->x = mem_calloc((size_t)net->batch * (size_t)net->inputs, sizeof *prediction->x);
    int failed = predict_all(options, prediction, d);
    free(prediction->x);
    return failed;
}

/* Flags that mean something to detectors only. */
static int refuse_detector_flags(const options *options, const model *model, diag *d)
{
    static const char *const flags[] = { "thresh", "side-by-side", "out" };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; ++i) {
        if (!options_given(options, flags[i])) continue;
        diag_error(d, NULL, 0, NULL, "'-%s' is for detectors, %s is none", flags[i], model->low->source->path);
        return -1;
    }
    return 0;
}

static int predict_by_kind(options *options, prediction *prediction, diag *d)
{
    model *m = prediction->model;
    if (model_fit(m, options->fit, d)) return -1;
    if (!model_is_detector(m)) return refuse_detector_flags(options, m, d) || predict_with(options, prediction, d)
        ? -1 : 0;
    if (options->side_by_side && !m->teacher) {
        diag_error(d, options->arg[1], 0, NULL, "has no [teacher] to put beside it");
        return -1;
    }
    return model_load_whole(m, options->arg[2], d) || model_fits_classes(m, prediction->file, d) ||
        predict_detector(options, m, prediction->file, d) ? -1 : 0;
}

static int run(options *options, diag *d)
{
    model_options mo = { .threads = options->threads, .batch = 1, .mode = options->side_by_side ? LOWER_TRAIN
                         : LOWER_DEPLOY };
    if (device_backend(options, &mo.backend, d)) return -1;
    data_file *f = data_file_read(options->arg[0], d);
    prediction p = { .file = f, .model = f ? model_open(options->arg[1], &mo, d) : NULL };
    int failed = !p.model || predict_by_kind(options, &p, d);
    model_close(p.model);
    data_file_free(f);
    return failed;
}

const verb verb_predict = {
    .name = "predict", .arguments = "DATA CFG WEIGHTS IMAGE...", .min = 4, .max = MAX_POSITIONAL, .run = run,
    .help = "classify images, or find objects in them",
    .flags = { "json", "threads", "backend", "out", "thresh", "side-by-side", "fit", "limit", "gpus", "nogpu",
               "t" },
};
