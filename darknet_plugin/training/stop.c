/* Signals that end a training (see stop.h). A handler can only reach a global, so there is one. */
#include "stop.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t asked;

static void ask(int signal)
{
    static const char text[] = "\nfinishing this step and saving; once more ends at once\n";
    if (asked) _exit(128 + signal);
    asked = signal;
    if (write(STDERR_FILENO, text, strlen(text)) < 0) return;
}

static void catch_one(int signal)
{
    struct sigaction before, a = { .sa_handler = ask, .sa_flags = SA_RESTART };
    sigemptyset(&a.sa_mask);
    if (!sigaction(signal, NULL, &before) && before.sa_handler != SIG_IGN) sigaction(signal, &a, NULL);
}

void stop_catch(void)
{
    catch_one(SIGINT);
    catch_one(SIGTERM);
}

int stop_asked(void) { return asked; }
const char *stop_name(void) { return asked == SIGTERM ? "SIGTERM" : "SIGINT"; }
int stop_status(int status) { return status && asked ? 128 + asked : status; }
