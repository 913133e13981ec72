/* The files of a run, CFG=backup/NAME: the weights it ended on, what it wrote of itself, and the same of the network
 * trained from labels beside it, NAME-labels. */
#include "report_internal.h"

#include "darknet_plugin/base/command.h"
#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const ENDS[] = { "final", "best", "last" };

/* PREFIX_final.weights, or else the best there is; the caller frees, NULL: none is there. */
static char *weights_of(const char *prefix, const char *labels)
{
    for (size_t i = 0; i < sizeof ENDS / sizeof *ENDS; ++i) {
        char *path = mem_printf("%s%s_%s.weights", prefix, labels, ENDS[i]);
        if (!access(path, F_OK)) return path;
        free(path);
    }
    return NULL;
}

/* As the shell reads it. */
static void put_word(FILE *out, const char *word)
{
    static const char PLAIN[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-+=,:@%";
    if (*word && !word[strspn(word, PLAIN)]) {
        fprintf(out, " %s", word);
        return;
    }
    fputs(" '", out);
    for (; *word; ++word) fprintf(out, *word == '\'' ? "'\\''" : "%c", *word);
    fputc('\'', out);
}

static void put_flag(FILE *out, const char *flag, double value)
{
    if (value > 0) fprintf(out, " -%s %.0f", flag, value);
}

/* How the run from labels is made, for as long and from as many images; the caller frees. */
static char *command_of(const report_run *run, const report *report)
{
    char *text, *folder = path_folder(run->prefix);
    size_t len;
    FILE *out = mem_stream(&text, &len);
    fprintf(out, "%s train", command_name());
    put_word(out, report->options.data);
    put_word(out, run->cfg);
    fputs(" -from-labels", out);
    put_flag(out, "epochs", run->log.epochs);
    put_flag(out, "seed", run->log.seed);
    put_flag(out, "holdout", (double)report->options.holdout);
    fputs(" -backup", out);
    put_word(out, *folder ? folder : ".");
    mem_stream_end(out);
    free(folder);
    return text;
}

/* Where the cfg's name ends in "CFG=backup/NAME": names may hold a '=', so where a file's name does. NULL: nowhere. */
static const char *cut_of(const char *text)
{
    const char *first = strchr(text, '=');
    for (const char *at = first; at; at = strchr(at + 1, '=')) {
        char *cfg = mem_printf("%.*s", (int)(at - text), text);
        int there = !path_problem(cfg);
        free(cfg);
        if (there && at[1]) return at;
    }
    return first && first > text && first[1] ? first : NULL;
}

/* The run's own have to be there, those from labels may be missing. */
static int find_weights(report_run *run, diag *d)
{
    run->weights = weights_of(run->prefix, "");
    run->labels_weights = weights_of(run->prefix, MODEL_FROM_LABELS);
    if (run->weights) return 0;
    diag_error(d, run->prefix, 0, NULL, "no weights of this run: there is no %s_final.weights, _best or _last",
               run->name);
    if (run->labels_weights) diag_hint(d, "there are those from labels: the distilled ones have to be there, too");
    else diag_hint(d, "'%s train DATA %s' leaves them in the folder of -backup, by the name of its cfg", command_name(),
                   run->cfg);
    return -1;
}

/* A run from labels is found beside the distilled one; named by itself it would be taken for that. */
static int refuse_labels(const report_run *run, diag *d)
{
    size_t length = strlen(run->prefix), end = strlen(MODEL_FROM_LABELS);
    if (!report_is_distilled(run) || length <= end || strcmp(run->prefix + length - end, MODEL_FROM_LABELS)) return 0;
    diag_error(d, run->prefix, 0, NULL, "is the run from labels, which is found beside the distilled one");
    diag_hint(d, "%s=%.*s", run->cfg, (int)(length - end), run->prefix);
    return -1;
}

static void read_logs(report_run *run, diag *d)
{
    char *path = mem_printf("%s.jsonl", run->prefix), *labels = mem_printf("%s%s.jsonl", run->prefix,
                                                                           MODEL_FROM_LABELS);
    report_log_read(&run->log, path, d);
    report_log_read(&run->labels_log, labels, d);
    free(path);
    free(labels);
}

static report_network no_network(void)
{
    return (report_network){ .score = NAN, .finer = NAN, .params = NAN, .macs = NAN, .seconds = NAN };
}

/* What lowering knows of the networks. */
static void take_sizes(report_run *run)
{
    const lowered *low = run->low;
    run->student = run->labels = no_network();
    run->student.params = run->labels.params = (double)low->shape->params;
    run->student.macs = run->labels.macs = low->shape->macs;
    run->teachers = low->teachers;
    run->last = low->teachers > 1 && low->heads ? low->head[low->heads - 1].teacher : 0;
    for (int i = 0; i < low->teachers; ++i) {
        const teacher_spec *spec = &low->teacher[i];
        char *stem = path_stem(spec->cfg_path);
        run->teacher[i] = (report_teacher){ .name = mem_strdup(*spec->name ? spec->name : stem), .net = no_network(),
                                            .cfg = mem_strdup(spec->cfg_path),
                                            .weights = mem_strdup(spec->weights_path ? spec->weights_path : "") };
        run->teacher[i].net.params = (double)spec->shape->params;
        run->teacher[i].net.macs = spec->shape->macs;
        free(stem);
    }
}

/* What is read later on: the page must not be written over it, which is looked at before. */
static void note_weights(const report_run *run, diag *d)
{
    in_file_note(run->weights, d);
    if (run->labels_weights) in_file_note(run->labels_weights, d);
    for (int i = 0; i < run->teachers; ++i) in_file_note(run->teacher[i].weights, d);
}

int report_run_open(report_run *run, const char *text, const report *report, diag *d)
{
    const char *cut = cut_of(text);
    *run = (report_run){ .agreement = NAN, .feature_mse = NAN };
    if (!cut) {
        diag_error(d, NULL, 0, NULL, "'%s': expected CFG=backup/NAME", text);
        diag_hint(d, "the cfg, and what the names of its run's files begin with: cfg/student.cfg=backup/student");
        return -1;
    }
    run->cfg = mem_printf("%.*s", (int)(cut - text), text);
    run->prefix = mem_strdup(cut + 1);
    run->name = path_base_name(run->prefix);
    run->low = lower_read(run->cfg, LOWER_DEPLOY, d);
    if (!run->low || refuse_labels(run, d) || find_weights(run, d)) return -1;
    read_logs(run, d);
    take_sizes(run);
    note_weights(run, d);
    if (report_is_distilled(run) && !run->labels_weights) run->labels_command = command_of(run, report);
    return 0;
}

static void forget_network(report_network *network)
{
    free(network->of_class);
    free(network->answer);
    free(network->sure);
}

/* All that it owns; one that was never opened may be all zeros. */
void report_run_free(report_run *run)
{
    char *const owned[] = { run->cfg, run->prefix, run->weights, run->labels_weights, run->labels_command, run->diagram,
                            run->maps, run->disagreements };
    for (size_t i = 0; i < sizeof owned / sizeof *owned; ++i) free(owned[i]);
    for (int i = 0; i < run->teachers; ++i) {
        free(run->teacher[i].name);
        free(run->teacher[i].cfg);
        free(run->teacher[i].weights);
        forget_network(&run->teacher[i].net);
    }
    forget_network(&run->student);
    forget_network(&run->labels);
    report_log_free(&run->log);
    report_log_free(&run->labels_log);
    lower_free(run->low);
    *run = (report_run){ 0 };
}
