/* Deployed files against the training network (see verify.h): the unmodified host library with no layer of ours bound,
 * OpenCV's DNN module, and the stock program on PNG files. The stock program prints percentages with two digits, so its
 * bound is wider by half a unit of the last one. */
#include "verify.h"

#include "cfg.h"
#include "host.h"
#include "image_io.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char STOCK[] = "/usr/bin/darknet";

void verify_planar(const uint8_t *pixels, int c, int h, int w, float *x)
{
    size_t plane = (size_t)h * (size_t)w;
    for (size_t i = 0; i < plane; ++i)
        for (int k = 0; k < c; ++k) x[(size_t)k * plane + i] = (float)(pixels[i * (size_t)c + (size_t)k] / 255.);
}

static size_t image_bytes(const verify_job *j) { return (size_t)j->c * (size_t)j->h * (size_t)j->w; }

static int first_of(const float *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; ++i)
        if (x[i] > x[best]) best = i;
    return best;
}

/* Compares one image's answer; anything that is not a number is an infinite difference. */
static void compare_answer(const verify_job *j, int image, const float *got, verify_result *r)
{
    const float *want = j->answer + (size_t)image * (size_t)j->classes;
    for (int i = 0; i < j->classes; ++i) {
        double e = fabs((double)got[i] - (double)want[i]);
        if (!(e <= r->difference)) r->difference = isfinite(e) ? e : INFINITY;
    }
    r->agree += first_of(got, j->classes) == first_of(want, j->classes);
}

static network *open_host(const verify_job *j, diag *d)
{
    cfg_file *c = cfg_read(j->cfg, d);
    if (!c) return NULL;
    size_t len;
    char *text = cfg_text(c, &len);
    network *net = host_parse(text, len, j->cfg, d);
    free(text);
    cfg_free(c);
    if (!net) return NULL;
    host_load_weights(net, j->weights);
    return net;
}

static int verify_host(const verify_job *j, verify_result *r, diag *d)
{
    network *net = open_host(j, d);
    if (!net) return -1;
    float *x = mem_calloc(image_bytes(j), sizeof *x);
    for (int i = 0; i < j->n; ++i) {
        verify_planar(j->pixels + (size_t)i * image_bytes(j), j->c, j->h, j->w, x);
        compare_answer(j, i, network_predict(net, x), r);
    }
    free(x);
    host_free(net);
    r->ran = 1;
    return 0;
}

static int verify_opencv(const verify_job *j, verify_result *r, diag *d)
{
    char why[200];
    dnn_net *n = dnn_read_darknet(j->cfg, j->weights, why, sizeof why);
    float *x = mem_calloc(image_bytes(j), sizeof *x), *out = mem_calloc((size_t)j->classes, sizeof *out);
    int failed = !n;
    for (int i = 0; !failed && i < j->n; ++i) {
        verify_planar(j->pixels + (size_t)i * image_bytes(j), j->c, j->h, j->w, x);
        int got = dnn_forward(n, x, j->c, j->h, j->w, out, j->classes, why, sizeof why);
        failed = got != j->classes;
        if (got >= 0 && failed) snprintf(why, sizeof why, "%d outputs, expected %d", got, j->classes);
        if (!failed) compare_answer(j, i, out, r);
    }
    if (failed) diag_error(d, j->cfg, 0, NULL, "OpenCV cannot run this network: %s", why);
    if (n) dnn_free(n);
    free(out);
    free(x);
    r->ran = !failed;
    return failed ? -1 : 0;
}

/* The stock program's work folder: images as PNG, a names file, a .data file, the list it reads from stdin. */
static int write_stock_files(const verify_job *j, const char *folder, diag *d)
{
    char *names = mem_printf("%s/names", folder), *data = mem_printf("%s/stock.data", folder), *list = mem_printf("%s/list", folder);
    FILE *fn = fopen(names, "w"), *fd = fopen(data, "w"), *fl = fopen(list, "w");
    int failed = !fn || !fd || !fl;
    for (int i = 0; !failed && i < j->classes; ++i) failed = fprintf(fn, "class%d\n", i) < 0;
    if (!failed) failed = fprintf(fd, "classes=%d\nnames=%s\ntop=%d\n", j->classes, names, j->classes) < 0;
    for (int i = 0; !failed && i < j->n; ++i) {
        char *png = mem_printf("%s/%d.png", folder, i);
        failed = image_write(png, j->pixels + (size_t)i * image_bytes(j), j->w, j->h, j->c) || fprintf(fl, "%s\n", png) < 0;
        free(png);
    }
    if (fn && fclose(fn)) failed = 1;
    if (fd && fclose(fd)) failed = 1;
    if (fl && fclose(fl)) failed = 1;
    free(names);
    free(data);
    free(list);
    if (failed) diag_error(d, folder, 0, NULL, "cannot write files for the stock program: %s", strerror(errno));
    return failed ? -1 : 0;
}

