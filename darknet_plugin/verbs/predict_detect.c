/* Predicting with detectors (see predict_detect.h): an image goes through the network, or through teacher and student;
 * what they find is printed and drawn. Images are letterboxed, as stock `darknet detector test` does, or stretched. */
#include "predict_detect.h"

#include "detect_draw.h"
#include "results.h"

#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/out_file.h"
#include "darknet_plugin/base/path.h"
#include "darknet_plugin/data/augment.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/model/evaluate_detect.h"
#include "weights_tools/file/weights_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SMALL = 256, NO_FRAME = -1 };          /* SMALL: pixels of a picture's longer side */
static const float DEFAULT_THRESHOLD = .5f;   /* stock `detector test` */

typedef struct predictor {
    const options *options;
    model *model;
    const data_file *file;
    detect_heads student, teacher;
    detect_options how;
    float *x;                /* (c, h, w), owned */
    const char *out;         /* picture, video or folder */
    int folder;              /* it is one */
    cJSON *list;             /* NULL: text */
} predictor;

/* What one picture gave. */
typedef struct found {
    detect_list student, teacher;
} found;

/* Runs the network, and the teacher where both are shown, on one picture; its boxes are the caller's to forget. */
static void look(predictor *predictor, const image_rgb *im, found *boxes)
{
    const net_shape *shape = predictor->model->low->shape;
    image_place place;
    *boxes = (found){ 0 };
    int stretched = !predictor->how.letterbox;
    augment_fit(im->pixels, im->w, im->h, shape->c, stretched, predictor->x, shape->w, shape->h, &place);
    model_predict(predictor->model, predictor->x);
    detect_image(&predictor->student, 0, im->w, im->h, &predictor->how, 0, &boxes->student);
    if (!predictor->options->side_by_side) return;
    model_run_teachers(predictor->model, predictor->x, 1);
    detect_image(&predictor->teacher, 0, im->w, im->h, &predictor->how, 0, &boxes->teacher);
}

static void forget(found *found)
{
    detect_list_free(&found->student);
    detect_list_free(&found->teacher);
}

/* ---- words ---- */

static const char *name_of(const predictor *predictor, const detect_box *box, char buf[16])
{
    return data_file_class(predictor->file, box->label, buf, 16);
}

static void print_boxes(const predictor *predictor, const char *who, const detect_list *list, const image_rgb *im)
{
    char buf[16];
    for (size_t i = 0; i < list->n; ++i) {
        const detect_box *box = &list->box[i];
        double x = (double)box->x, y = (double)box->y, w = (double)box->w, h = (double)box->h;
        fprintf(predictor->options->out, "%s%s: %.0f%%  left %.0f top %.0f width %.0f height %.0f\n", who,
                name_of(predictor, box, buf), 100. * (double)box->probability,
                (x - w / 2) * im->w, (y - h / 2) * im->h, w * im->w, h * im->h);
    }
}

/* One box, in parts of the image. */
static cJSON *box_json(const predictor *predictor, const detect_box *box)
{
    char buf[16];
    const struct { const char *key; double value; } rows[] = {
        { "class", box->label }, { "probability", (double)box->probability },
        { "x", (double)box->x }, { "y", (double)box->y }, { "w", (double)box->w }, { "h", (double)box->h },
    };
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "name", name_of(predictor, box, buf));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        cJSON_AddNumberToObject(object, rows[i].key, rows[i].value);
    return object;
}

static cJSON *boxes_json(const predictor *predictor, const detect_list *boxes)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < boxes->n; ++i) cJSON_AddItemToArray(list, box_json(predictor, &boxes->box[i]));
    return list;
}

/* What tell prints, for scripts. */
static cJSON *found_json(const predictor *predictor, const char *input, int frame, const image_rgb *im,
                         const found *found)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "image", input);
    if (frame != NO_FRAME) cJSON_AddNumberToObject(object, "frame", frame);
    cJSON_AddNumberToObject(object, "width", im->w);
    cJSON_AddNumberToObject(object, "height", im->h);
    cJSON_AddItemToObject(object, "boxes", boxes_json(predictor, &found->student));
    if (predictor->options->side_by_side)
        cJSON_AddItemToObject(object, "teacher_boxes", boxes_json(predictor, &found->teacher));
    return object;
}

/* frame: its number in a video, or NO_FRAME. */
static void tell(const predictor *predictor, const char *input, int frame, const image_rgb *im, const found *found)
{
    const options *options = predictor->options;
    if (predictor->list) {
        cJSON_AddItemToArray(predictor->list, found_json(predictor, input, frame, im, found));
        return;
    }
    if (frame != NO_FRAME) fprintf(options->out, "%s frame %d\n", input, frame);
    else fprintf(options->out, "%s\n", input);
    if (options->side_by_side) print_boxes(predictor, "teacher  ", &found->teacher, im);
    print_boxes(predictor, options->side_by_side ? "student  " : "", &found->student, im);
}

