/* The front door: `darknet distill VERB ...` runs here, everything else goes to the stock Darknet.
 * Exit status: 0 it worked, 1 the input was at fault, 2 wrong usage, 128 + N signal N ended a training early. */
#include "darknet_plugin/sections/cfg_keys.h"
#include "layers/network.h"
#include "darknet_plugin/training/stop.h"
#include "verbs.h"
#include "darknet_plugin/base/words.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct verb_row {
    const char *name;
    int (*run)(options *, diag *);
    int bit, min, max;          /* positional arguments */
    const char *arguments, *help;
} verb_row;

static const verb_row VERBS[] = {
    { "train",   verb_train,   V_TRAIN,   2, 3, "DATA CFG [WEIGHTS]", "train a distillation, or a plain classifier cfg" },
    { "valid",   verb_valid,   V_VALID,   2, 3, "DATA CFG [WEIGHTS]", "teacher and student side by side; without WEIGHTS the teacher alone" },
    { "features", verb_features, V_FEATURES, 2, 2, "DATA CFG", "compute the teacher's features once, into a cache" },
    { "export",  verb_export,  V_EXPORT,  3, 3, "CFG WEIGHTS OUT", "write plain OUT.cfg + OUT.weights, verified" },
    { "check",   verb_check,   V_CHECK,   1, 1, "CFG", "report every mistake in a cfg" },
    { "summary", verb_summary, V_SUMMARY, 1, 1, "CFG", "layers, shapes, parameters, multiply-adds" },
    { "predict", verb_predict, V_PREDICT, 4, MAX_POSITIONAL, "DATA CFG WEIGHTS IMAGE...", "classify images, or find objects in them" },
    { "weights", verb_weights, V_WEIGHTS, 1, 5, "SUB ...", "show, compare, convert weights files" },
    { "bench",   verb_bench,   V_BENCH,   1, 2, "CFG [WEIGHTS]", "latency and throughput beside stock Darknet and OpenCV" },
};
enum { VERB_COUNT = sizeof VERBS / sizeof *VERBS };

static int usage(FILE *out)
{
    fprintf(out, "usage: darknet distill VERB ...\n\n");
    for (int i = 0; i < VERB_COUNT; ++i)
        fprintf(out, "  %-8s %-26s %s\n", VERBS[i].name, VERBS[i].arguments, VERBS[i].help);
    fprintf(out, "\n'darknet distill VERB -help' lists a verb's flags; any other command goes to the stock darknet\n");
    return 2;
}

static int verb_usage(const verb_row *v, FILE *out)
{
    fprintf(out, "usage: darknet distill %s %s\n  %s\n\n", v->name, v->arguments, v->help);
    if (v->bit == V_WEIGHTS) verb_weights_help(out);
    options_help(v->bit, out);
    return 2;
}

static const verb_row *find_verb(const char *name)
{
    for (int i = 0; i < VERB_COUNT; ++i)
        if (!strcmp(VERBS[i].name, name)) return &VERBS[i];
    return NULL;
}

static int unknown_verb(const char *name)
{
    const char *names[VERB_COUNT];
    for (int i = 0; i < VERB_COUNT; ++i) names[i] = VERBS[i].name;
    const char *near = nearest_name(name, names, VERB_COUNT);
    fprintf(stderr, "error: unknown verb '%s'\n", name);
    if (near) fprintf(stderr, "hint: did you mean '%s'?\n", near);
    return 2;
}

static int wants_help(const char *arg)
{
    return !strcmp(arg, "-help") || !strcmp(arg, "--help") || !strcmp(arg, "-h");
}

/* Results that did not arrive are a failure. Nobody kept the reason of one that was noticed in the middle. */
static int was_lost(FILE *out, diag *d)
{
    int failed = fflush(out), why = errno;
    if (!failed && !ferror(out)) return 0;
    diag_error(d, NULL, 0, NULL, "cannot write to the standard output: %s", failed ? strerror(why) : "some of it was lost");
    return 1;
}

static int run_verb(const verb_row *v, int argc, char **argv, diag *d)
{
    static options o;
    o = (options){ .verb = v->name, .verify = 16, .checkpoint = 600 };
    if (options_parse(&o, v->bit, argc, argv, d)) return 2;
    if (o.n < v->min || o.n > v->max) {
        fprintf(stderr, "error: '%s' takes %s\n", v->name, v->arguments);
        return verb_usage(v, stderr);
    }
    o.out = host_claim_stdout();
    signal(SIGPIPE, SIG_IGN);   /* a reader who leaves is noticed at the end and must not end a training */
    int failed = v->run(&o, d);
    failed |= was_lost(o.out, d);
    return stop_status(failed || diag_errors(d) ? 1 : 0);
}

static int distill(int argc, char **argv, diag *d)
{
    if (argc < 1 || wants_help(argv[0])) {
        usage(argc < 1 ? stderr : stdout);
        return argc < 1 ? 2 : was_lost(stdout, d);
    }
    const verb_row *v = find_verb(argv[0]);
    if (!v) return unknown_verb(argv[0]);
    for (int i = 1; i < argc; ++i)
        if (wants_help(argv[i])) {
            verb_usage(v, stdout);
            return was_lost(stdout, d);
        }
    return run_verb(v, argc - 1, argv + 1, d);
}

/* A stream that is closed would be the first file we open, and what is printed would end up there. Reading from nothing stands in
 * for the standard output, so that writing fails and is noticed. */
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

int main(int argc, char **argv)
{
    wait_politely(argv);
    keep_streams_apart();
    network_init();
    if (argc < 2) return usage(stderr);
    diag *d = diag_new();
    int status = host_check(d) ? 1 : strcmp(argv[1], "distill") ? passthrough(argc, argv, d) : distill(argc - 2, argv + 2, d);
    diag_print(d, stderr);
    if (!status && diag_errors(d)) status = 1;
    diag_free(d);
    return status;
}
