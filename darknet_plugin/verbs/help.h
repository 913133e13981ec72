/* What is said of verbs and flags, all out of their tables: on the terminal, as a manual page, and to shells. */
#ifndef DISTILL_HELP_H
#define DISTILL_HELP_H
#include "darknet_plugin/base/options.h"

/* A verb's flags in groups, each group in the table's order; NULL: flags that no group names. */
typedef void (*help_flag)(const flag_help *flag, void *of);
enum { HELP_GROUPS = 13 };
/* The heading of a group, 0 to HELP_GROUPS - 1. */
const char *help_heading(int group);
/* Calls tell(flag, of) for each flag of the verb in that group. How many there were. */
int help_flags(const verb *verb, int group, help_flag tell, void *of);

/* `VERB -help`: usage, sub-verbs, flags by group, an example. */
void help_verb(const verb *verb, FILE *out);
/* darknet-distill(1), in the man macros. */
void manual_print(const verb *const *verbs, FILE *out);
/* Completion for "bash" or "zsh". 0, or -1: of another shell. */
int completion_print(const verb *const *verbs, const char *shell, FILE *out);

#endif