/* ---- pictures ---- */

/* By its name; a number is a camera's. */
static int is_video(const char *input)
{
    static const char *const endings[] = { ".mp4", ".avi", ".mkv", ".mov", ".webm", ".mpg", ".mpeg" };
    size_t digits = strspn(input, "0123456789");
    return path_ends_in(input, endings, sizeof endings / sizeof *endings) || (digits && !input[digits]);
}

static const char *ending_of(const char *input) { return is_video(input) ? ".avi" : ".jpg"; }

/* Small pictures are shown larger by a whole factor: labels would cover them. */
static void enlarge(image_rgb *im)
{
    int longer = im->w > im->h ? im->w : im->h, k = longer < SMALL ? (2 * SMALL + longer - 1) / longer : 1;
    if (k < 2) return;
    size_t w = (size_t)(im->w * k), h = (size_t)(im->h * k);
    uint8_t *large = mem_calloc(3 * w * h, 1);
    for (size_t y = 0; y < h; ++y)
        for (size_t x = 0; x < w; ++x)
            memcpy(large + 3 * (y * w + x), im->pixels + 3 * (y / (size_t)k * (size_t)im->w + x / (size_t)k), 3);
    free(im->pixels);
    *im = (image_rgb){ large, (int)w, (int)h };
}

static int draw_boxes(const predictor *predictor, const image_rgb *im, const detect_list *list)
{
    const data_file *file = predictor->file;
    float threshold = predictor->how.threshold;
    int drawn = detect_draw(im->pixels, im->w, im->h, list->box, list->n, threshold, file->name, file->classes);
    return drawn < 0 ? -1 : 0;
}

/* `im` becomes the picture to show; its pixels may be others afterwards. */
static int draw(const predictor *predictor, image_rgb *im, const found *found)
{
    enlarge(im);
    if (!predictor->options->side_by_side) return draw_boxes(predictor, im, &found->student);
    image_rgb left = *im, both;
    size_t bytes = 3 * (size_t)im->w * (size_t)im->h;
    left.pixels = mem_calloc(bytes, 1);
    memcpy(left.pixels, im->pixels, bytes);
    int failed = draw_boxes(predictor, &left, &found->teacher) || draw_boxes(predictor, im, &found->student) ||
                 image_side_by_side(&left, im, "teacher", "student", &both);
    free(left.pixels);
    if (failed) return -1;
    free(im->pixels);
    *im = both;
    return 0;
}

/* The caller frees. */
static char *out_path(const predictor *predictor, const char *input)
{
    if (!predictor->folder) return mem_strdup(predictor->out);
    char *stem = path_stem(input), *path = mem_printf("%s/%s%s", predictor->out, stem, ending_of(input));
    free(stem);
    return path;
}

/* Looks at one picture, tells what is in it and draws that. */
static int predict_image(predictor *predictor, const char *input, diag *d)
{
    char why[256];
    image_rgb im = { 0 };
    found found;
    if (image_decode(input, 3, &im.pixels, &im.w, &im.h, why, sizeof why)) {
        diag_error(d, input, 0, NULL, "cannot read this image: %s", why);
        return -1;
    }
    look(predictor, &im, &found);
    tell(predictor, input, NO_FRAME, &im, &found);
    char *path = out_path(predictor, input);
    int failed = draw(predictor, &im, &found);
    if (failed) diag_error(d, input, 0, NULL, "cannot draw into this picture");
    else failed = image_save(path, im.pixels, im.w, im.h, 3, d);
    if (!failed && !predictor->list) fprintf(predictor->options->out, "drawn in %s\n", path);
    free(path);
    free(im.pixels);
    forget(&found);
    return failed;
}

/* ---- videos ---- */

/* A video on its way from `input` to `path`. */
typedef struct video_job {
    const char *input, *path;    /* borrowed */
    video_in *in;
    video_out *out;              /* NULL before the first frame, whose size it gets */
    int frames;
} video_job;

/* Looks at one frame, whose pixels may be others afterwards, and adds it to the video. */
static int add_frame(predictor *predictor, video_job *video, image_rgb *im, diag *d)
{
    char why[256] = "";
    found found;
    look(predictor, im, &found);
    tell(predictor, video->input, video->frames++, im, &found);
    int failed = draw(predictor, im, &found);
    if (!failed && !video->out)
        video->out = video_create(video->path, im->w, im->h, video_fps(video->in), why, sizeof why);
    failed = failed || !video->out || video_add(video->out, im->pixels, why, sizeof why);
    if (failed) diag_error(d, video->path, 0, NULL, "cannot write this video: %s", why);
    forget(&found);
    return failed;
}

