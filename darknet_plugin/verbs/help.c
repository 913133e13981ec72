/* Flags by group, and `VERB -help` (see help.h). A flag that no group names is listed under the last heading. */
#include "help.h"

#include "darknet_plugin/base/command.h"

#include <string.h>

enum { MOST_OF_A_GROUP = 16, OTHERS = HELP_GROUPS - 1 };

static const struct { const char *heading, *flag[MOST_OF_A_GROUP]; } GROUPS[HELP_GROUPS] = {
    { "length, start and end", { "epochs", "rate", "from-labels", "weights-of", "clear", "resume", "checkpoint",
                                 "measure", "skip-nan", "force" } },
    { "images and chance", { "data", "fit", "limit", "holdout", "labelled", "seed", "view-seed" } },
    { "the teacher's features, kept", { "cache", "views", "type" } },
    { "answers", { "t", "thresh", "side-by-side" } },
    { "what is deployed", { "verify", "fold", "merge", "teacher", "onnx", "fp16" } },
    { "weights", { "map", "eps", "to", "from", "tolerance" } },
    { "images that are made", { "n", "method", "steps", "bn", "ce", "tv" } },
    { "the student's size", { "from-cfg", "width", "depth", "target" } },
    { "the network that images are for", { "anchors", "input-width", "input-height" } },
    { "time", { "batch", "seconds" } },
    { "who computes", { "threads", "backend", "precision", "gpus", "nogpu", "fast-reduce" } },
    { "what is written", { "out", "sheet", "backup", "json", "quiet" } },
    { "more", { NULL } },
};

const char *help_heading(int group) { return GROUPS[group].heading; }

static int group_of(const char *flag)
{
    for (int i = 0; i < OTHERS; ++i)
        for (int j = 0; j < MOST_OF_A_GROUP && GROUPS[i].flag[j]; ++j)
            if (!strcmp(GROUPS[i].flag[j], flag)) return i;
    return OTHERS;
}

int help_flags(const verb *verb, int group, help_flag tell, void *of)
{
    flag_help flag;
    int n = 0;
    for (int at = 0; (at = options_next_flag(verb, at, &flag));) {
        if (group_of(flag.row) != group) continue;
        ++n;
        if (tell) tell(&flag, of);
    }
    return n;
}

static void print_flag(const flag_help *flag, void *of)
{
    fprintf(of, "  -%s %-*s %s\n", flag->name, 28 - (int)strlen(flag->name), flag->argument, flag->help);
}

void help_verb(const verb *verb, FILE *out)
{
    fprintf(out, "usage: %s %s %s\n  %s\n", command_name(), verb->name, verb->arguments, verb->help);
    for (int i = 0; verb->subs && verb->subs[i]; ++i)
        fprintf(out, "%s  %-8s %-24s %s\n", i ? "" : "\n", verb->subs[i]->name, verb->subs[i]->arguments,
                verb->subs[i]->help);
    for (int i = 0; i < HELP_GROUPS; ++i) {
        if (!help_flags(verb, i, NULL, NULL)) continue;
        fprintf(out, "\n%s:\n", help_heading(i));
        help_flags(verb, i, print_flag, out);
    }
    if (verb->notes) fprintf(out, "\n%s", verb->notes);
    if (verb->example) fprintf(out, "\nexample:\n  %s %s\n", command_name(), verb->example);
}
