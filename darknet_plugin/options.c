/* Darknet-style flags: "-threads 2", a double dash accepted too. */
#include "options.h"

#include "cfg_keys.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef enum { FLAG_SET, FLAG_INT, FLAG_STR } flag_type;

typedef struct flag_row {
    const char *name;
    flag_type type;
    size_t offset;          /* of the int or const char * in options */
    int min, max, verbs;
    const char *argument, *help;
} flag_row;

#define AT(field) offsetof(options, field)

static const flag_row FLAGS[] = {
    { "json",    FLAG_SET, AT(json),    0, 0, V_VALID | V_SUMMARY | V_CHECK | V_EXPORT | V_PREDICT, "", "result as one JSON object on stdout" },
    { "threads", FLAG_INT, AT(threads), 1, 1024, V_RUNS, "N", "threads to compute with (default: one a core)" },
    { "backend", FLAG_STR, AT(backend), 0, 0, V_RUNS | V_SUMMARY, "dnnl|reference|host", "who computes (default: dnnl)" },
    { "epochs",  FLAG_INT, AT(epochs),  1, 1000000, V_TRAIN, "N", "end after N passes over the training images, whatever max_batches says" },
    { "cache",   FLAG_STR, AT(cache),   0, 0, V_TRAIN, "FILE", "read the teacher's features here and store what is missing" },
    { "out",     FLAG_STR, AT(cache_out), 0, 0, V_FEATURES, "FILE", "the cache (default: [teacher] cache=)" },
    { "views",   FLAG_INT, AT(views),   1, 1000000, V_TRAIN | V_FEATURES, "V", "cycle through V augmented views of each image" },
    { "type",    FLAG_STR, AT(type),    0, 0, V_TRAIN | V_FEATURES, "f16|f32|u8", "how features are stored (default: f16)" },
    { "seed",    FLAG_INT, AT(seed),    0, INT_MAX, V_TRAIN | V_FEATURES, "N", "seed of everything random (default 0)" },
    { "limit",   FLAG_INT, AT(limit),   1, INT_MAX, V_TRAIN | V_VALID | V_FEATURES, "N", "use the first N images only (not valid: of the training images)" },
    { "clear",   FLAG_SET, AT(clear),   0, 0, V_TRAIN, "", "count images from 0 again" },
    { "force",   FLAG_SET, AT(force),   0, 0, V_TRAIN, "", "train even with a teacher that looks untrained" },
    { "quiet",   FLAG_SET, AT(quiet),   0, 0, V_TRAIN | V_FEATURES, "", "one line an epoch, or a view, only" },
    { "backup",  FLAG_STR, AT(backup),  0, 0, V_TRAIN, "DIR", "where weights go (default: the .data file's backup)" },
    { "gpus",    FLAG_STR, AT(gpus),    0, 0, V_TRAIN | V_VALID | V_FEATURES, "LIST", "devices; this build has none" },
    { "data",    FLAG_STR, AT(data),    0, 0, V_EXPORT, "DATA", "verify on this data set's validation images" },
    { "verify",  FLAG_INT, AT(verify),  0, 100000, V_EXPORT, "N", "images to verify on (default 16)" },
    { "fold",    FLAG_SET, AT(fold),    0, 0, V_EXPORT, "", "fold batch norm into the weights" },
    { "merge",   FLAG_SET, AT(merge),   0, 0, V_EXPORT, "", "merge a stack=linear projector with the classifier" },
    { "teacher", FLAG_SET, AT(teacher), 0, 0, V_EXPORT, "", "check that it can be a teacher, print its [teacher] section" },
    { "onnx",    FLAG_STR, AT(onnx),    0, 0, V_EXPORT, "FILE.onnx", "write ONNX too" },
    { "t",       FLAG_INT, AT(top),     1, 100000, V_PREDICT, "N", "how many classes to print" },
};
enum { FLAG_COUNT = sizeof FLAGS / sizeof *FLAGS };

static const flag_row *find_flag(const char *name)
{
    for (int i = 0; i < FLAG_COUNT; ++i)
        if (!strcmp(FLAGS[i].name, name)) return &FLAGS[i];
    return NULL;
}

static void unknown_flag(const char *arg, const char *name, diag *d)
{
    const char *names[FLAG_COUNT];
    for (int i = 0; i < FLAG_COUNT; ++i) names[i] = FLAGS[i].name;
    const char *near = nearest_name(name, names, FLAG_COUNT);
    diag_error(d, NULL, 0, NULL, "unknown flag '%s'", arg);
    if (near) diag_hint(d, "did you mean '-%s'?", near);
}

static int set_int(options *o, const flag_row *f, const char *text, diag *d)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (errno || end == text || *end || v < f->min || v > f->max) {
        diag_error(d, NULL, 0, NULL, "'-%s %s': expected a whole number from %d to %d", f->name, text, f->min, f->max);
        return -1;
    }
    *(int *)((char *)o + f->offset) = (int)v;
    return 0;
}

/* Handles the flag at argv[i]; returns how many arguments it took, 0 after an error. */
static int take_flag(options *o, int verb_bit, int argc, char **argv, int i, diag *d)
{
    const char *name = argv[i] + (argv[i][1] == '-' ? 2 : 1);
    const flag_row *f = find_flag(name);
    if (!f) {
        unknown_flag(argv[i], name, d);
        return 0;
    }
    if (!(f->verbs & verb_bit)) {
        diag_error(d, NULL, 0, NULL, "'-%s' means nothing to '%s'", f->name, o->verb);
        return 0;
    }
    if (f->type == FLAG_SET) {
        *(int *)((char *)o + f->offset) = 1;
        return 1;
    }
    if (i + 1 >= argc) {
        diag_error(d, NULL, 0, NULL, "'-%s' needs a value: %s", f->name, f->argument);
        return 0;
    }
    if (f->type == FLAG_INT) return set_int(o, f, argv[i + 1], d) ? 0 : 2;
    *(const char **)((char *)o + f->offset) = argv[i + 1];
    return 2;
}

int options_parse(options *o, int verb_bit, int argc, char **argv, diag *d)
{
    for (int i = 0; i < argc;) {
        if (argv[i][0] == '-' && argv[i][1]) {
            int took = take_flag(o, verb_bit, argc, argv, i, d);
            if (!took) return -1;
            i += took;
        } else if (o->n == MAX_POSITIONAL) {
            diag_error(d, NULL, 0, NULL, "more than %d arguments", MAX_POSITIONAL);
            return -1;
        } else {
            o->arg[o->n++] = argv[i++];
        }
    }
    return 0;
}

void options_help(int verb_bit, FILE *out)
{
    for (int i = 0; i < FLAG_COUNT; ++i)
        if (FLAGS[i].verbs & verb_bit)
            fprintf(out, "  -%s %-*s %s\n", FLAGS[i].name, 28 - (int)strlen(FLAGS[i].name), FLAGS[i].argument, FLAGS[i].help);
}

int options_no_gpu(const options *o, diag *d)
{
    if (!o->gpus) return 0;
    diag_error(d, NULL, 0, NULL, "'-gpus %s': this build computes on the CPU only", o->gpus);
    return -1;
}
