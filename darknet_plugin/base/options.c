/* Darknet-style flags: "-threads 2", a double dash accepted too. */
#include "options.h"

#include "words.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef enum { FLAG_SET, FLAG_INT, FLAG_FLOAT, FLAG_STR } flag_type;

typedef struct flag_row {
    const char *name;
    flag_type type;
    size_t offset;          /* of the int, double or const char * in options */
    int min, max, verbs;
    const char *argument, *help;
} flag_row;

#define AT(field) offsetof(options, field)

static const flag_row FLAGS[] = {
    { "json",    FLAG_SET, AT(json),    0, 0, V_VALID | V_SUMMARY | V_CHECK | V_EXPORT | V_PREDICT | V_WEIGHTS | V_BENCH, "", "result as one JSON object on stdout" },
    { "threads", FLAG_INT, AT(threads), 1, 1024, V_RUNS | V_BENCH, "N", "threads to compute with (default: one a core)" },
    { "backend", FLAG_STR, AT(backend), 0, 0, V_RUNS | V_SUMMARY | V_BENCH, "dnnl|reference|host|gpu", "who computes (default: dnnl; where the program was built with GPU=1, gpu)" },
    { "epochs",  FLAG_INT, AT(epochs),  1, 1000000, V_TRAIN, "N", "end after N passes over the training images, whatever max_batches says" },
    { "cache",   FLAG_STR, AT(cache),   0, 0, V_TRAIN, "FILE", "read the teacher's features here and store what is missing" },
    { "out",     FLAG_STR, AT(cache_out), 0, 0, V_FEATURES | V_PREDICT, "FILE", "features: the cache (default: [teacher] cache=); predict: the picture, or a folder for several" },
    { "thresh",  FLAG_FLOAT, AT(threshold), 0, 1, V_PREDICT, "P", "detectors: probability above which boxes are shown (default .5)" },
    { "side-by-side", FLAG_SET, AT(side_by_side), 0, 0, V_PREDICT, "", "detectors: the teacher's boxes next to the student's" },
    { "views",   FLAG_INT, AT(views),   1, 1000000, V_TRAIN | V_FEATURES, "V", "cycle through V augmented views of each image" },
    { "type",    FLAG_STR, AT(type),    0, 0, V_TRAIN | V_FEATURES, "f16|f32|u8", "how features are stored (default: f16)" },
    { "fit",     FLAG_STR, AT(fit),     0, 0, V_VALID | V_PREDICT, "letterbox|stretch", "how a detector's images fill its input (default: [augment] fit=, else letterbox)" },
    { "seed",    FLAG_INT, AT(seed),    0, INT_MAX, V_TRAIN | V_FEATURES | V_BENCH, "N", "seed of everything random (default 0)" },
    { "limit",   FLAG_INT, AT(limit),   1, INT_MAX, V_TRAIN | V_VALID | V_FEATURES | V_PREDICT, "N", "the first N images only (not valid: of the training images; predict: frames of a video)" },
    { "clear",   FLAG_SET, AT(clear),   0, 0, V_TRAIN, "", "count images from 0 again" },
    { "force",   FLAG_SET, AT(force),   0, 0, V_TRAIN, "", "train even with a teacher that looks untrained, resume even what was started otherwise" },
    { "resume",  FLAG_SET, AT(resume),  0, 0, V_TRAIN, "", "go on where an interrupted run of the same command was, bit for bit" },
    { "checkpoint", FLAG_INT, AT(checkpoint), 0, 1000000, V_TRAIN, "SECONDS", "save at least this often, besides every epoch's end (default 600; 0: every step)" },
    { "skip-nan", FLAG_INT, AT(skip_nan), 1, 1000000, V_TRAIN, "N", "leave out up to N steps whose loss or gradients are not finite" },
    { "quiet",   FLAG_SET, AT(quiet),   0, 0, V_TRAIN | V_FEATURES, "", "one line an epoch, or a view, only" },
    { "backup",  FLAG_STR, AT(backup),  0, 0, V_TRAIN, "DIR", "where weights go (default: the .data file's backup)" },
    { "gpus",    FLAG_STR, AT(gpus),    0, 0, V_TRAIN | V_VALID | V_FEATURES | V_PREDICT, "N", "the CUDA device to compute on (default 0, where the program was built with GPU=1)" },
    { "nogpu",   FLAG_SET, AT(nogpu),   0, 0, V_TRAIN | V_VALID | V_FEATURES | V_PREDICT | V_SUMMARY, "", "compute on the CPU" },
    { "data",    FLAG_STR, AT(data),    0, 0, V_EXPORT, "DATA", "verify on this data set's validation images" },
    { "verify",  FLAG_INT, AT(verify),  0, 100000, V_EXPORT, "N", "images to verify on (default 16)" },
    { "map",     FLAG_STR, AT(map),     0, 0, V_WEIGHTS, "FILE", "import: lines 'tensor or module = layer number' that count before the order" },
    { "eps",     FLAG_STR, AT(eps),     0, 0, V_WEIGHTS, "E", "import: epsilon of the model's batch norm, where its file has none (default 1e-5)" },
    { "fold",    FLAG_SET, AT(fold),    0, 0, V_EXPORT, "", "fold batch norm into the weights" },
    { "merge",   FLAG_SET, AT(merge),   0, 0, V_EXPORT, "", "merge a stack=linear projector with the classifier" },
    { "teacher", FLAG_SET, AT(teacher), 0, 0, V_EXPORT, "", "check that it can be a teacher, print its [teacher] section" },
    { "onnx",    FLAG_STR, AT(onnx),    0, 0, V_EXPORT, "FILE.onnx", "write ONNX too" },
    { "t",       FLAG_INT, AT(top),     1, 100000, V_PREDICT, "N", "how many classes to print" },
    { "tolerance", FLAG_FLOAT, AT(tolerance), 0, 1, V_WEIGHTS, "T", "compare: relative difference that still counts as equal (default: bit for bit)" },
    { "to",      FLAG_INT, AT(to),      0, INT_MAX, V_WEIGHTS, "N", "extract: layers 0 to N, an encoder" },
    { "from",    FLAG_INT, AT(from),    0, INT_MAX, V_WEIGHTS, "N", "extract: layers N to the end, a tail" },
    { "batch",   FLAG_INT, AT(batch),   1, 65536, V_BENCH, "N", "images a run when throughput is measured (default: the cfg's)" },
    { "seconds", FLAG_FLOAT, AT(seconds), 0, 3600, V_BENCH, "S", "time for each reader (default 3)" },
};
enum { FLAG_COUNT = sizeof FLAGS / sizeof *FLAGS };
/* Flags that only one sub-verb of 'weights' takes. */
static const struct { const char *flag, *sub; } SUB_FLAGS[] = {
    { "map", "import" }, { "eps", "import" }, { "tolerance", "compare" }, { "to", "extract" }, { "from", "extract" },
};
_Static_assert(FLAG_COUNT <= 64, "options.given has a bit for every flag");

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