/* To the end of the video, or -limit. */
static int add_frames(predictor *predictor, video_job *video, diag *d)
{
    int most = predictor->options->limit, got = 0, failed = 0;
    char why[256];
    image_rgb im;
    while (!failed && (!most || video->frames < most) && (got = video_next(video->in, &im, why, sizeof why)) > 0) {
        failed = add_frame(predictor, video, &im, d);
        free(im.pixels);
    }
    if (got < 0) diag_error(d, video->input, 0, NULL, "cannot read this video: %s", why);
    return failed || got < 0;
}

/* Looks at every frame and draws a video of them; one that failed is thrown away. */
static int predict_video(predictor *predictor, const char *input, diag *d)
{
    char why[256], *path = out_path(predictor, input);
    video_job video = { .input = input, .path = path, .in = video_open(input, why, sizeof why) };
    int failed = !video.in;
    if (failed) diag_error(d, input, 0, NULL, "cannot open this video: %s", why);
    else failed = add_frames(predictor, &video, d);
    if (video.out && video_finish(video.out, !failed, why, sizeof why)) {
        diag_error(d, path, 0, NULL, "cannot write this video: %s", why);
        failed = 1;
    }
    if (!failed && !predictor->list)
        fprintf(predictor->options->out, "%d frames, drawn in %s\n", video.frames, path);
    if (video.in) video_close(video.in);
    free(path);
    return failed ? -1 : 0;
}

/* ---- all of them ---- */

static const char *default_out(const options *options)
{
    if (options->n > 4) return "predictions";
    return is_video(options->arg[3]) ? "predictions.avi" : "predictions.jpg";
}

/* Pictures and videos that would be written, against all that is read and against each other. */
static int check_outs(const predictor *predictor, diag *d)
{
    const options *options = predictor->options;
    int n = options->n - 3;
    char **path = mem_calloc((size_t)n, sizeof *path);
    for (int i = 0; i < n; ++i) {
        const char *input = options->arg[3 + i];
        in_file_note(input, d);
        path[i] = out_path(predictor, input);
    }
    int bad = out_file_check((const char *const *)path, n, d);
    for (int i = 0; i < n; ++i) free(path[i]);
    free(path);
    return bad;
}

/* One input goes to a file, several to a folder. */
static int choose_out(predictor *predictor, diag *d)
{
    const options *options = predictor->options;
    struct stat st;
    int several = options->n > 4;
    predictor->out = options->cache_out ? options->cache_out : default_out(options);
    predictor->folder = several || (!stat(predictor->out, &st) && S_ISDIR(st.st_mode));
    if (check_outs(predictor, d)) return -1;
    return several ? weights_make_folder(predictor->out, d) : 0;
}

static int open_heads(predictor *predictor, diag *d)
{
    int teacher = predictor->model->teacher ? lower_speaker(predictor->model->low) : 0;
    if (detect_student_heads(predictor->model, teacher, &predictor->student, d)) return -1;
    if (!predictor->options->side_by_side) return 0;
    return detect_teacher_heads(predictor->model, teacher, &predictor->teacher, d);
}

static int predict_all(predictor *predictor, diag *d)
{
    const options *options = predictor->options;
    int failed = 0;
    for (int i = 3; i < options->n; ++i) {
        const char *input = options->arg[i];
        failed |= is_video(input) ? predict_video(predictor, input, d) : predict_image(predictor, input, d);
    }
    return failed;
}

int predict_detector(const options *options, model *model, const data_file *file, diag *d)
{
    float threshold = options_given(options, "thresh") ? (float)options->threshold : DEFAULT_THRESHOLD;
    predictor predictor = {
        .options = options, .model = model, .file = file, .x = mem_calloc((size_t)model->net->inputs, sizeof(float)),
        .how = { .threshold = threshold, .nms = .45f, .letterbox = model->low->augment.fit != FIT_STRETCH },
    };
    cJSON *object = options->json ? cJSON_CreateObject() : NULL;
    if (object) predictor.list = cJSON_AddArrayToObject(object, "predictions");
    int failed = choose_out(&predictor, d) || open_heads(&predictor, d);
    if (failed) cJSON_Delete(object);
    else {
        if (!object) fprintf(options->out, "images are %s\n", model_fit_text(model));
        failed = predict_all(&predictor, d);
        if (object) cJSON_AddStringToObject(object, "fit", augment_fit_name(model->low->augment.fit));
        if (object) failed |= json_print(object, options->out, d);
    }
    detect_heads_free(&predictor.student);
    detect_heads_free(&predictor.teacher);
    free(predictor.x);
    return failed;
}
