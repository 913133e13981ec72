/* darknet-distill(1), written from the verbs' rows and the table of flags. */
#include "help.h"

#include "darknet_plugin/base/command.h"
#include "darknet_plugin/base/version.h"

#include <string.h>

/* Text as roff has it: its own characters and a hyphen that can be copied. */
static void put(const char *text, FILE *out)
{
    if (*text == '.' || *text == '\'') fputs("\\&", out);
    for (; *text; ++text) {
        if (*text == '\\') fputs("\\e", out);
        else if (*text == '-') fputs("\\-", out);
        else fputc(*text, out);
    }
}

/* A line of a macro and its text, in quotes. */
static void put_line(const char *macro, const char *text, FILE *out)
{
    fprintf(out, ".%s \"", macro);
    for (; *text; ++text) {
        if (*text == '"') fputs("\\(dq", out);
        else put((const char[]){ *text, 0 }, out);
    }
    fputs("\"\n", out);
}

/* A paragraph of a flag, what it takes, and its help. */
static void put_flag(const flag_help *flag, void *of)
{
    FILE *out = of;
    fputs(".TP\n\\fB\\-", out);
    put(flag->name, out);
    fputs("\\fR", out);
    if (*flag->argument) {
        fputs(" \\fI", out);
        put(flag->argument, out);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    put(flag->help, out);
    fputc('\n', out);
}

static void put_flags(const verb *verb, FILE *out)
{
    for (int i = 0; i < HELP_GROUPS; ++i) {
        if (!help_flags(verb, i, NULL, NULL)) continue;
        fputs(".PP\n", out);
        put(help_heading(i), out);
        fputs(":\n", out);
        help_flags(verb, i, put_flag, out);
    }
}

/* `above` is the verb of which it is a part, and a blank; "" if it is none. */
static void put_verb(const char *above, const verb *verb, FILE *out)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s %s", above, verb->name, verb->arguments);
    put_line("SS", name, out);
    put(verb->help, out);
    fputs(".\n", out);
    if (!verb->subs) put_flags(verb, out);
    if (!verb->example) return;
    fputs(".PP\nFor example:\n.PP\n.RS 4\n.nf\n" COMMAND_INSTALLED " ", out);
    put(verb->example, out);
    fputs("\n.fi\n.RE\n", out);
}

static const char BEFORE[] =
    ".SH NAME\n"
    "darknet\\-distill \\- knowledge distillation for Darknet\n"
    ".SH SYNOPSIS\n"
    ".B darknet\\-distill\n"
    ".I VERB\n"
    ".RI [ ARGUMENT .\\|.\\|.]\n"
    ".RI [ \\-FLAG\n"
    ".RI [ VALUE ]].\\|.\\|.\n"
    ".SH DESCRIPTION\n"
    "A big network, the teacher, trains a small one, the student, which is deployed as a plain\n"
    ".I .cfg\n"
    "and\n"
    ".I .weights\n"
    "that Darknet and OpenCV load unchanged.\n"
    "What is to be learned stands in sections of the student's\n"
    ".IR .cfg ;\n"
    ".B check\n"
    "names every mistake in it.\n"
    "Flags may stand anywhere behind the verb, with one dash or two.\n"
    ".SH VERBS\n";

static const char AFTER[] =
    ".SH EXIT STATUS\n"
    ".TP\n0\nit worked\n"
    ".TP\n1\nthe input was at fault, and a message says where\n"
    ".TP\n2\nwrong usage\n"
    ".TP\n128 + N\nsignal N ended a training early; all is saved\n"
    ".SH ENVIRONMENT\n"
    ".TP\n.B GOMP_SPINCOUNT\n"
    "How long threads that wait for each other spin; 10000 where it is not set.\n"
    ".SH SEE ALSO\n"
    ".BR darknet (1)\n";

void manual_print(const verb *const *verbs, FILE *out)
{
    fprintf(out, ".TH DARKNET\\-DISTILL 1 " DISTILL_RELEASED " \"darknet\\-distill " DISTILL_VERSION "\" "
                 "\"User Commands\"\n");
    fputs(BEFORE, out);
    for (; *verbs; ++verbs) {
        put_verb("", *verbs, out);
        char above[64];
        snprintf(above, sizeof above, "%s ", (*verbs)->name);
        for (int i = 0; (*verbs)->subs && (*verbs)->subs[i]; ++i) put_verb(above, (*verbs)->subs[i], out);
    }
    fputs(AFTER, out);
}
