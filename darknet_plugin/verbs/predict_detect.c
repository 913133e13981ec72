/* Predicting with detectors (see predict_detect.h): an image goes through the network, or through teacher and student; what
 * they find is printed and drawn. Images are letterboxed, as stock `darknet detector test` does, or stretched. */
#include "predict_detect.h"

#include "darknet_plugin/data/augment.h"
#include "detect_draw.h"
#include "darknet_plugin/model/evaluate_detect.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/base/mem.h"
#include "results.h"
#include "weights_tools/file/weights_file.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { SMALL = 256 };                         /* pixels of a picture's longer side */
static const float DEFAULT_THRESHOLD = .5f;   /* stock `detector test` */

typedef struct predictor {
    const options *o;
    model *m;
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

static void look(predictor *p, const image_rgb *im, found *f)
{
    const net_shape *s = p->m->low->shape;
    image_place place;
    *f = (found){ 0 };
    augment_fit(im->pixels, im->w, im->h, s->c, !p->how.letterbox, p->x, s->w, s->h, &place);
    model_predict(p->m, p->x);
    detect_image(&p->student, 0, im->w, im->h, &p->how, 0, &f->student);
    if (!p->o->side_by_side) return;
    model_run_teachers(p->m, p->x, 1);
    detect_image(&p->teacher, 0, im->w, im->h, &p->how, 0, &f->teacher);
}

static void forget(found *f)
{
    detect_list_free(&f->student);
    detect_list_free(&f->teacher);
}

/* ---- words ---- */

static void print_boxes(const predictor *p, const char *who, const detect_list *l, const image_rgb *im)
{
    char buf[16];
    for (size_t i = 0; i < l->n; ++i) {
        const detect_box *b = &l->box[i];
        fprintf(p->o->out, "%s%s: %.0f%%  left %.0f top %.0f width %.0f height %.0f\n", who, data_file_class(p->file, b->label, buf, sizeof buf),
                100. * (double)b->probability, ((double)b->x - (double)b->w / 2) * im->w, ((double)b->y - (double)b->h / 2) * im->h,
                (double)b->w * im->w, (double)b->h * im->h);
    }
}

static cJSON *boxes_json(const predictor *p, const detect_list *l)
{
    cJSON *list = cJSON_CreateArray();
    char buf[16];
    for (size_t i = 0; i < l->n; ++i) {
        const detect_box *b = &l->box[i];
        const struct { const char *key; double value; } rows[] = {
            { "class", b->label }, { "probability", (double)b->probability }, { "x", (double)b->x }, { "y", (double)b->y },
            { "w", (double)b->w }, { "h", (double)b->h },
        };
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "name", data_file_class(p->file, b->label, buf, sizeof buf));
        for (size_t k = 0; k < sizeof rows / sizeof *rows; ++k) cJSON_AddNumberToObject(o, rows[k].key, rows[k].value);
        cJSON_AddItemToArray(list, o);
    }
    return list;
}

static void tell(const predictor *p, const char *input, int frame, const image_rgb *im, const found *f)
{
    if (!p->list) {
        if (frame >= 0) fprintf(p->o->out, "%s frame %d\n", input, frame);
        else fprintf(p->o->out, "%s\n", input);
        if (p->o->side_by_side) print_boxes(p, "teacher  ", &f->teacher, im);
        print_boxes(p, p->o->side_by_side ? "student  " : "", &f->student, im);
        return;
    }
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "image", input);
    if (frame >= 0) cJSON_AddNumberToObject(o, "frame", frame);
    cJSON_AddNumberToObject(o, "width", im->w);
    cJSON_AddNumberToObject(o, "height", im->h);
    cJSON_AddItemToObject(o, "boxes", boxes_json(p, &f->student));
    if (p->o->side_by_side) cJSON_AddItemToObject(o, "teacher_boxes", boxes_json(p, &f->teacher));
    cJSON_AddItemToArray(p->list, o);
}

/* ---- pictures ---- */

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

/* `im` becomes the picture to show; its pixels may be others afterwards. */
static int draw(const predictor *p, image_rgb *im, const found *f)
{
    enlarge(im);
    char *const *name = p->file->name;
    int classes = p->file->classes;
    image_rgb left = *im, both;
    if (!p->o->side_by_side) return detect_draw(im->pixels, im->w, im->h, f->student.box, f->student.n, p->how.threshold, name, classes) < 0 ? -1 : 0;
    size_t bytes = 3 * (size_t)im->w * (size_t)im->h;
    left.pixels = mem_calloc(bytes, 1);
    memcpy(left.pixels, im->pixels, bytes);
    int failed = detect_draw(left.pixels, left.w, left.h, f->teacher.box, f->teacher.n, p->how.threshold, name, classes) < 0
              || detect_draw(im->pixels, im->w, im->h, f->student.box, f->student.n, p->how.threshold, name, classes) < 0
              || image_side_by_side(&left, im, "teacher", "student", &both);
    free(left.pixels);
    if (failed) return -1;
    free(im->pixels);
    *im = both;
    return 0;
}

