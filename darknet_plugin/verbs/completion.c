/* Completion for bash and zsh, written from the verbs' rows and the table of flags: verbs, sub-verbs, flags, choices,
 * and files by what an argument is called. */
#include "help.h"

#include "darknet_plugin/base/command.h"

#include <string.h>

/* What arguments are called and how such files' names end; "": any. Besides these, OUT.weights is one that ends so. */
static const struct { const char *argument, *ending; } ENDINGS[] = {
    { "DATA", "data" }, { "CFG", "cfg" }, { "WEIGHTS", "weights" }, { "A", "weights" }, { "B", "weights" },
    { "CFG=backup/NAME", "cfg" }, { "FILE", "" }, { "DIR", "" }, { "MODEL", "" }, { "OUT", "" }, { "IMAGE", "" },
};

/* The next argument in "DATA CFG [WEIGHTS] IMAGE...", without brackets and dots behind it: its length, 0 at the end. */
static size_t next_argument(const char **text)
{
    *text += strspn(*text, " [].");
    size_t length = strcspn(*text, " []");
    while (length && (*text)[length - 1] == '.') --length;
    return length;
}

/* The ending of an argument's files, for the caller to print within `room`; 0: it is no file. */
static int ending_of(const char *argument, size_t length, char ending[16])
{
    const char *dot = memchr(argument, '.', length);
    for (size_t i = 0; i < sizeof ENDINGS / sizeof *ENDINGS; ++i) {
        if (strlen(ENDINGS[i].argument) != length || memcmp(ENDINGS[i].argument, argument, length)) continue;
        snprintf(ending, 16, "%s", ENDINGS[i].ending);
        return 1;
    }
    if (!dot || memchr(argument, '|', length)) return 0;
    snprintf(ending, 16, "%.*s", (int)(argument + length - dot - 1), dot + 1);
    return 1;
}

static void each_flag(const verb *verb, help_flag tell, FILE *out)
{
    for (int i = 0; i < HELP_GROUPS; ++i) help_flags(verb, i, tell, out);
}

/* A choice's words, blanks between them. */
static void put_choice(const char *choice, FILE *out)
{
    for (; *choice; ++choice) fputc(*choice == '|' ? ' ' : *choice, out);
}

/* ---- bash ---- */

static void bash_flag(const flag_help *flag, void *of) { fprintf(of, " -%s", flag->name); }

static void bash_valued(const flag_help *flag, void *of)
{
    if (*flag->argument) bash_flag(flag, of);
}

/* A verb, and where what is said of its flags goes. */
typedef struct bash_of {
    const char *above, *name;
    FILE *out;
} bash_of;

/* What may stand behind a flag. */
static void bash_value(const flag_help *flag, void *of)
{
    const bash_of *verb = of;
    char ending[16];
    int file = ending_of(flag->argument, strlen(flag->argument), ending);
    if (!*flag->argument) return;
    fprintf(verb->out, "    '%s%s -%s') ", verb->above, verb->name, flag->name);
    if (file) {
        fprintf(verb->out, "_darknet_distill_files '%s'; return ;;\n", ending);
    } else if (!strchr(flag->argument, '|')) {
        fputs("return ;;\n", verb->out);
    } else {
        fputs("words='", verb->out);
        put_choice(flag->argument, verb->out);
        fputs("' ;;\n", verb->out);
    }
}

/* The same of all flags of a verb, or of its sub-verbs. */
static void bash_values(const char *above, const verb *verb, FILE *out)
{
    bash_of of = { .above = above, .name = verb->name, .out = out };
    for (int i = 0; !verb->subs && i < HELP_GROUPS; ++i) help_flags(verb, i, bash_value, &of);
    if (!verb->subs) return;
    char name[64];
    snprintf(name, sizeof name, "%s ", verb->name);
    for (int i = 0; verb->subs[i]; ++i) bash_values(name, verb->subs[i], out);
}

