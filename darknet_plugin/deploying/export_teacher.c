/* The exported network as a teacher of the next distillation. A plain exported cfg has all it takes: stock sections,
 * weights of its size, input as the student's. What may differ is the tap: tap=auto finds what feeds the last layer
 * with weights, and the wanted one is the map before the reused classifier, which lies further up where that has
 * several such layers. So the files are read as [teacher] would read them, with auto and, where that finds another
 * layer, with the number. */
#include "export.h"
#include "darknet_plugin/lowering/lower_build.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* The smallest cfg that names it. */
static cfg_file *asking(const export_job *job, const char *tap)
{
    cfg_file *c = cfg_new("[teacher]");
    cfg_append_copy(c, cfg_net(job->p->low->cfg));
    cfg_section *t = cfg_append(c, "teacher", job->file[EXPORT_CFG].temp, 0);
    cfg_set(t, "cfg", "%s", job->file[EXPORT_CFG].temp);
    cfg_set(t, "weights", "%s", job->file[EXPORT_WEIGHTS].temp);
    if (tap) cfg_set(t, "tap", "%s", tap);
    return c;
}

/* Its taps as text, and its weights measured; NULL with messages. The caller frees. */
static char *read_as_teacher(const export_job *job, const char *tap, diag *d)
{
    cfg_file *c = asking(job, tap);
    int n;
    teacher_spec *t = teachers_read(c, TEACHERS_WEIGHTS | TEACHERS_TAPS, &n, d);
    weights_info info;
    char *taps = NULL;
    if (t && !weights_inspect(t->weights_path, t->shape, &info, d) && info.layers == t->shape->n)
        for (int i = 0; i < t->taps; ++i) {
            char *more = mem_printf("%s%s%d", taps ? taps : "", taps ? "," : "", t->tap[i]);
            free(taps);
            taps = more;
        }
    teachers_free(t, n);
    cfg_free(c);
    return taps;
}

/* The maps before the reused classifiers; NULL in a plain cfg. */
static char *wanted_taps(const export_job *job)
{
    char *text = NULL;
    for (int i = 0; i < job->p->low->heads; ++i) {
        if (job->p->feature[i] < 0) continue;
        char *more = mem_printf("%s%s%d", text ? text : "", text ? "," : "", job->p->feature[i]);
        free(text);
        text = more;
    }
    return text;
}

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
