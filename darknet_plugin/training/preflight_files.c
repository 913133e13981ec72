/* The files of a run against everybody else's (see preflight.h): a teacher and a student of one name, in one folder,
 * are the case that loses most. */
#include "preflight.h"

#include "checkpoint.h"
#include "record.h"
#include "run_log.h"
#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/out_file.h"

#include <stdlib.h>

/* All that a run writes besides caches, record and chart; `%s/%s` is folder and name. */
static const char *const SUFFIXES[] = {
    "_last.weights", "_last.weights.new", "_last.state", "_best.weights", "_final.weights", "_nan.list", ".lock",
};
enum { SUFFIXED = sizeof SUFFIXES / sizeof *SUFFIXES, FILES = SUFFIXED + 2 };

static int own_all(const char *folder, const char *name, diag *d)
{
    char *path[FILES];
    for (int i = 0; i < SUFFIXED; ++i) path[i] = mem_printf("%s/%s%s", folder, name, SUFFIXES[i]);
    path[SUFFIXED] = record_path(folder, name);
    path[SUFFIXED + 1] = record_chart_path(folder, name);
    int bad = out_file_own((const char *const *)path, FILES, d) || run_log_check(path[SUFFIXED], d) ? -1 : 0;
    for (int i = 0; i < FILES; ++i) free(path[i]);
    return bad;
}

/* Is the run whose state lies there a teacher's? Its weights may have been copied to another place since. */
static int teachers_run(const preflight_job *job, diag *d)
{
    const lowered *low = job->model->low;
    for (int i = 0; i < low->teachers; ++i) {
        diag *unsaid = diag_aside(d);
        cfg_file *cfg = cfg_read(low->teacher[i].cfg_path, unsaid);
        int its = cfg && checkpoint_is_of(job->folder, job->name, cfg);
        cfg_free(cfg);
        diag_free(unsaid);
        if (!its) continue;
        diag_error(d, NULL, 0, NULL, "%s/%s_last.state is of the run that trained the teacher %s", job->folder,
                   job->name, low->teacher[i].cfg_path);
        return -1;
    }
    return 0;
}

int preflight_files(const preflight_job *job, const char *start, diag *d)
{
    weights_info info;
    diag *unsaid = diag_new();
    const net_shape *shape = job->model->low->shape;
    int whole = start && !weights_inspect(start, shape, &info, unsaid) && info.layers >= shape->n;
    diag_free(unsaid);
    if (start && !whole) in_file_note(start, d);
    if (!own_all(job->folder, job->name, d) && !teachers_run(job, d)) return 0;
    diag_hint(d, "this run is called '%s', after its cfg: give it a -backup folder of its own, or the cfg another name",
              job->name);
    return -1;
}
