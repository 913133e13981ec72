/* The front door: `darknet distill VERB ...` runs here, everything else goes to the stock Darknet.
 * Exit status: 0 it worked, 1 the input was at fault, 2 wrong usage, 128 + N signal N ended a training early. */
#include "device.h"
#include "help.h"
#include "passthrough.h"

#include "darknet_plugin/base/command.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/base/ranks.h"
#include "darknet_plugin/base/unfinished.h"
#include "darknet_plugin/base/version.h"
#include "darknet_plugin/host/host.h"
#include "darknet_plugin/training/stop.h"
#include "layers/network.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In the order in which usage lists them. */
extern const verb verb_train, verb_valid, verb_features, verb_export, verb_check, verb_summary, verb_predict;
extern const verb verb_data, verb_weights, verb_bench, verb_init, verb_synthesize, verb_report;

static const verb *const VERBS[] = {
    &verb_train, &verb_valid, &verb_features, &verb_export, &verb_check, &verb_summary, &verb_predict,
    &verb_data, &verb_weights, &verb_bench, &verb_init, &verb_synthesize, &verb_report, NULL,
};
enum { WRONG_USAGE = 2 };

static int usage(FILE *out)
{
    fprintf(out, "usage: %s VERB ...\n\n", command_name());
    for (const verb *const *verb = VERBS; *verb; ++verb)
        fprintf(out, "  %-10s %-26s %s\n", (*verb)->name, (*verb)->arguments, (*verb)->help);
    fprintf(out, "\n'%s VERB -help' lists a verb's flags, '%s -version' says the version%s\n", command_name(),
            command_name(), command_is_installed() ? "" : ";\nany other command goes to the stock darknet");
    return WRONG_USAGE;
}

static int verb_usage(const verb *verb, FILE *out)
{
    help_verb(verb, out);
    return WRONG_USAGE;
}

static int unknown_verb(const char *name)
{
    const char *near = verb_nearest(VERBS, name);
    fprintf(stderr, "error: unknown verb '%s'\n", name);
    if (near) fprintf(stderr, "hint: did you mean '%s'?\n", near);
    else fprintf(stderr, "hint: '%s -help' lists what there is\n", command_name());
    return WRONG_USAGE;
}

static int wants_help(const char *arg)
{
    return !strcmp(arg, "-help") || !strcmp(arg, "--help") || !strcmp(arg, "-h");
}

static int wants_version(const char *arg)
{
    return !strcmp(arg, "-version") || !strcmp(arg, "--version");
}

/* Results that did not arrive are a failure. Nobody kept the reason of one that was noticed in the middle. */
static int was_lost(FILE *out, diag *d)
{
    int failed = fflush(out);
    const char *why = failed ? strerror(errno) : "some of it was lost";
    if (!failed && !ferror(out)) return 0;
    diag_error(d, NULL, 0, NULL, "cannot write to the standard output: %s", why);
    return 1;
}

/* Can several processes do it, if there are? And one of them on several devices, in that precision? */
static int refuse_several(const verb *verb, const options *options, diag *d)
{
    if (options->ranks && !verb->by_ranks) {
        diag_error(d, NULL, 0, NULL, "'%s' is for one process, mpirun started %d", verb->name,
                   ranks_count(options->ranks));
        return -1;
    }
    cpu_precision precision;
    return device_several(options, verb->name, verb->by_ranks, d) || device_precision(options, &precision, d);
}