static void exec_stock(const verify_job *j, const char *folder)
{
    char *data = mem_printf("%s/stock.data", folder), *list = mem_printf("%s/list", folder), *out = mem_printf("%s/out", folder);
    int in_fd = open(list, O_RDONLY), out_fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600), null = open("/dev/null", O_WRONLY);
    dup2(in_fd, STDIN_FILENO);
    dup2(out_fd, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execl(STOCK, STOCK, "classifier", "predict", data, j->cfg, j->weights, (char *)NULL);
    _exit(127);
}

static int run_stock_program(const verify_job *j, const char *folder, diag *d)
{
    int status = 0;
    pid_t child = fork();
    if (!child) exec_stock(j, folder);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) ;
    if (child > 0 && WIFEXITED(status) && !WEXITSTATUS(status)) return 0;
    diag_error(d, STOCK, 0, NULL, "failed on the exported network");
    return -1;
}

/* Its output: classes lines "12.34%: class7" an image, after prompts without a newline. */
static int read_stock_answers(const verify_job *j, const char *folder, verify_result *r, diag *d)
{
    char *path = mem_printf("%s/out", folder), line[512];
    float *got = mem_calloc((size_t)j->classes, sizeof *got);
    FILE *f = fopen(path, "r");
    int lines = 0, images = 0;
    while (f && fgets(line, sizeof line, f)) {
        char *name = strstr(line, "%: class"), *start = name;
        int class;
        while (start && start > line && strchr("0123456789.naif-", start[-1])) --start;
        if (!name || sscanf(name, "%%: class%d", &class) != 1 || class < 0 || class >= j->classes) continue;
        got[class] = strtof(start, NULL) / 100;
        if (++lines % j->classes == 0 && images < j->n) compare_answer(j, images++, got, r);
    }
    if (f) fclose(f);
    free(got);
    free(path);
    if (images == j->n && lines == j->n * j->classes) return 0;
    diag_error(d, STOCK, 0, NULL, "answered %d of %d images", images, j->n);
    return -1;
}

static void remove_folder(const verify_job *j, const char *folder)
{
    static const char *const names[] = { "names", "stock.data", "list", "out" };
    for (int i = 0; i < j->n + 4; ++i) {
        char *path = i < 4 ? mem_printf("%s/%s", folder, names[i]) : mem_printf("%s/%d.png", folder, i - 4);
        unlink(path);
        free(path);
    }
    rmdir(folder);
}

static int verify_stock(const verify_job *j, verify_result *r, diag *d)
{
    const char *tmp = getenv("TMPDIR");
    if (access(STOCK, X_OK)) {
        snprintf(r->why, sizeof r->why, "not installed");
        return 0;
    }
    char *folder = mem_printf("%s/distill-XXXXXX", tmp ? tmp : "/tmp");
    int failed = !mkdtemp(folder);
    if (failed) diag_error(d, folder, 0, NULL, "cannot make a temporary folder: %s", strerror(errno));
    else {
        failed = write_stock_files(j, folder, d) || run_stock_program(j, folder, d) || read_stock_answers(j, folder, r, d);
        remove_folder(j, folder);
    }
    free(folder);
    r->ran = !failed;
    return failed;
}

int verify_deployed(const verify_job *j, verify_result result[VERIFY_READERS], diag *d)
{
    static const struct {
        int (*run)(const verify_job *, verify_result *, diag *);
        double bound;
    } readers[VERIFY_READERS] = { { verify_host, 1e-4 }, { verify_opencv, 1e-4 }, { verify_stock, 1.5e-4 } };
    const char *names[VERIFY_READERS] = { "libdarknet", image_io_version(), STOCK };
    int failed = 0;
    for (int i = 0; i < VERIFY_READERS; ++i) {
        verify_result *r = &result[i];
        *r = (verify_result){ .reader = names[i], .bound = readers[i].bound };
        if (readers[i].run(j, r, d)) failed = 1;
        if (!r->ran || r->difference <= r->bound) continue;
        diag_error(d, j->cfg, 0, NULL, "%s differs from the training network by %.3g, allowed is %.3g", r->reader, r->difference, r->bound);
        failed = 1;
    }
    return failed ? -1 : 0;
}
