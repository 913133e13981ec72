/* Comparing boxes (see verify_boxes.h). Each side's boxes are looked for on the other: the nearest of the same class
 * counts, and those so near the threshold that rounding decides are looked for only. The images have the network's
 * size, so that nobody letterboxes anything. */
#include "verify_boxes.h"

#include "darknet_plugin/model/evaluate_detect.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/temp_folder.h"
#include "verify_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const float ABOVE = .25f;          /* OpenCV keeps nothing below .2 */
static const float STOCK_NMS = .45f, OPENCV_NMS = .4f, NEARLY = 1e-3f;
enum { STOCK_LEAST = 4 };                 /* images: the stock program starts four threads, whatever there is to do */
enum { ASKED, NOT_ASKED };                /* what asking a reader gives, or -1: it failed. `why` says why not */

/* ---- comparing ---- */

/* Of sides longer than the image's, part of the side: an untrained network's are exponentials of anything, thousands of
 * images wide, of which floats keep six digits. */
static double sides_apart(double side, double other) { return fabs(side - other) / fmax(1, side); }

static double apart(const detect_box *box, const detect_box *place)
{
    double x = fmax(fabs((double)box->x - (double)place->x), fabs((double)box->y - (double)place->y));
    double w = fmax(sides_apart(box->w, place->w), sides_apart(box->h, place->h));
    return fmax(fmax(x, w), fabs((double)box->probability - (double)place->probability));
}

/* How far the nearest box of the same image and class is; 1 if there is none. */
static double nearest(const detect_box *box, const detect_list *among)
{
    double best = 1;
    for (size_t i = 0; i < among->n; ++i) {
        const detect_box *other = &among->box[i];
        if (box->image == other->image && box->label == other->label) best = fmin(best, apart(box, other));
    }
    return best;
}

static void look_for(const detect_list *these, const detect_list *among, box_result *result)
{
    for (size_t i = 0; i < these->n; ++i) {
        if (these->box[i].probability <= ABOVE + BOX_BOUND) continue;
        double away = nearest(&these->box[i], among);
        ++result->boxes;
        if (!(away <= result->difference)) result->difference = away;
    }
}

/* ---- the training network ---- */

/* How boxes are thinned out: of those that cover one another by more than `nms` one stays, by 1 all do. The stock
 * program thins out those of all heads together, OpenCV those of a [region] for itself, and of a [yolo] none. */
typedef struct thinning {
    float nms;
    int opencv;
} thinning;

/* All boxes of entry b of the batch. */
static void find_in(const detect_heads *heads, const verify_job *job, const thinning *how, int b, int image,
                    detect_list *out)
{
    for (int h = 0; h < (how->opencv ? heads->n : 1); ++h) {
        detect_heads these = *heads;
        these.nms = NMS_IOU;     /* what those readers know */
        float nms = how->nms;
        if (how->opencv) {
            these.head = &heads->head[h];
            these.n = 1;
            if (these.head->l->type != REGION) nms = 1;
        }
        detect_options options = { .threshold = nms < 1 ? .005f : ABOVE, .nms = nms };
        detect_image(&these, b, job->w, job->h, &options, image, out);
    }
}

/* The same of all images, a batch at a time. */
static void find_boxes(model *model, const verify_job *job, const detect_heads *heads, thinning how,
                       detect_list *out)
{
    size_t bytes = verify_image_bytes(job);
    int batch = model->net->batch;
    float *x = mem_calloc((size_t)batch * bytes, sizeof *x);
    for (int i = 0; i < job->n; i += batch) {
        int n = job->n - i < batch ? job->n - i : batch;
        for (int b = 0; b < n; ++b)
            verify_planar(job->pixels + (size_t)(i + b) * bytes, job->c, job->h, job->w, x + (size_t)b * bytes);
        model_predict(model, x);
        for (int b = 0; b < n; ++b) find_in(heads, job, &how, b, i + b, out);
    }
    free(x);
}

/* ---- OpenCV ---- */

static void add_rows(const float *row, int rows, int classes, int image, detect_list *out)
{
    for (int i = 0; i < rows; ++i, row += 5 + classes)
        for (int k = 0; k < classes; ++k) {
            detect_box box = { .image = image, .label = k, .probability = row[5 + k],
                               .x = row[0], .y = row[1], .w = row[2], .h = row[3] };
            if (box.probability > ABOVE) detect_list_add(out, &box);
        }
}

