/* The folder of a set of images:
 *
 *   images/000000.png ...      of one size, the teacher's input
 *   synthetic.list             a line an image: its name and the class that the teacher answers
 *   synthetic.data             for train
 *   sheet.png                  the first of them side by side (synthesis_sheet.c)
 *   synthesis.txt              whose images they are, and how far they go: with it the same command goes on
 *   generator-N.weights        the generator behind batch N, of the way that has one
 *   synthesis.lock             while somebody makes some
 *
 * The state is there before the first image. Behind every batch the images come first, then the list, the generator
 * and, when all of that is there, the state: what ends in between costs a batch. A folder that holds anything else is
 * left alone. */
#include "synthesis_internal.h"

#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/out_file.h"
#include "darknet_plugin/data/image_io.h"
#include "weights_tools/file/weights_file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME "synthesis"
#define FIRST_LINE "# images made by distill synthesize: the same command goes on from here\n"
enum { MOST_IMAGES = 10000000 };

static char *inside(const synthesis_folder *folder, const char *name)
{
    size_t n = strlen(folder->out);
    return mem_printf("%s%s%s", folder->out, n && folder->out[n - 1] == '/' ? "" : "/", name);
}

static char *weights_name(const synthesis_folder *folder, int whole)
{
    char *name = mem_printf("generator-%d.weights", whole), *path = inside(folder, name);
    free(name);
    return path;
}

char *folder_image(const synthesis_folder *folder, int i)
{
    char *name = mem_printf("images/%06d.png", i), *path = inside(folder, name);
    free(name);
    return path;
}

/* All that the images depend on, besides how many there are. */
static char *identity_of(const synthesis_job *job, uint64_t teacher)
{
    static const char *const backends[] = { [BACKEND_DNNL] = "dnnl", [BACKEND_REFERENCE] = "reference" };
    return mem_printf("teacher=%016" PRIx64 "\nmethod=%s\nseed=%" PRIu64 "\nbatch=%d\nsteps=%d\nrate=%.9g\nbn=%.9g\n"
                      "ce=%.9g\ntv=%.9g\nbackend=%s\n", teacher, job->way->name, job->seed, job->batch, job->steps,
                      job->rate, job->bn, job->ce, job->tv, backends[job->backend]);
}

/* ---- what is there ---- */

/* The text of a file that is there; NULL, with a message where it cannot be read. The caller frees. */
static char *read_text(const char *path, diag *d)
{
    size_t bytes;
    if (access(path, F_OK)) return NULL;
    int fd = in_file_open(path, "the state of this folder", &bytes, d);
    if (fd < 0) return NULL;
    char *text = (char *)in_file_take(fd, bytes), *whole = text ? mem_printf("%.*s", (int)bytes, text) : NULL;
    if (!text) diag_error(d, path, 0, NULL, "cannot read it: %s", strerror(errno));
    close(fd);
    free(text);
    return whole;
}

/* 1 where it holds nothing but a lock, or is not there; -1 with a message where that cannot be told. */
static int is_empty(const char *path, diag *d)
{
    DIR *dir = opendir(path);
    int entries = 0;
    if (!dir && errno == ENOENT) return 1;
    if (!dir) {
        diag_error(d, path, 0, NULL, "cannot use this folder: %s", strerror(errno));
        return -1;
    }
    for (const struct dirent *e; (e = readdir(dir)); )
        entries += strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, LOCK_NAME ".lock");
    closedir(dir);
    return !entries;
}

/* The first line in which two texts differ: where it begins in the second. */
static const char *first_other(const char *one, const char *other)
{
    const char *line = other;
    for (; *one && *one == *other; ++one, ++other)
        if (*other == '\n') line = other + 1;
    return line;
}

/* Of a folder of ours: is it the same command's, and how far is it? */
static int take_state(synthesis_folder *folder, const synthesis_job *job, const char *text, diag *d)
{
    const char *lines = text + strlen(FIRST_LINE), *rest = lines + strlen(folder->identity);
    if (job->force) return 0;
    if (strncmp(lines, folder->identity, strlen(folder->identity))) {
        const char *other = first_other(lines, folder->identity);
        diag_error(d, folder->out, 0, NULL, "holds images that were made otherwise: now %.*s",
                   (int)strcspn(other, "\n"), other);
        diag_hint(d, "another folder, or -force to begin anew in this one (%s says how they were made)", folder->state);
        return -1;
    }
    if (sscanf(rest, "whole=%d\nimages=%d\n", &folder->done, &folder->images) == 2 && folder->done >= 0 &&
        folder->images >= 0 && folder->images <= MOST_IMAGES && folder->done <= folder->images / job->batch) return 0;
    diag_error(d, folder->state, 0, NULL, "is damaged");
    diag_hint(d, "-force begins anew");
    return -1;
}

/* Labels of the images that the state speaks of. */
static int read_labels(synthesis_folder *folder, int classes, diag *d)
{
    FILE *in = in_file_stream(folder->list, d);
    char *line = NULL;
    size_t room = 0;
    int i = 0, number;
    for (; in && i < folder->images && mem_getline(&line, &room, in) > 0; ++i)
        if (sscanf(line, "images/%d.png %d", &number, &folder->label[i]) != 2 || number != i || folder->label[i] < 0 ||
            folder->label[i] >= classes) break;
    if (in) fclose(in);
    free(line);
    if (i == folder->images) return 0;
    diag_error(d, folder->list, i + 1, NULL, "expected the line of image %d of %d", i, folder->images);
    diag_hint(d, "-force begins anew");
    return -1;
}

