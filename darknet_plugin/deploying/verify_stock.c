/* The stock program on PNG files (see verify.h). It prints percentages with two digits, so its bound is wider by half a
 * unit of the last one. Only classifiers are asked here; a detector's boxes are verify_boxes.c's. */
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/temp_folder.h"
#include "verify_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *create(const char *folder, const char *name)
{
    char *path = mem_printf("%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    free(path);
    return file;
}

int verify_write_stock_files(const verify_job *job, int classes, int images, const char *more, const char *folder)
{
    FILE *names = create(folder, "names"), *data = create(folder, "stock.data"), *list = create(folder, "list");
    int failed = !names || !data || !list;
    for (int i = 0; !failed && i < classes; ++i) failed = fprintf(names, "class%d\n", i) < 0;
    if (!failed) failed = fprintf(data, "classes=%d\nnames=%s/names\n%s", classes, folder, more) < 0;
    for (int i = 0; !failed && i < images; ++i) {
        const uint8_t *pixels = job->pixels + (size_t)(i % job->n) * verify_image_bytes(job);
        char *png = mem_printf("%s/%d.png", folder, i);
        failed = image_write(png, pixels, job->w, job->h, job->c) || fprintf(list, "%s\n", png) < 0;
        free(png);
    }
    if (names && fclose(names)) failed = 1;
    if (data && fclose(data)) failed = 1;
    if (list && fclose(list)) failed = 1;
    return failed ? -1 : 0;
}

int verify_wait(unfinished *child)
{
    int status = unfinished_wait(child);
    return status >= 0 && WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -1;
}

static int write_stock_files(const verify_job *job, const char *folder, diag *d)
{
    char *data = mem_printf("top=%d\n", job->values);
    int failed = verify_write_stock_files(job, job->values, job->n, data, folder);
    if (failed) diag_error(d, folder, 0, NULL, "cannot write files for the stock program: %s", strerror(errno));
    free(data);
    return failed;
}

/* In the child: the list of images as its input, the file `out` as its output. */
static void exec_stock(const verify_job *job, const char *folder)
{
    char *data = mem_printf("%s/stock.data", folder);
    char *list = mem_printf("%s/list", folder), *out = mem_printf("%s/out", folder);
    dup2(open(list, O_RDONLY), STDIN_FILENO);
    dup2(open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
    dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
    execl(VERIFY_STOCK_PROGRAM, VERIFY_STOCK_PROGRAM, "classifier", "predict", data, job->cfg, job->weights,
          (char *)NULL);
    _exit(127);
}

static int run_stock_program(const verify_job *job, const char *folder, diag *d)
{
    unfinished child;
    if (!unfinished_fork(&child)) exec_stock(job, folder);
    if (!verify_wait(&child)) return 0;
    diag_error(d, VERIFY_STOCK_PROGRAM, 0, NULL, "failed on the exported network");
    return -1;
}

/* Its output: classes lines "12.34%: class7" an image, after prompts without a newline. */
static int read_stock_answers(const verify_job *job, const char *folder, verify_result *result, diag *d)
{
    char *path = mem_printf("%s/out", folder), line[512];
    float *got = mem_calloc((size_t)job->values, sizeof *got);
    FILE *f = fopen(path, "r");
    int lines = 0, images = 0;
    while (f && fgets(line, sizeof line, f)) {
        char *name = strstr(line, "%: class"), *start = name;
        int class;
        while (start && start > line && strchr("0123456789.naif-", start[-1])) --start;
        if (!name || sscanf(name, "%%: class%d", &class) != 1 || class < 0 || class >= job->values) continue;
        got[class] = strtof(start, NULL) / 100;
        if (++lines % job->values == 0 && images < job->n) verify_compare(job, images++, got, result);
    }
    if (f) fclose(f);
    free(got);
    free(path);
    if (images == job->n && lines == job->n * job->values) return 0;
    diag_error(d, VERIFY_STOCK_PROGRAM, 0, NULL, "answered %d of %d images", images, job->n);
    return -1;
}

int verify_stock(const verify_job *job, verify_result *result, diag *d)
{
    if (verify_is_kept(job->not_darknet, result->why, sizeof result->why)) return 0;
    if (job->raw || access(VERIFY_STOCK_PROGRAM, X_OK)) {
        snprintf(result->why, sizeof result->why, job->raw ? "head maps cannot be asked for" : "not installed");
        return 0;
    }
    temp_folder folder;
    if (temp_folder_make(&folder, d)) return -1;
    int failed = write_stock_files(job, folder.path, d) || run_stock_program(job, folder.path, d)
        || read_stock_answers(job, folder.path, result, d);
    temp_folder_remove(&folder);
    result->ran = failed ? VERIFY_MISSING : VERIFY_RAN;
    return failed ? -1 : 0;
}