/* Its boxes of every image; ASKED, NOT_ASKED or -1. */
static int ask_opencv(const verify_job *job, int classes, detect_list *out, box_result *result)
{
    if (verify_is_kept(job->not_opencv, result->why, sizeof result->why)) return NOT_ASKED;
    dnn_net *net = dnn_read_darknet(job->cfg, job->weights, result->why, sizeof result->why);
    float *x = mem_calloc(verify_image_bytes(job), sizeof *x), *rows;
    int failed = !net;
    for (int i = 0; !failed && i < job->n; ++i) {
        verify_planar(job->pixels + (size_t)i * verify_image_bytes(job), job->c, job->h, job->w, x);
        int got = dnn_forward_rows(net, x, job->c, job->h, job->w, 5 + classes, &rows, result->why, sizeof result->why);
        failed = got < 0;
        if (failed) continue;
        add_rows(rows, got, classes, i, out);
        free(rows);
    }
    if (net) dnn_free(net);
    free(x);
    return failed ? -1 : ASKED;
}

/* ---- the stock program ---- */

static int images_of(const verify_job *job) { return job->n < STOCK_LEAST ? STOCK_LEAST : job->n; }

static int write_files(const verify_job *job, int classes, const char *folder)
{
    char *data = mem_printf("valid=%s/list\nresults=%s\n", folder, folder);
    int failed = verify_write_stock_files(job, classes, images_of(job), data, folder);
    free(data);
    return failed;
}

/* The program in a process of its own, without a word. */
static int run_stock(const verify_job *job, const char *folder)
{
    char *data = mem_printf("%s/stock.data", folder);
    unfinished child;
    if (!unfinished_fork(&child)) {
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
        execl(VERIFY_STOCK_PROGRAM, VERIFY_STOCK_PROGRAM, "detector", "valid", data, job->cfg, job->weights,
              (char *)NULL);
        _exit(127);
    }
    free(data);
    return verify_wait(&child);
}

static char *class_file(const char *folder, int label)
{
    return mem_printf("%s/comp4_det_test_class%d.txt", folder, label);
}

/* A line is "image probability left top right bottom", in pixels counted from 1. -1: there is no such file. */
static int read_class(const verify_job *job, const char *folder, int label, detect_list *out)
{
    char *path = class_file(folder, label);
    FILE *file = fopen(path, "r");
    int image;
    float p, left, top, right, bottom, width = (float)job->w, height = (float)job->h;
    while (file && fscanf(file, "%d %f %f %f %f %f", &image, &p, &left, &top, &right, &bottom) == 6) {
        detect_box box = { .image = image, .label = label, .probability = p,
                           .x = ((left + right) / 2 - 1) / width, .y = ((top + bottom) / 2 - 1) / height,
                           .w = (right - left) / width, .h = (bottom - top) / height };
        if (image >= 0 && image < job->n && p > ABOVE) detect_list_add(out, &box);
    }
    free(path);
    return file ? fclose(file) : -1;
}

/* Writes its files, runs it, reads what it wrote. 0, or -1 and `why`. */
static int use_stock(const verify_job *job, int classes, const char *folder, detect_list *out, box_result *result)
{
    if (write_files(job, classes, folder)) {
        snprintf(result->why, sizeof result->why, "cannot write files for it: %s", strerror(errno));
        return -1;
    }
    if (run_stock(job, folder)) {
        snprintf(result->why, sizeof result->why, "failed on the exported network");
        return -1;
    }
    for (int i = 0; i < classes; ++i)
        if (read_class(job, folder, i, out)) {
            snprintf(result->why, sizeof result->why, "wrote no boxes of class %d", i);
            return -1;
        }
    return 0;
}