/* Reads the verb's flags, runs it, and makes sure that what it printed has arrived. */
static int run_alone(const verb *verb, int argc, char **argv, ranks *ranks, diag *d)
{
    static options options;
    options.ranks = ranks;
    options.verify = 16;
    options.checkpoint = 600;
    options.eps = 1e-5;
    int wrong = options_parse(&options, verb, argc, argv, d);
    if (wrong) return wrong == OPTIONS_VALUE ? 1 : WRONG_USAGE;
    if (options.n < verb->min || options.n > verb->max) {
        if (!ranks_leads(ranks)) return WRONG_USAGE;
        fprintf(stderr, "error: '%s' takes %s\n", verb->name, verb->arguments);
        return verb_usage(verb, stderr);
    }
    if (refuse_several(verb, &options, d)) return WRONG_USAGE;
    options.out = host_claim_stdout();
    if (!ranks_leads(ranks) && !freopen("/dev/null", "w", options.out)) return 1;
    if (ranks) ranks->fast = options.fast_reduce;
    signal(SIGPIPE, SIG_IGN);   /* a reader who leaves is noticed at the end and must not end a training */
    int failed = verb->run(&options, d);
    if (failed == VERB_USAGE) return WRONG_USAGE;
    failed |= was_lost(options.out, d);
    return stop_status(failed || diag_errors(d) ? 1 : 0);
}

/* The same, perhaps by several processes. */
static int run_verb(const verb *verb, int argc, char **argv, diag *d)
{
    ranks *ranks;
    if (ranks_begin(&ranks, d)) return 1;
    int status = run_alone(verb, argc, argv, ranks, d);
    if (!ranks_end(ranks, status, d)) diag_clear(d);
    return status;
}

/* What `make install` asks for: `-man`, `-completion SHELL`. 1 if it is that. */
static int print_generated(int argc, char **argv)
{
    if (!strcmp(argv[0], "-man")) {
        manual_print(VERBS, stdout);
        return 1;
    }
    return argc > 1 && !strcmp(argv[0], "-completion") && !completion_print(VERBS, argv[1], stdout);
}

/* Asked for, rather than for a verb? Then it is printed. */
static int print_asked(int argc, char **argv)
{
    if (wants_help(argv[0])) usage(stdout);
    else if (wants_version(argv[0])) printf("darknet-distill %s\n", DISTILL_VERSION);
    else return print_generated(argc, argv);
    return 1;
}

/* `darknet distill ...`, behind these two words. */
static int distill(int argc, char **argv, diag *d)
{
    if (argc < 1) return usage(stderr);
    if (print_asked(argc, argv)) return was_lost(stdout, d);
    const verb *verb = verb_named(VERBS, argv[0]);
    if (!verb) return unknown_verb(argv[0]);
    int help = 0;
    for (int i = 1; i < argc; ++i) help |= wants_help(argv[i]);
    if (!help) return run_verb(verb, argc - 1, argv + 1, d);
    verb_usage(verb, stdout);
    return was_lost(stdout, d);
}

/* A stream that is closed would be the first file we open, and what is printed would end up there. Reading from nothing
 * stands in for the standard output, so that writing fails and is noticed. */
static void keep_streams_apart(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY) != fd) _exit(1);
}

/* OpenMP's waiting threads spin for milliseconds by default, which starves the threads that load images and whatever
 * else the machine does: training was measured four to seven times slower on a busy machine. libgomp reads its settings
 * when it is loaded, so they are set and the program starts once more; a user's own settings are left alone. */
static void wait_politely(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY") || setenv("GOMP_SPINCOUNT", "10000", 1)) return;
    execv("/proc/self/exe", argv);
}

static int run(int argc, char **argv, diag *d)
{
    unfinished_catch(unfinished_end_all);
    if (command_is_installed()) return distill(argc - 1, argv + 1, d);
    return strcmp(argv[1], "distill") ? passthrough(argc, argv, d) : distill(argc - 2, argv + 2, d);
}

/* Only here are messages printed and an exit status made of them. */
int main(int argc, char **argv)
{
    command_called(argv[0]);
    wait_politely(argv);
    signal(SIGXFSZ, SIG_IGN);   /* a file that grows beyond `ulimit -f` is an error like a full disk */
    keep_streams_apart();
    network_init();
    if (argc < 2) return usage(stderr);
    diag *d = diag_new();
    int status = host_check(d) ? 1 : run(argc, argv, d);
    diag_print(d, stderr);
    if (!status && diag_errors(d)) status = 1;
    diag_free(d);
    return status;
}