/* The state, if there is one. 1: there is, and it is this command's; 0: there is none; -1 with messages. */
static int read_state(synthesis_folder *folder, const synthesis_job *job, diag *d)
{
    int before = diag_errors(d), failed = 0, ours;
    char *text = read_text(folder->state, d);
    if (diag_errors(d) > before) return -1;
    ours = text && !strncmp(text, FIRST_LINE, strlen(FIRST_LINE));
    if (ours) failed = take_state(folder, job, text, d);
    free(text);
    return failed ? -1 : ours;
}

/* Whose folder it is: this command's, a new one, or somebody's. */
static int check_folder(synthesis_folder *folder, const synthesis_job *job, diag *d)
{
    int ours = read_state(folder, job, d), empty;
    if (ours) return ours < 0 ? -1 : 0;
    empty = is_empty(folder->out, d);
    if (!empty) {
        diag_error(d, folder->out, 0, NULL, "is not empty, and no folder of synthesize's");
        diag_hint(d, "name a new one");
    }
    return empty < 1 ? -1 : 0;
}

/* From here on nobody else writes there, so that the state is looked at once more. */
static int lock_folder(synthesis_folder *folder, const synthesis_job *job, diag *d)
{
    if (weights_make_folder(folder->out, d) || run_lock_take(&folder->lock, folder->out, LOCK_NAME, d)) return -1;
    return read_state(folder, job, d) < 0 ? -1 : 0;
}

static int write_state(const synthesis_folder *folder, int images, int whole, diag *d)
{
    char *text = mem_printf("%s%swhole=%d\nimages=%d\n", FIRST_LINE, folder->identity, whole, images);
    int failed = out_file_text(folder->state, text, strlen(text), d);
    free(text);
    return failed;
}

/* A state that says how far it is comes first: without one the folder would be somebody's. */
static int begin_folder(synthesis_folder *folder, int classes, diag *d)
{
    char *images = inside(folder, "images");
    int failed = folder->images ? read_labels(folder, classes, d) : write_state(folder, 0, 0, d);
    failed = failed || weights_make_folder(images, d);
    free(images);
    return failed ? -1 : 0;
}

/* May its files be written? They are this command's own from here on. */
static int own_files(const synthesis_folder *folder, diag *d)
{
    const char *const path[] = { folder->state, folder->list, folder->data, folder->sheet };
    return out_file_own(path, sizeof path / sizeof *path, d);
}

int folder_open(synthesis_folder *folder, const synthesis_job *job, uint64_t teacher, int classes, diag *d)
{
    *folder = (synthesis_folder){ .out = mem_strdup(job->out), .identity = identity_of(job, teacher) };
    folder->list = inside(folder, "synthetic.list");
    folder->data = inside(folder, "synthetic.data");
    folder->sheet = inside(folder, "sheet.png");
    folder->state = inside(folder, "synthesis.txt");
    if (own_files(folder, d) || check_folder(folder, job, d) || lock_folder(folder, job, d)) return -1;
    folder->label = mem_calloc((size_t)(folder->images > job->n ? folder->images : job->n) + 1, sizeof *folder->label);
    return begin_folder(folder, classes, d);
}

void folder_close(synthesis_folder *folder)
{
    run_lock_release(&folder->lock);
    free(folder->out);
    free(folder->list);
    free(folder->data);
    free(folder->sheet);
    free(folder->state);
    free(folder->identity);
    free(folder->label);
}

int folder_load(const synthesis_folder *folder, network *net, const net_shape *shape, diag *d)
{
    char *path = weights_name(folder, folder->done);
    weights_info info;
    int failed = weights_load(net, shape, path, &info, d);
    if (!failed && info.layers < net->n) {
        diag_error(d, path, 0, NULL, "holds %d of the generator's %d layers", info.layers, net->n);
        failed = -1;
    }
    if (failed) diag_hint(d, "-force begins anew");
    free(path);
    return failed;
}

/* ---- what is made ---- */

int folder_put(const synthesis_folder *folder, const uint8_t *bytes, int first, int n, const judge *judge, diag *d)
{
    int failed = 0;
    for (int i = 0; i < n && !failed; ++i) {
        char *path = folder_image(folder, first + i);
        failed = image_save(path, bytes + (size_t)i * judge_image(judge), judge->w, judge->h, judge->c, d);
        free(path);
    }
    return failed;
}

static int write_list(const synthesis_folder *folder, int images, diag *d)
{
    out_file f;
    int failed = 0;
    if (out_file_open(&f, folder->list, d)) return -1;
    for (int i = 0; i < images && !failed; ++i)
        failed = fprintf(f.file, "images/%06d.png %d\n", i, folder->label[i]) < 0;
    return out_file_close(&f, failed, d);
}

/* The generator of an earlier batch. */
static void remove_weights(const synthesis_folder *folder, int whole)
{
    char *path = weights_name(folder, whole);
    (void)unlink(path);
    free(path);
}

int folder_note(synthesis_folder *folder, int images, int whole, network *net, diag *d)
{
    char *path = weights_name(folder, whole);
    int grown = whole > folder->done, failed = run_lock_check(&folder->lock, d) || write_list(folder, images, d);
    if (!failed && net && grown) failed = weights_save(net, path, d);
    free(path);
    if (failed || write_state(folder, images, whole, d)) return -1;
    if (net && grown && folder->done) remove_weights(folder, folder->done);
    folder->done = whole;
    return 0;
}

int folder_finish(const synthesis_folder *folder, int n, int classes, diag *d)
{
    for (int i = n; i < folder->images; ++i) {
        char *path = folder_image(folder, i);
        (void)unlink(path);
        free(path);
    }
    char *text = mem_printf("# made by distill synthesize; valid= wants real images\n"
                            "classes=%d\ntrain=synthetic.list\n", classes);
    int failed = out_file_text(folder->data, text, strlen(text), d);
    free(text);
    return failed;
}