/* Its boxes of every image; ASKED, NOT_ASKED or -1. */
static int ask_stock(const verify_job *job, int classes, detect_list *out, box_result *result)
{
    if (verify_is_kept(job->not_darknet_boxes, result->why, sizeof result->why)) return NOT_ASKED;
    if (access(VERIFY_STOCK_PROGRAM, X_OK)) {
        snprintf(result->why, sizeof result->why, "not installed");
        return NOT_ASKED;
    }
    diag *unsaid = diag_new();
    temp_folder folder;
    int failed = temp_folder_make(&folder, unsaid);
    if (failed) snprintf(result->why, sizeof result->why, "%s", diag_get(unsaid, 0)->text);
    else failed = use_stock(job, classes, folder.path, out, result);
    temp_folder_remove(&folder);
    diag_free(unsaid);
    return failed ? -1 : ASKED;
}

/* The stock program cuts boxes at the image's border. */
static void cut_at_border(const verify_job *job, detect_list *list)
{
    for (size_t i = 0; i < list->n; ++i) {
        detect_box *b = &list->box[i];
        float left = fmaxf(b->x - b->w / 2, 0), top = fmaxf(b->y - b->h / 2, 0);
        float right = fminf(b->x + b->w / 2, 1 - 1.f / (float)job->w);
        float bottom = fminf(b->y + b->h / 2, 1 - 1.f / (float)job->h);
        b->x = (left + right) / 2;
        b->y = (top + bottom) / 2;
        b->w = right - left;
        b->h = bottom - top;
    }
}

/* ---- both ---- */

/* Adds to `out` those of `these` that are, or are not, among the others to the last digit. */
static void add_those(const detect_list *these, const detect_list *others, int among, detect_list *out)
{
    for (size_t i = 0; i < these->n; ++i)
        if ((nearest(&these->box[i], others) < 1e-6) == among) detect_list_add(out, &these->box[i]);
}

/* The training network's boxes, thinned out as the reader does it, against the reader's, both ways. Where two of them
 * cover one another by so nearly the limit that rounding decides, either may be there: what is left a little below the
 * limit and a little above must be, and nothing else may. */
static void compare(const verify_job *job, model *model, const detect_heads *heads, int stock,
                    const detect_list *theirs, box_result *result)
{
    const float limit = stock ? STOCK_NMS : OPENCV_NMS;
    detect_list below = { 0 }, above = { 0 }, must = { 0 }, may = { 0 };
    find_boxes(model, job, heads, (thinning){ limit - NEARLY, !stock }, &below);
    find_boxes(model, job, heads, (thinning){ limit + NEARLY, !stock }, &above);
    add_those(&below, &above, 1, &must);
    add_those(&below, &above, 0, &may);
    for (size_t i = 0; i < above.n; ++i) detect_list_add(&may, &above.box[i]);
    if (stock) cut_at_border(job, &must);
    if (stock) cut_at_border(job, &may);
    look_for(&must, theirs, result);
    look_for(theirs, &may, result);
    detect_list_free(&below);
    detect_list_free(&above);
    detect_list_free(&must);
    detect_list_free(&may);
    result->ran = 1;
}

/* One reader: asked, compared, judged. 0, or -1 with a message. */
static int verify_reader(const verify_job *job, model *model, const detect_heads *heads, int reader,
                         box_result *result, diag *d)
{
    detect_list theirs = { 0 };
    int stock = reader == BOX_STOCK;
    int status = (stock ? ask_stock : ask_opencv)(job, heads->classes, &theirs, result);
    if (status == ASKED) compare(job, model, heads, stock, &theirs, result);
    detect_list_free(&theirs);
    if (status == NOT_ASKED || (status == ASKED && result->difference <= BOX_BOUND)) return 0;
    if (status == ASKED)
        diag_error(d, job->cfg, 0, NULL, "boxes of %s differ from the training network's by %.3g, allowed is %.3g",
                   result->reader, result->difference, BOX_BOUND);
    else diag_error(d, job->cfg, 0, NULL, "%s cannot run this network: %s", result->reader, result->why);
    return -1;
}

int verify_boxes(const verify_job *job, model *model, box_result result[BOX_READERS], diag *d)
{
    const char *names[BOX_READERS] = { image_io_version(), VERIFY_STOCK_PROGRAM };
    detect_heads heads;
    int failed = detect_deployed_heads(model, &heads, d);
    for (int i = 0; i < BOX_READERS; ++i) {
        result[i] = (box_result){ .reader = names[i] };
        if (heads.n) failed |= verify_reader(job, model, &heads, i, &result[i], d);
    }
    detect_heads_free(&heads);
    return failed;
}
