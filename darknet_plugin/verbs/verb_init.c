/* `darknet distill init`: writes the distillation cfg of a student and a teacher, or of a teacher alone, whose student
 * is then made smaller (see darknet_plugin/init/init.h). What is written is checked as `check` does. */
#include "verb_check.h"

#include "darknet_plugin/base/command.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/base/out_file.h"
#include "darknet_plugin/init/init.h"
#include "layers/cpu/parallel.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* With -from a size may be asked for, by -width and -depth or by -target. */
static int asks_size(const options *options)
{
    return options_given(options, "width") || options_given(options, "depth");
}

static int wrong(diag *d, const char *what, const char *hint)
{
    diag_error(d, NULL, 0, NULL, "%s", what);
    diag_hint(d, "%s", hint);
    return -1;
}

static const char usage_hint[] =
    "init STUDENT.cfg TEACHER.cfg [TEACHER.weights] -out NEW.cfg, or init -from TEACHER.cfg [TEACHER.weights] "
    "-width .5 -out NEW.cfg";

/* Do arguments and flags go together? */
static int check_usage(const options *options, diag *d)
{
    int from = options->from_cfg != NULL, target = options->target != NULL, size = asks_size(options);
    if (from ? options->n > 1 : options->n < 2)
        return wrong(d, from ? "with -from there is one argument at most, the teacher's weights"
                             : "expected a student's cfg and a teacher's", usage_hint);
    if (!from && (size || target))
        return wrong(d, "-width, -depth and -target make a student of -from TEACHER.cfg: there is one", usage_hint);
    if (size && target)
        return wrong(d, "-target chooses a size, -width and -depth say it: not both", "leave one of them out");
    if (!options->cache_out && (!from || size || target))
        return wrong(d, "where to? -out is missing", usage_hint);
    if (!options->cache_out || !from || size || target) return 0;
    return wrong(d, "how large? -width, -depth or -target is missing", "without -out the sizes are listed");
}

/* Above 0 and at most 1. */
static int read_factor(const options *options, const char *flag, double value, double *factor, diag *d)
{
    *factor = options_given(options, flag) ? value : 1;
    if (*factor >= .001) return 0;
    diag_error(d, NULL, 0, NULL, "'-%s %g': expected a number above 0, at least .001", flag, value);
    return -1;
}

static int read_job(const options *options, init_job *job, diag *d)
{
    int before = options->from_cfg ? 0 : 2;      /* arguments before the weights */
    *job = (init_job){ .student = before ? options->arg[0] : NULL,
                       .teacher = before ? options->arg[1] : options->from_cfg,
                       .weights = options->n > before ? options->arg[before] : NULL,
                       .out = options->cache_out ? options->cache_out : "student.cfg" };
    return read_factor(options, "width", options->width, &job->width, d) ||
           read_factor(options, "depth", options->depth, &job->depth, d) ? -1 : 0;
}

/* Nobody's work is written over unasked. */
static int check_out(const options *options, diag *d)
{
    if (!options->cache_out) return 0;
    if (!options->force && !access(options->cache_out, F_OK)) {
        diag_error(d, options->cache_out, 0, NULL, "is there already");
        diag_hint(d, "-force writes over it");
        return -1;
    }
    return out_file_check(&options->cache_out, 1, d);
}

static void print_size(const init_size *size, int chosen, FILE *out)
{
    fprintf(out, "%5g %6g %12zu %13.3f %10.3f%s\n", size->width, size->depth, size->params, size->macs / 1e6,
            size->seconds * 1e3, chosen ? "  <- the largest that fits" : "");
}

static void print_sizes(const init_job *job, const init_size size[INIT_SIZES], int chosen, FILE *out)
{
    fprintf(out, "students of %s, projector and classifier included; ms: an image at a time, here; threads: %d\n\n"
                 "width  depth   parameters  M mult-adds         ms\n", job->teacher, parallel_threads());
    for (int i = 0; i < INIT_SIZES; ++i) print_size(&size[i], i == chosen, out);
    fprintf(out, "\n");
}

/* The sizes, and what to type to get one. */
static int list_sizes(const options *options, const init_job *job, diag *d)
{
    init_size size[INIT_SIZES];
    if (init_sizes(job, 1, size, d)) return -1;
    print_sizes(job, size, -1, options->out);
    fprintf(options->out, "choose one: %s init -from %s%s%s -width .5 -out student.cfg\n"
                          "or let it be chosen: -target 5ms (an image) or -target 2M (parameters)\n", command_name(),
            job->teacher, job->weights ? " " : "", job->weights ? job->weights : "");
    return 0;
}

/* -target: the job becomes that of the size that fits. */
static int choose_size(const options *options, init_job *job, diag *d)
{
    init_size size[INIT_SIZES];
    init_target target;
    if (init_read_target(options->target, &target, d) || init_sizes(job, 1, size, d)) return -1;
    int chosen = init_choose(size, &target, d);
    print_sizes(job, size, chosen, options->out);
    if (chosen < 0) return -1;
    job->width = size[chosen].width;
    job->depth = size[chosen].depth;
    return 0;
}

static int write_cfg(const init_job *job, diag *d)
{
    init_cfg *made = init_make(job, d);
    if (!made) return -1;
    size_t len;
    char *text = init_text(made, &len);
    int failed = out_file_check(&job->out, 1, d) || out_file_text(job->out, text, len, d);
    free(text);
    init_free(made);
    return failed ? -1 : 0;
}

static void print_next(const init_job *job, FILE *out)
{
    const char *command = command_name();
    if (job->weights) {
        fprintf(out, "next: %s train FILE.data %s\n", command, job->out);
        return;
    }
    fprintf(out, "next: name the teacher's weights in %s, below cfg=, as weights=FILE (%s train FILE.data %s makes "
                 "some); then: %s train FILE.data %s\n", job->out, command, job->teacher, command, job->out);
}

/* Checks what is asked, then lists sizes or writes the cfg. */
static int run(options *options, diag *d)
{
    init_job job;
    if (check_usage(options, d)) return VERB_USAGE;
    if (read_job(options, &job, d) || check_out(options, d)) return -1;
    parallel_set_threads(options->threads);
    if (options->from_cfg && !options->cache_out) return list_sizes(options, &job, d);
    if (options->target && choose_size(options, &job, d)) return -1;
    if (write_cfg(&job, d) || check_whole_cfg(job.out, options->out, d)) return -1;
    print_next(&job, options->out);
    return 0;
}

const verb verb_init = {
    .name = "init", .arguments = "[STUDENT.cfg] [TEACHER.cfg] [TEACHER.weights]", .min = 0, .max = 3, .run = run,
    .help = "write the distillation cfg of a student and a teacher, or with -from of a teacher alone",
    .example = "init student.cfg teacher.cfg teacher.weights -out new.cfg",
    .flags = { "out", "from-cfg", "width", "depth", "target", "threads", "force" },
};