static int set_float(options *o, const flag_row *f, const char *text, diag *d)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !(v >= f->min && v <= f->max)) {
        diag_error(d, NULL, 0, NULL, "'-%s %s': expected a number from %d to %d", f->name, text, f->min, f->max);
        return -1;
    }
    *(double *)(void *)((char *)o + f->offset) = v;
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
    o->given |= (uint64_t)1 << (f - FLAGS);
    if (f->type == FLAG_SET) {
        *(int *)((char *)o + f->offset) = 1;
        return 1;
    }
    if (i + 1 >= argc) {
        diag_error(d, NULL, 0, NULL, "'-%s' needs a value: %s", f->name, f->argument);
        return 0;
    }
    if (f->type == FLAG_INT) return set_int(o, f, argv[i + 1], d) ? 0 : 2;
    if (f->type == FLAG_FLOAT) return set_float(o, f, argv[i + 1], d) ? 0 : 2;
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

int options_given(const options *o, const char *flag)
{
    const flag_row *f = find_flag(flag);
    return f && (o->given >> (f - FLAGS) & 1);
}

int options_check_sub(const options *o, const char *sub, diag *d)
{
    for (size_t i = 0; i < sizeof SUB_FLAGS / sizeof *SUB_FLAGS; ++i) {
        if (!options_given(o, SUB_FLAGS[i].flag) || !strcmp(SUB_FLAGS[i].sub, sub)) continue;
        diag_error(d, NULL, 0, NULL, "'-%s' means nothing to '%s %s'", SUB_FLAGS[i].flag, o->verb, sub);
        return -1;
    }
    return 0;
}

void options_help(int verb_bit, FILE *out)
{
    for (int i = 0; i < FLAG_COUNT; ++i)
        if (FLAGS[i].verbs & verb_bit)
            fprintf(out, "  -%s %-*s %s\n", FLAGS[i].name, 28 - (int)strlen(FLAGS[i].name), FLAGS[i].argument, FLAGS[i].help);
}
