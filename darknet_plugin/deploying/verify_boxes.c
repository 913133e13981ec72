/* Comparing boxes (see verify_boxes.h). Each side's boxes are looked for on the other: the nearest of the same class counts, and
 * those so near the threshold that rounding decides are looked for only. The images have the network's size, so that nobody
 * letterboxes anything. */
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

static double apart(const detect_box *a, const detect_box *b)
{
    double x = fmax(fabs((double)a->x - (double)b->x), fabs((double)a->y - (double)b->y));
    double w = fmax(fabs((double)a->w - (double)b->w), fabs((double)a->h - (double)b->h));
    return fmax(fmax(x, w), fabs((double)a->probability - (double)b->probability));
}

static void look_for(const detect_list *these, const detect_list *among, box_result *r)
{
    for (size_t i = 0; i < these->n; ++i) {
        const detect_box *a = &these->box[i];
        double best = 1;
        if (a->probability <= ABOVE + BOX_BOUND) continue;
        ++r->boxes;
        for (size_t k = 0; k < among->n; ++k) {
            const detect_box *b = &among->box[k];
            if (a->image == b->image && a->label == b->label) best = fmin(best, apart(a, b));
        }
        if (!(best <= r->difference)) r->difference = best;
    }
}

/* ---- the training network ---- */

static void find_boxes(model *m, const verify_job *j, const detect_heads *heads, float nms, detect_list *out)
{
    size_t bytes = verify_image_bytes(j);
    int batch = m->net->batch;
    detect_options how = { .threshold = nms < 1 ? .005f : ABOVE, .nms = nms };
    float *x = mem_calloc((size_t)batch * bytes, sizeof *x);
    for (int i = 0; i < j->n; ++i) {
        int b = i % batch;
        if (!b) {
            for (int k = 0; k < batch && i + k < j->n; ++k) verify_planar(j->pixels + (size_t)(i + k) * bytes, j->c, j->h, j->w, x + (size_t)k * bytes);
            model_predict(m, x);
        }
        detect_image(heads, b, j->w, j->h, &how, i, out);
    }
    free(x);
}

/* ---- OpenCV ---- */

static void add_rows(const float *row, int rows, int classes, int image, detect_list *out)
{
    for (int i = 0; i < rows; ++i, row += 5 + classes)
        for (int k = 0; k < classes; ++k) {
            detect_box b = { .image = image, .label = k, .probability = row[5 + k], .x = row[0], .y = row[1], .w = row[2], .h = row[3] };
            if (b.probability > ABOVE) detect_list_add(out, &b);
        }
}