/* A verb's flags, and its files by their place behind it. `above`: the verb of which it is a part, and a blank. */
static void bash_verb(const char *above, const verb *verb, FILE *out)
{
    const char *at = verb->arguments;
    char ending[16];
    fprintf(out, "    '%s%s') flags='", above, verb->name);
    each_flag(verb, bash_flag, out);
    fputs(" -help'; files=(", out);
    for (size_t length; (length = next_argument(&at)); at += length)
        fprintf(out, " '%s'", ending_of(at, length, ending) ? ending : "");
    fputs(" ) ;;\n", out);
}

static void put_names(const verb *const *verbs, FILE *out)
{
    for (; *verbs; ++verbs) fprintf(out, "%s ", (*verbs)->name);
}

/* The verb itself, or its sub-verbs and each of them. */
static void bash_verbs(const verb *verb, FILE *out)
{
    char above[64];
    if (!verb->subs) {
        bash_verb("", verb, out);
        return;
    }
    fprintf(out, "    '%s') words='", verb->name);
    put_names(verb->subs, out);
    fputs("-help' ;;\n", out);
    snprintf(above, sizeof above, "%s ", verb->name);
    for (int i = 0; verb->subs[i]; ++i) bash_verb(above, verb->subs[i], out);
}

static const char BASH_BEFORE[] =
    "# Completion of darknet-distill for bash, made by darknet-distill -completion bash.\n"
    "# _darknet_distill_files ENDING: folders, and files that end so, or any\n"
    "_darknet_distill_files()\n"
    "{\n"
    "    local ending=$1\n"
    "    compopt -o filenames 2>/dev/null\n"
    "    if [ -n \"$ending\" ]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -f -X \"!*.$ending\" -- \"$word\"; compgen -d -- \"$word\")\n"
    "    else\n"
    "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
    "    fi\n"
    "}\n"
    "_darknet_distill()\n"
    "{\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} verb='' before='' first=2 place=0 i words='' flags='' files=()\n"
    "    COMPREPLY=()\n"
    "    if [ \"$COMP_CWORD\" -gt 1 ]; then\n"
    "        verb=${COMP_WORDS[1]} before=${COMP_WORDS[COMP_CWORD - 1]/#--/-}\n"
    "    fi\n"
    "    case $verb in\n";
static const char BASH_AFTER[] =
    "    esac\n"
    "    case $word in -*) [ -n \"$words\" ] || words=$flags ;; esac\n"
    "    if [ -n \"$words\" ]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
    "        return\n"
    "    fi\n"
    "    for ((i = first; i < COMP_CWORD; ++i)); do\n"
    "        case \"${COMP_WORDS[i]}\" in -*) continue ;; esac\n"
    "        case \"$valued \" in *\" ${COMP_WORDS[i - 1]/#--/-} \"*) continue ;; esac\n"
    "        place=$((place + 1))\n"
    "    done\n"
    "    [ \"${#files[@]}\" -gt 0 ] || return\n"
    "    [ \"$place\" -lt \"${#files[@]}\" ] || place=$((${#files[@]} - 1))\n"
    "    _darknet_distill_files \"${files[place]}\"\n"
    "}\n"
    "complete -F _darknet_distill " COMMAND_INSTALLED "\n";

/* The whole script: what stands before the word decides the case, its place among the arguments the files. */
static void bash_print(const verb *const *verbs, FILE *out)
{
    const verb all = { .name = "all", .subs = verbs };
    fputs(BASH_BEFORE, out);
    for (int i = 0; verbs[i]; ++i)
        if (verbs[i]->subs)
            fprintf(out, "    %s)\n        first=3\n"
                         "        [ \"$COMP_CWORD\" -eq 2 ] || verb+=\" ${COMP_WORDS[2]}\" ;;\n", verbs[i]->name);
    fputs("    esac\n    local valued='", out);
    each_flag(&all, bash_valued, out);
    fputs("'\n    case $verb in\n    '') words='", out);
    put_names(verbs, out);
    fputs("-help -version' ;;\n", out);
    for (int i = 0; verbs[i]; ++i) bash_verbs(verbs[i], out);
    fputs("    *) return ;;\n    esac\n    case \"$verb $before\" in\n", out);
    for (int i = 0; verbs[i]; ++i) bash_values("", verbs[i], out);
    fputs(BASH_AFTER, out);
}

