/* The exported network as a teacher of the next distillation. A plain exported cfg has all it takes: stock sections,
 * weights of its size, input as the student's. What may differ is the tap: tap=auto finds what feeds the last layer
 * with weights, and the wanted one is the map before the reused classifier, which lies further up where that has
 * several such layers. So the files are read as [teacher] would read them, with auto and, where that finds another
 * layer, with the number. */
#include "export.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* The smallest cfg that names it. */
static cfg_file *asking(const export_job *job, const char *tap)
{
    cfg_file *cfg = cfg_new("[teacher]");
    cfg_append_copy(cfg, cfg_net(job->deployed->low->cfg));
    cfg_section *teacher = cfg_append(cfg, "teacher", job->file[EXPORT_CFG].temp, 0);
    cfg_set(teacher, "cfg", "%s", job->file[EXPORT_CFG].temp);
    cfg_set(teacher, "weights", "%s", job->file[EXPORT_WEIGHTS].temp);
    if (tap) cfg_set(teacher, "tap", "%s", tap);
    return cfg;
}

/* "3,7": a list of taps, NULL where it is empty, and one more; `text` is freed, the result the caller's to free. */
static char *with_tap(char *text, int layer)
{
    char *more = text ? mem_printf("%s,%d", text, layer) : mem_printf("%d", layer);
    free(text);
    return more;
}

/* Its taps as text, and its weights measured; NULL with messages. The caller frees. */
static char *read_as_teacher(const export_job *job, const char *tap, diag *d)
{
    cfg_file *cfg = asking(job, tap);
    int n;
    teacher_spec *spec = teachers_read(cfg, TEACHERS_WEIGHTS | TEACHERS_TAPS, &n, d);
    weights_info info;
    char *taps = NULL;
    if (spec && !weights_inspect(spec->weights_path, spec->shape, &info, d) && info.layers == spec->shape->n)
        for (int i = 0; i < spec->taps; ++i) taps = with_tap(taps, spec->tap[i]);
    teachers_free(spec, n);
    cfg_free(cfg);
    return taps;
}

/* The maps before the reused classifiers; NULL in a plain cfg. */
static char *wanted_taps(const export_job *job)
{
    char *text = NULL;
    for (int i = 0; i < job->deployed->low->heads; ++i)
        if (job->deployed->feature[i] >= 0) text = with_tap(text, job->deployed->feature[i]);
    return text;
}

/* With tap= where tap=auto found another layer than the wanted one. */
static void write_section(export_job *job, const char *wanted, const char *found)
{
    const char *tap = !found || (wanted && strcmp(found, wanted)) ? wanted : NULL;
    char *line = tap ? mem_printf("tap=%s\n", tap) : mem_strdup("");
    job->teacher = mem_printf("[teacher]\ncfg=%s\nweights=%s\n%s# tap: layer %s\n", job->name[EXPORT_CFG],
                              job->name[EXPORT_WEIGHTS], line, tap ? tap : found);
    free(line);
}

int export_teacher(export_job *job, diag *d)
{
    diag *unsaid = diag_new();
    char *wanted = wanted_taps(job), *found = read_as_teacher(job, NULL, wanted ? unsaid : d), *named = NULL;
    int other = wanted && (!found || strcmp(found, wanted));
    if (other) named = read_as_teacher(job, wanted, d);
    int failed = other ? !named : !found;
    if (!failed) write_section(job, wanted, found);
    diag_free(unsaid);
    free(wanted);
    free(found);
    free(named);
    return failed ? -1 : 0;
}
