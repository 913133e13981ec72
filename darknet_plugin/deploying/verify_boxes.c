/* Comparing boxes (see verify_boxes.h). Each side's boxes are looked for on the other: the nearest of the same class
 * counts, and those so near the threshold that rounding decides are looked for only. The images have the network's
 * size, so that nobody letterboxes anything. */
#include "verify_boxes.h"

#include "darknet_plugin/model/detect.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/base/mem.h"
#include "verify_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const float ABOVE = .25f;          /* OpenCV keeps nothing below .2 */
enum { STOCK_LEAST = 4 };                 /* images: the stock program starts four threads, whatever there is to do */

/* ---- comparing ---- */

static double apart(const detect_box *box, const detect_box *place)
{
    double x = fmax(fabs((double)box->x - (double)place->x), fabs((double)box->y - (double)place->y));
    double w = fmax(fabs((double)box->w - (double)place->w), fabs((double)box->h - (double)place->h));
    return fmax(fmax(x, w), fabs((double)box->probability - (double)place->probability));
}

static void look_for(const detect_list *these, const detect_list *among, box_result *result)
{
    for (size_t i = 0; i < these->n; ++i) {
        const detect_box *a = &these->box[i];
        double best = 1;
        if (a->probability <= ABOVE + BOX_BOUND) continue;
        ++result->boxes;
        for (size_t k = 0; k < among->n; ++k) {
            const detect_box *b = &among->box[k];
            if (a->image == b->image && a->label == b->label) best = fmin(best, apart(a, b));
        }
        if (!(best <= result->difference)) result->difference = best;
    }
}

/* ---- the training network ---- */

static void find_boxes(model *model, const verify_job *job, const detect_heads *heads, float nms, detect_list *out)
{
    size_t bytes = verify_image_bytes(job);
    int batch = model->net->batch;
    detect_options how = { .threshold = nms < 1 ? .005f : ABOVE, .nms = nms };
    float *x = mem_calloc((size_t)batch * bytes, sizeof *x);
    for (int i = 0; i < job->n; ++i) {
        int b = i % batch;
        if (!b) {
            for (int k = 0; k < batch && i + k < job->n; ++k)
                verify_planar(job->pixels + (size_t)(i + k) * bytes, job->c, job->h, job->w, x + (size_t)k * bytes);
            model_predict(model, x);
        }
        detect_image(heads, b, job->w, job->h, &how, i, out);
    }
    free(x);
}

/* ---- OpenCV ---- */

static void add_rows(const float *row, int rows, int classes, int image, detect_list *out)
{
    for (int i = 0; i < rows; ++i, row += 5 + classes)
        for (int k = 0; k < classes; ++k) {
            detect_box b = { .image = image, .label = k, .probability = row[5 + k], .x = row[0], .y = row[1],
                             .w = row[2], .h = row[3] };
            if (b.probability > ABOVE) detect_list_add(out, &b);
        }
}

