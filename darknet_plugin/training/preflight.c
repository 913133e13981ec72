/* The run and the disk (see preflight.h).
 *
 * The checkpoints are written as they will be, beside their names, fsynced, and thrown away. Room is what the three
 * files and their states will take beyond what is there, and twice the largest, since a file is replaced by one that is
 * whole. The state of a run is counted as two times the weights for momentum, once more for each moment of an
 * optimiser, more than it takes. */
#include "preflight.h"

#include "darknet_plugin/deploying/deploy.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/out_file.h"
#include "layers/optimiser.h"
#include "teacher_check.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char *const CHECKPOINTS[] = { "last", "best", "final" };
enum { N_CHECKPOINTS = sizeof CHECKPOINTS / sizeof *CHECKPOINTS };

/* ---- files ---- */

static int try_file(const char *folder, const char *name, const char *suffix, diag *d)
{
    char *path = mem_printf("%s/%s_%s.weights", folder, name, suffix);
    out_file f;
    int failed = out_file_open(&f, path, d);
    if (!failed) failed = out_file_finish(&f, fputs("can this be written?\n", f.file) < 0, d);
    out_file_drop(&f);
    free(path);
    return failed;
}

/* Does the text begin so? What follows then; else NULL. */
static const char *behind(const char *text, const char *beginning)
{
    size_t n = strlen(beginning);
    return strncmp(text, beginning, n) ? NULL : text + n;
}

/* `.NAME_last.weights.tmp.123`, as out_file.c calls what it has not finished; of record and chart, too. */
static int is_leftover(const char *entry, const char *name)
{
    const char *chart = behind(entry, ".chart_"), *own = behind(chart ? chart : entry, chart ? name : ".");
    if (!strstr(entry, ".tmp.") || !own) return 0;
    if (chart) return behind(own, ".png.tmp.") != NULL;
    if (!(own = behind(own, name))) return 0;
    for (int i = 0; i < N_CHECKPOINTS && *own == '_'; ++i) {
        const char *end = behind(own + 1, CHECKPOINTS[i]);
        if (end && *end == '.') return 1;
    }
    return behind(own, ".jsonl.tmp.") != NULL;
}

/* What a run that was killed left half written. The lock says that nobody is writing it now. */
static void remove_leftovers(const char *folder, const char *name)
{
    DIR *dir = opendir(folder);
    if (!dir) return;
    for (struct dirent *e; (e = readdir(dir));)
        if (is_leftover(e->d_name, name)) unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
}

/* ---- room ---- */

static double cache_wants(const model *model, dev_t device)
{
    double sum = 0;
    for (int i = 0; model->teacher && i < model->low->teachers; ++i) {
        dev_t where = 0;
        double wants = model->features[i] ? feature_cache_wants(features_cache(model->features[i]), &where) : 0;
        if (wants > 0 && where == device) sum += wants;
    }
    return sum;
}

static double grows_by(const preflight_job *job, const char *suffix, const char *end, double bytes)
{
    struct stat st;
    char *path = mem_printf("%s/%s_%s.%s", job->folder, job->name, suffix, end);
    double more = stat(path, &st) ? bytes : bytes - (double)st.st_size;
    free(path);
    return more > 0 ? more : 0;
}

static double room_needed(const preflight_job *job)
{
    double weights = (double)shapes_file_bytes(job->model->low->shape, job->model->low->shape->n),
        state = (2 + optimiser_moments(job->model->net->adam)) * weights;
    double sum = 2 * (state > weights ? state : weights) + grows_by(job, "last", "state", state);
    for (int i = 0; i < N_CHECKPOINTS; ++i) sum += grows_by(job, CHECKPOINTS[i], "weights", weights);
    return sum;
}

/* "1.6 GB"; below one, MB. */
static void bytes_text(double bytes, char *out, size_t len)
{
    snprintf(out, len, bytes < 1e9 ? "%.3g MB" : "%.3g GB", bytes / (bytes < 1e9 ? 1e6 : 1e9));
}

/* Is there room for all that will be written? A file system that does not say has it. */
static int check_room(const preflight_job *job, diag *d)
{
    struct statvfs v;
    struct stat st;
    char need[32], have[32];
    if (statvfs(job->folder, &v) || stat(job->folder, &st)) return 0;
    double free_bytes = (double)v.f_bavail * (double)v.f_frsize, cache = cache_wants(job->model, st.st_dev),
        all = room_needed(job) + cache;
    if (all <= free_bytes) return 0;
    bytes_text(all, need, sizeof need);
    bytes_text(free_bytes, have, sizeof have);
    diag_error(d, job->folder, 0, NULL, "training needs up to %s, %s free", need, have);
    if (cache > 0) {
        bytes_text(cache, need, sizeof need);
        diag_hint(d, "%s of it for the feature cache: fewer views=, or cache_type=u8, takes less", need);
    } else {
        diag_hint(d, "three weights files, the state of the run, and twice the largest of them while it is replaced");
    }
    return -1;
}

static int check_folder(const preflight_job *job, run_lock *lock, diag *d)
{
    int bad = 0;
    if (weights_make_folder(job->folder, d) || run_lock_take(lock, job->folder, job->name, d)) return -1;
    if (lock->path) remove_leftovers(job->folder, job->name);
    for (int i = 0; i < N_CHECKPOINTS && !bad; ++i) bad = try_file(job->folder, job->name, CHECKPOINTS[i], d);
    return bad | check_room(job, d);
}

/* ---- the network ---- */

static int check_export(const preflight_job *job, diag *d)
{
    int errors = diag_errors(d);
    deployed *out = deploy_open(job->model, job->cfg, d);
    deploy_close(out);
    if (out) return 0;
    if (diag_errors(d) > errors) diag_hint(d, "this network trains, but what comes of it could not be exported");
    return -1;
}

int preflight(const preflight_job *job, run_lock *lock, diag *d)
{
    int bad = check_folder(job, lock, d);
    bad |= check_export(job, d);
    bad |= preflight_data(job, d);
    if (!bad) bad = teacher_check(job->model, job->train, job->threads, job->view_seed, job->force, d);
    if (bad) run_lock_release(lock);
    return bad ? -1 : 0;
}
