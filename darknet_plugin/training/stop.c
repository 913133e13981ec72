/* Signals that end a training (see stop.h). A handler can only reach a global, so there is one. */
#include "stop.h"

#include "darknet_plugin/base/unfinished.h"

#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t asked;

static const char *before = "\n";      /* what ends or erases a line that is being drawn */

static void ask(int signal)
{
    static const char text[] = "finishing this step and saving; once more ends at once\n";
    if (asked) unfinished_end_all(signal);
    asked = signal;
    if (write(STDERR_FILENO, before, strlen(before)) < 0) return;
    if (write(STDERR_FILENO, text, strlen(text)) < 0) return;
}

/* Another rank says it. */
static void ask_quietly(int signal)
{
    if (asked) unfinished_end_all(signal);
    asked = signal;
}

void stop_catch(int quietly, int live)
{
    before = live && isatty(STDERR_FILENO) ? "\r\033[K" : "\n";
    unfinished_catch(quietly ? ask_quietly : ask);
}

void stop_ask(int signal)
{
    if (!asked) asked = signal;
}

int stop_asked(void) { return asked; }

const char *stop_name(void)
{
    static const struct { int signal; const char *name; } names[] = {
        { SIGINT, "SIGINT" }, { SIGTERM, "SIGTERM" }, { SIGHUP, "SIGHUP" }, { SIGUSR1, "SIGUSR1" },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        if (names[i].signal == asked) return names[i].name;
    return "a signal";
}

int stop_status(int status) { return status && asked ? 128 + asked : status; }