static int ask_opencv(const verify_job *job, int classes, detect_list *out, box_result *result)
{
    dnn_net *n = dnn_read_darknet(job->cfg, job->weights, result->why, sizeof result->why);
    float *x = mem_calloc(verify_image_bytes(job), sizeof *x);
    int failed = !n;
    for (int i = 0; !failed && i < job->n; ++i) {
        float *rows;
        verify_planar(job->pixels + (size_t)i * verify_image_bytes(job), job->c, job->h, job->w, x);
        int got = dnn_forward_rows(n, x, job->c, job->h, job->w, 5 + classes, &rows, result->why, sizeof result->why);
        failed = got < 0;
        if (failed) continue;
        add_rows(rows, got, classes, i, out);
        free(rows);
    }
    if (n) dnn_free(n);
    free(x);
    return failed ? -1 : 0;
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

static int run_stock(const verify_job *job, const char *folder)
{
    char *data = mem_printf("%s/stock.data", folder);
    pid_t child = fork();
    if (!child) {
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
        execl(VERIFY_STOCK_PROGRAM, VERIFY_STOCK_PROGRAM, "detector", "valid", data, job->cfg, job->weights,
              (char *)NULL);
        _exit(127);
    }
    free(data);
    return verify_wait(child);
}

/* A line is "image probability left top right bottom", in pixels counted from 1. -1: there is no such file. */
static int read_class(const verify_job *job, const char *folder, int label, detect_list *out)
{
    char *path = mem_printf("%s/comp4_det_test_class%d.txt", folder, label);
    FILE *f = fopen(path, "r");
    int image;
    float p, left, top, right, bottom;
    while (f && fscanf(f, "%d %f %f %f %f %f", &image, &p, &left, &top, &right, &bottom) == 6) {
        detect_box b = { .image = image, .label = label, .probability = p,
                         .x = ((left + right) / 2 - 1) / (float)job->w,
                         .y = ((top + bottom) / 2 - 1) / (float)job->h, .w = (right - left) / (float)job->w,
                             .h = (bottom - top) / (float)job->h };
        if (image >= 0 && image < job->n && p > ABOVE) detect_list_add(out, &b);
    }
    free(path);
    return f ? fclose(f) : -1;
}

static void remove_files(const verify_job *job, int classes, const char *folder)
{
    static const char *const names[] = { "names", "stock.data", "list" };
    for (int i = 0; i < 3 + images_of(job) + classes; ++i) {
        int k = i - 3 - images_of(job);
        char *path = i < 3 ? mem_printf("%s/%s", folder, names[i]) : k < 0 ? mem_printf("%s/%d.png", folder, i - 3)
                                                                  : mem_printf("%s/comp4_det_test_class%d.txt", folder,
                                                                               k);
        unlink(path);
        free(path);
    }
    rmdir(folder);
}

static int ask_stock(const verify_job *job, int classes, detect_list *out, box_result *result)
{
    const char *tmp = getenv("TMPDIR");
    if (access(VERIFY_STOCK_PROGRAM, X_OK)) {
        snprintf(result->why, sizeof result->why, "not installed");
        return 1;
    }
    char *folder = mem_printf("%s/distill-XXXXXX", tmp ? tmp : "/tmp");
    int failed = !mkdtemp(folder) || write_files(job, classes, folder);
    if (failed) snprintf(result->why, sizeof result->why, "cannot write files for it: %s", strerror(errno));
    else if ((failed = run_stock(job, folder))) snprintf(result->why, sizeof result->why,
                                                         "failed on the exported network");
    for (int k = 0; !failed && k < classes; ++k)
        if ((failed = read_class(job, folder, k, out)))
            snprintf(result->why, sizeof result->why, "wrote no boxes of class %d", k);
    remove_files(job, classes, folder);
    free(folder);
    return failed ? -1 : 0;
}

/* The stock program cuts boxes at the image's border. */
static void cut_at_border(const verify_job *job, detect_list *list)
{
    for (size_t i = 0; i < list->n; ++i) {
        detect_box *b = &list->box[i];
        float left = fmaxf(b->x - b->w / 2, 0), top = fmaxf(b->y - b->h / 2, 0);
        float right = fminf(b->x + b->w / 2, 1 - 1.f / (float)job->w), bottom = fminf(b->y + b->h / 2,
            1 - 1.f / (float)job->h);
        *b = (detect_box){ .image = b->image, .label = b->label, .probability = b->probability, .x = (left + right) / 2,
                           .y = (top + bottom) / 2, .w = right - left, .h = bottom - top };
    }
}

/* ---- both ---- */

static int compare(const verify_job *job, model *model, const detect_heads *heads, int reader, box_result *result,
                   diag *d)
{
    detect_list ours = { 0 }, theirs = { 0 };
    int stock = reader == BOX_STOCK, status = stock ? ask_stock(job, heads->classes, &theirs, result)
        : ask_opencv(job, heads->classes, &theirs, result);
    if (status < 0) diag_error(d, job->cfg, 0, NULL, "%s cannot run this network: %s", result->reader, result->why);
    if (!status) {
        find_boxes(model, job, heads, stock ? .45f : 1, &ours);
        if (stock) cut_at_border(job, &ours);
        look_for(&ours, &theirs, result);
        look_for(&theirs, &ours, result);
        result->ran = 1;
    }
    detect_list_free(&ours);
    detect_list_free(&theirs);
    if (status < 0 || !result->ran || result->difference <= BOX_BOUND) return status < 0 ? -1 : 0;
    diag_error(d, job->cfg, 0, NULL, "boxes of %s differ from the training network's by %.3g, allowed is %.3g",
               result->reader, result->difference, BOX_BOUND);
    return -1;
}

int verify_boxes(const verify_job *job, model *model, box_result result[BOX_READERS], diag *d)
{
    const char *names[BOX_READERS] = { image_io_version(), VERIFY_STOCK_PROGRAM };
    detect_heads heads;
    int failed = detect_heads_of(model->net, model->low->cfg, &heads, d);
    for (int i = 0; i < BOX_READERS; ++i) {
        result[i] = (box_result){ .reader = names[i] };
        if (heads.n) failed |= compare(job, model, &heads, i, &result[i], d);
    }
    detect_heads_free(&heads);
    return failed;
}
