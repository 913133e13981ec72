/* `darknet distill predict DATA CFG WEIGHTS IMAGE...`: the likeliest classes of images, cropped as in training, or as
 * -fit says; of a detector boxes (predict_detect.c). */
#include "device.h"
#include "predict_detect.h"
#include "results.h"
#include "verb_fit.h"

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

static const char *name_of(const prediction *prediction, int class, char buf[16])
{
    return data_file_class(prediction->file, class, buf, 16);
}

static void print_answer(const prediction *prediction, const char *image, const float *answer, const int *best,
                         FILE *out)
{
    char buf[16];
    fprintf(out, "%s\n", image);
    for (int k = 0; k < prediction->top; ++k)
        fprintf(out, "%6.2f%%: %s\n", 100 * (double)answer[best[k]], name_of(prediction, best[k], buf));
}

/* The same for scripts. */
static cJSON *answer_json(const prediction *prediction, const char *image, const float *answer, const int *best)
{
    char buf[16];
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "image", image);
    cJSON *list = cJSON_AddArrayToObject(object, "classes");
    for (int k = 0; k < prediction->top; ++k) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "class", best[k]);
        cJSON_AddStringToObject(one, "name", name_of(prediction, best[k], buf));
        cJSON_AddNumberToObject(one, "probability", (double)answer[best[k]]);
        cJSON_AddItemToArray(list, one);
    }
    return object;
}

/* The network's answer to an image; NULL after reporting that it cannot be read. */
static const float *ask(prediction *prediction, const char *image, diag *d)
{
    const net_shape *shape = prediction->model->low->shape;
    uint8_t *pixels;
    int w, h;
    char why[256];
    if (image_decode(image, shape->c, &pixels, &w, &h, why, sizeof why)) {
        diag_error(d, image, 0, NULL, "cannot read this image: %s", why);
        return NULL;
    }
    image_fit fit = prediction->model->low->augment.fit;
    augment_still(pixels, w, h, shape->c, fit, prediction->x, shape->w, shape->h);
    free(pixels);
    return model_predict(prediction->model, prediction->x);
}

static int predict_image(prediction *prediction, const char *image, cJSON *list, FILE *out, diag *d)
{
    const float *answer = ask(prediction, image, d);
    if (!answer) return -1;
    int *best = mem_calloc((size_t)prediction->top, sizeof *best);
    find_top(answer, prediction->model->classes, best, prediction->top);
    if (list) cJSON_AddItemToArray(list, answer_json(prediction, image, answer, best));
    else print_answer(prediction, image, answer, best, out);
    free(best);
    return 0;
}

static int predict_all(options *options, prediction *prediction, diag *d)
{
    cJSON *object = options->json ? cJSON_CreateObject() : NULL;
    cJSON *list = object ? cJSON_AddArrayToObject(object, "predictions") : NULL;
    int failed = 0;
    if (!object) fprintf(options->out, "images are %s\n", model_fit_text(prediction->model));
    for (int i = 3; i < options->n; ++i) failed |= predict_image(prediction, options->arg[i], list, options->out, d);
    if (object) cJSON_AddStringToObject(object, "fit", augment_fit_name(prediction->model->low->augment.fit));
    if (object) failed |= json_print(object, options->out, d);
    return failed;
}

static int predict_classes(options *options, prediction *prediction, diag *d)
{
    const model *model = prediction->model;
    int top = options->top ? options->top : prediction->file->top;
    prediction->top = top > model->classes ? model->classes : top;
    prediction->x = mem_calloc((size_t)model->net->batch * (size_t)model->net->inputs, sizeof *prediction->x);
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

/* What cannot be wanted of this network is refused before its weights are read. */
static int check_kind(const options *options, model *model, diag *d)
{
    if (model_fit(model, options->fit, d)) return -1;
    if (!model_is_detector(model)) return refuse_detector_flags(options, model, d);
    if (!options->side_by_side || model->teacher) return 0;
    if (options->from_labels) diag_error(d, NULL, 0, NULL, "'-from-labels' has no teacher to put '-side-by-side'");
    else diag_error(d, options->arg[1], 0, NULL, "has no [teacher] to put beside it");
    return -1;
}

static int predict(options *options, prediction *prediction, diag *d)
{
    model *model = prediction->model;
    verb_take_fit(options, options->arg[1], options->arg[2]);
    if (check_kind(options, model, d) || model_load_whole(model, options->arg[2], d)) return -1;
    if (model_fits_classes(model, prediction->file, d)) return -1;
    if (model_is_detector(model)) return predict_detector(options, model, prediction->file, d);
    return predict_classes(options, prediction, d);
}

/* The deployed network; beside the teacher the one that is trained. */
static int run(options *options, diag *d)
{
    lower_mode mode = options->from_labels ? LOWER_LABELS : LOWER_DEPLOY;
    if (options->side_by_side && !options->from_labels) mode = LOWER_TRAIN;
    model_options how = { .threads = options->threads, .batch = 1, .mode = mode };
    if (device_backend(options, &how.backend, d)) return -1;
    data_file *file = data_file_read(options->arg[0], d);
    prediction prediction = { .file = file, .model = file ? model_open(options->arg[1], &how, d) : NULL };
    int failed = !prediction.model || predict(options, &prediction, d);
    model_close(prediction.model);
    data_file_free(file);
    return failed;
}

const verb verb_predict = {
    .name = "predict", .arguments = "DATA CFG WEIGHTS IMAGE...", .min = 4, .max = MAX_POSITIONAL, .run = run,
    .help = "classify images, or find objects in them",
    .example = "predict my.data student.cfg backup/student_final.weights photo.jpg -t 3",
    .flags = { "json", "threads", "backend", "out", "thresh", "side-by-side", "fit", "limit", "from-labels", "gpus",
               "nogpu", "t" },
};