/* ---- zsh ---- */

/* Text within single quotes, and within brackets or before a colon. */
static void zsh_text(const char *text, FILE *out)
{
    for (; *text; ++text) {
        if (*text == '\'') fputs("'\\''", out);
        else if (strchr("[]:\\", *text)) fprintf(out, "\\%c", *text);
        else fputc(*text, out);
    }
}

static void zsh_files(const char *ending, FILE *out)
{
    if (*ending) fprintf(out, "_files -g \"*.%s\"", ending);
    else fputs("_files", out);
}

/* A flag as _arguments has it: '-flag[help]:value:what may stand there'. */
static void zsh_flag(const flag_help *flag, void *of)
{
    FILE *out = of;
    char ending[16];
    fprintf(out, " \\\n        '-%s[", flag->name);
    zsh_text(flag->help, out);
    fputc(']', out);
    if (*flag->argument) {
        fputc(':', out);
        zsh_text(flag->argument, out);
        fputc(':', out);
    }
    if (ending_of(flag->argument, strlen(flag->argument), ending)) zsh_files(ending, out);
    else if (strchr(flag->argument, '|')) {
        fputc('(', out);
        put_choice(flag->argument, out);
        fputc(')', out);
    } else if (*flag->argument) {
        fputc(' ', out);
    }
    fputc('\'', out);
}

/* A verb's flags and files; the last argument may be repeated. */
static void zsh_verb(const verb *verb, FILE *out)
{
    const char *at = verb->arguments;
    char ending[16];
    fprintf(out, "    %s) _arguments", verb->name);
    each_flag(verb, zsh_flag, out);
    for (size_t length; (length = next_argument(&at));) {
        int last = !strncmp(at + length, "...", 3), known = ending_of(at, length, ending);
        fprintf(out, " \\\n        '%s:%.*s:", last ? "*" : "", (int)length, at);
        zsh_files(known ? ending : "", out);
        fputc('\'', out);
        at += length;
    }
    fputs(" ;;\n", out);
}

/* A function that completes one of `verbs` and what stands behind it. */
static void zsh_function(const char *name, const verb *const *verbs, FILE *out)
{
    fprintf(out, "%s() {\n    local -a verbs=(", name);
    for (int i = 0; verbs[i]; ++i) {
        fprintf(out, "\n        '%s:", verbs[i]->name);
        zsh_text(verbs[i]->help, out);
        fputc('\'', out);
    }
    fputs(")\n    if (( CURRENT == 2 )); then _describe verb verbs; return; fi\n"
          "    shift words\n    (( CURRENT-- ))\n    case $words[1] in\n", out);
    for (int i = 0; verbs[i]; ++i) {
        if (verbs[i]->subs) fprintf(out, "    %s) %s_%s ;;\n", verbs[i]->name, name, verbs[i]->name);
        else zsh_verb(verbs[i], out);
    }
    fputs("    esac\n}\n", out);
}

/* A function for each verb with sub-verbs, then the one that zsh calls. */
static void zsh_print(const verb *const *verbs, FILE *out)
{
    char name[64];
    fputs("#compdef " COMMAND_INSTALLED "\n# Made by darknet-distill -completion zsh.\n", out);
    for (int i = 0; verbs[i]; ++i) {
        if (!verbs[i]->subs) continue;
        snprintf(name, sizeof name, "_darknet-distill_%s", verbs[i]->name);
        zsh_function(name, verbs[i]->subs, out);
    }
    zsh_function("_darknet-distill", verbs, out);
    fputs("_darknet-distill \"$@\"\n", out);
}

int completion_print(const verb *const *verbs, const char *shell, FILE *out)
{
    if (!strcmp(shell, "bash")) bash_print(verbs, out);
    else if (!strcmp(shell, "zsh")) zsh_print(verbs, out);
    else return -1;
    return 0;
}
