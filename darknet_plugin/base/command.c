/* The command's own name (see command.h). */
#include "command.h"

#include <string.h>

static const char *name = "darknet distill";

void command_called(const char *argv0)
{
    const char *slash = argv0 ? strrchr(argv0, '/') : NULL;
    if (argv0 && !strcmp(slash ? slash + 1 : argv0, COMMAND_INSTALLED)) name = COMMAND_INSTALLED;
}

int command_is_installed(void) { return !strcmp(name, COMMAND_INSTALLED); }

const char *command_name(void) { return name; }