/* The caller frees. */
static char *out_path(const predictor *p, const char *input, const char *ending)
{
    const char *slash = strrchr(input, '/'), *base = slash ? slash + 1 : input, *dot = strrchr(base, '.');
    if (!p->folder) return mem_strdup(p->out);
    return mem_printf("%s/%.*s%s", p->out, dot && dot != base ? (int)(dot - base) : (int)strlen(base), base, ending);
}

static int predict_image(predictor *p, const char *input, diag *d)
{
    char why[256];
    image_rgb im = { 0 };
    found f;
    if (image_decode(input, 3, &im.pixels, &im.w, &im.h, why, sizeof why)) {
        diag_error(d, input, 0, NULL, "cannot read this image: %s", why);
        return -1;
    }
    look(p, &im, &f);
    tell(p, input, -1, &im, &f);
    char *path = out_path(p, input, ".jpg");
    int failed = draw(p, &im, &f);
    if (failed) diag_error(d, input, 0, NULL, "cannot draw into this picture");
    else failed = image_save(path, im.pixels, im.w, im.h, 3, d);
    if (!failed && !p->list) fprintf(p->o->out, "drawn in %s\n", path);
    free(path);
    free(im.pixels);
    forget(&f);
    return failed;
}

/* ---- videos ---- */

static int is_video(const char *input)
{
    static const char *const endings[] = { ".mp4", ".avi", ".mkv", ".mov", ".webm", ".mpg", ".mpeg" };
    const char *dot = strrchr(input, '.'), *c = input;
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; ++i)
        if (!strcasecmp(dot, endings[i])) return 1;
    while (isdigit((unsigned char)*c)) ++c;
    return c > input && !*c;
}

static int add_frame(predictor *p, const char *input, int number, image_rgb *im, video_out **out, const char *path, double fps, diag *d)
{
    char why[256] = "";
    found f;
    look(p, im, &f);
    tell(p, input, number, im, &f);
    int failed = draw(p, im, &f);
    if (!failed && !*out) *out = video_create(path, im->w, im->h, fps, why, sizeof why);
    failed = failed || !*out || video_add(*out, im->pixels, why, sizeof why);
    if (failed) diag_error(d, path, 0, NULL, "cannot write this video: %s", why);
    forget(&f);
    return failed;
}

static int predict_video(predictor *p, const char *input, diag *d)
{
    char why[256];
    video_in *in = video_open(input, why, sizeof why);
    if (!in) {
        diag_error(d, input, 0, NULL, "cannot open this video: %s", why);
        return -1;
    }
    char *path = out_path(p, input, ".avi");
    video_out *out = NULL;
    image_rgb im;
    int frames = 0, got = 0, failed = 0;
    while (!failed && (!p->o->limit || frames < p->o->limit) && (got = video_next(in, &im, why, sizeof why)) > 0) {
        failed = add_frame(p, input, frames++, &im, &out, path, video_fps(in), d);
        free(im.pixels);
    }
    if (got < 0) diag_error(d, input, 0, NULL, "cannot read this video: %s", why);
    failed = failed || got < 0;
    if (out && video_finish(out, !failed, why, sizeof why)) {
        diag_error(d, path, 0, NULL, "cannot write this video: %s", why);
        failed = 1;
    }
    if (!failed && !p->list) fprintf(p->o->out, "%d frames, drawn in %s\n", frames, path);
    video_close(in);
    free(path);
    return failed;
}

/* ---- all of them ---- */

/* One input goes to a file, several to a folder. */
static int choose_out(predictor *p, diag *d)
{
    struct stat st;
    int several = p->o->n > 4, video = !several && is_video(p->o->arg[3]);
    p->out = p->o->cache_out ? p->o->cache_out : several ? "predictions" : video ? "predictions.avi" : "predictions.jpg";
    p->folder = several || (!stat(p->out, &st) && S_ISDIR(st.st_mode));
    return several ? weights_make_folder(p->out, d) : 0;
}

static int open_heads(predictor *p, diag *d)
{
    if (detect_student_heads(p->m, 0, &p->student, d)) return -1;
    return p->o->side_by_side && detect_teacher_heads(p->m, 0, &p->teacher, d) ? -1 : 0;
}

int predict_detector(const options *o, model *m, const data_file *f, diag *d)
{
    predictor p = { .o = o, .m = m, .file = f };
    p.how = (detect_options){ .threshold = options_given(o, "thresh") ? (float)o->threshold : DEFAULT_THRESHOLD, .nms = .45f,
                              .letterbox = !m->low->augment.stretch };
    cJSON *object = o->json ? cJSON_CreateObject() : NULL;
    if (object) p.list = cJSON_AddArrayToObject(object, "predictions");
    int failed = choose_out(&p, d) || open_heads(&p, d);
    p.x = mem_calloc((size_t)m->net->inputs, sizeof *p.x);
    for (int i = 3; !failed && i < o->n; ++i) failed |= is_video(o->arg[i]) ? predict_video(&p, o->arg[i], d) : predict_image(&p, o->arg[i], d);
    if (object && !failed) failed = json_print(object, o->out, d);
    else cJSON_Delete(object);
    detect_heads_free(&p.student);
    detect_heads_free(&p.teacher);
    free(p.x);
    return failed;
}
