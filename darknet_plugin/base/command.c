/* The command's own name (see command.h). */
#include "command.h"

#include "path.h"

#include <string.h>

static const char *name = "darknet distill";

void command_called(const char *argv0)
{
    if (argv0 && !strcmp(path_base_name(argv0), COMMAND_INSTALLED)) name = COMMAND_INSTALLED;
}

int command_is_installed(void) { return !strcmp(name, COMMAND_INSTALLED); }

const char *command_name(void) { return name; }