static int ask_opencv(const verify_job *j, int classes, detect_list *out, box_result *r)
{
    dnn_net *n = dnn_read_darknet(j->cfg, j->weights, r->why, sizeof r->why);
    float *x = mem_calloc(verify_image_bytes(j), sizeof *x);
    int failed = !n;
    for (int i = 0; !failed && i < j->n; ++i) {
        float *rows;
        verify_planar(j->pixels + (size_t)i * verify_image_bytes(j), j->c, j->h, j->w, x);
        int got = dnn_forward_rows(n, x, j->c, j->h, j->w, 5 + classes, &rows, r->why, sizeof r->why);
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

static int images_of(const verify_job *j) { return j->n < STOCK_LEAST ? STOCK_LEAST : j->n; }

static int write_files(const verify_job *j, int classes, const char *folder)
{
    char *data = mem_printf("valid=%s/list\nresults=%s\n", folder, folder);
    int failed = verify_write_stock_files(j, classes, images_of(j), data, folder);
    free(data);
    return failed;
}

static int run_stock(const verify_job *j, const char *folder)
{
    char *data = mem_printf("%s/stock.data", folder);
    pid_t child = fork();
    if (!child) {
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
        execl(VERIFY_STOCK_PROGRAM, VERIFY_STOCK_PROGRAM, "detector", "valid", data, j->cfg, j->weights, (char *)NULL);
        _exit(127);
    }
    free(data);
    return verify_wait(child);
}

/* A line is "image probability left top right bottom", in pixels counted from 1. -1: there is no such file. */
static int read_class(const verify_job *j, const char *folder, int label, detect_list *out)
{
    char *path = mem_printf("%s/comp4_det_test_class%d.txt", folder, label);
    FILE *f = fopen(path, "r");
    int image;
    float p, left, top, right, bottom;
    while (f && fscanf(f, "%d %f %f %f %f %f", &image, &p, &left, &top, &right, &bottom) == 6) {
        detect_box b = { .image = image, .label = label, .probability = p, .x = ((left + right) / 2 - 1) / (float)j->w,
                         .y = ((top + bottom) / 2 - 1) / (float)j->h, .w = (right - left) / (float)j->w, .h = (bottom - top) / (float)j->h };
        if (image >= 0 && image < j->n && p > ABOVE) detect_list_add(out, &b);
    }
    free(path);
    return f ? fclose(f) : -1;
}

static void remove_files(const verify_job *j, int classes, const char *folder)
{
    static const char *const names[] = { "names", "stock.data", "list" };
    for (int i = 0; i < 3 + images_of(j) + classes; ++i) {
        int k = i - 3 - images_of(j);
        char *path = i < 3 ? mem_printf("%s/%s", folder, names[i]) : k < 0 ? mem_printf("%s/%d.png", folder, i - 3)
                                                                  : mem_printf("%s/comp4_det_test_class%d.txt", folder, k);
        unlink(path);
        free(path);
    }
    rmdir(folder);
}

static int ask_stock(const verify_job *j, int classes, detect_list *out, box_result *r)
{
    const char *tmp = getenv("TMPDIR");
    if (access(VERIFY_STOCK_PROGRAM, X_OK)) {
        snprintf(r->why, sizeof r->why, "not installed");
        return 1;
    }
    char *folder = mem_printf("%s/distill-XXXXXX", tmp ? tmp : "/tmp");
    int failed = !mkdtemp(folder) || write_files(j, classes, folder);
    if (failed) snprintf(r->why, sizeof r->why, "cannot write files for it: %s", strerror(errno));
    else if ((failed = run_stock(j, folder))) snprintf(r->why, sizeof r->why, "failed on the exported network");
    for (int k = 0; !failed && k < classes; ++k)
        if ((failed = read_class(j, folder, k, out))) snprintf(r->why, sizeof r->why, "wrote no boxes of class %d", k);
    remove_files(j, classes, folder);
    free(folder);
    return failed ? -1 : 0;
}

/* The stock program cuts boxes at the image's border. */
static void cut_at_border(const verify_job *j, detect_list *l)
{
    for (size_t i = 0; i < l->n; ++i) {
        detect_box *b = &l->box[i];
        float left = fmaxf(b->x - b->w / 2, 0), top = fmaxf(b->y - b->h / 2, 0);
        float right = fminf(b->x + b->w / 2, 1 - 1.f / (float)j->w), bottom = fminf(b->y + b->h / 2, 1 - 1.f / (float)j->h);
        *b = (detect_box){ .image = b->image, .label = b->label, .probability = b->probability, .x = (left + right) / 2,
                           .y = (top + bottom) / 2, .w = right - left, .h = bottom - top };
    }
}

/* ---- both ---- */

static int compare(const verify_job *j, model *m, const detect_heads *heads, int reader, box_result *r, diag *d)
{
    detect_list ours = { 0 }, theirs = { 0 };
    int stock = reader == BOX_STOCK, status = stock ? ask_stock(j, heads->classes, &theirs, r) : ask_opencv(j, heads->classes, &theirs, r);
    if (status < 0) diag_error(d, j->cfg, 0, NULL, "%s cannot run this network: %s", r->reader, r->why);
    if (!status) {
        find_boxes(m, j, heads, stock ? .45f : 1, &ours);
        if (stock) cut_at_border(j, &ours);
        look_for(&ours, &theirs, r);
        look_for(&theirs, &ours, r);
        r->ran = 1;
    }
    detect_list_free(&ours);
    detect_list_free(&theirs);
    if (status < 0 || !r->ran || r->difference <= BOX_BOUND) return status < 0 ? -1 : 0;
    diag_error(d, j->cfg, 0, NULL, "boxes of %s differ from the training network's by %.3g, allowed is %.3g", r->reader, r->difference, BOX_BOUND);
    return -1;
}

int verify_boxes(const verify_job *j, model *m, box_result result[BOX_READERS], diag *d)
{
    const char *names[BOX_READERS] = { image_io_version(), VERIFY_STOCK_PROGRAM };
    detect_heads heads;
    int failed = detect_heads_of(m->net, m->low->cfg, &heads, d);
    for (int i = 0; i < BOX_READERS; ++i) {
        result[i] = (box_result){ .reader = names[i] };
        if (heads.n) failed |= compare(j, m, &heads, i, &result[i], d);
    }
    detect_heads_free(&heads);
    return failed;
}
