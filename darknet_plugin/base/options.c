/* Darknet-style flags: "-threads 2", a double dash accepted too. Which verb takes which flag its row says, by name. */
#include "options.h"

#include "bug.h"
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
    double min, max;
    const char *argument, *help;
} flag_row;

#define AT(field) offsetof(options, field)

static const flag_row FLAGS[] = {
    { "json",         FLAG_SET,   AT(json),         0, 0, "", "result as one JSON object on stdout" },
    { "threads",      FLAG_INT,   AT(threads),      1, 1024, "N", "threads to compute with (default: one a core)" },
    { "backend",      FLAG_STR,   AT(backend),      0, 0, "dnnl|reference|host|gpu",
      "who computes (default: dnnl; where the program was built with GPU=1, gpu)" },
    { "precision",    FLAG_STR,   AT(precision),    0, 0, "fp32|bf16|auto",
      "what maps are made of and convolutions multiply: floats (default), bfloat16, or what is faster here" },
    { "epochs",       FLAG_INT,   AT(epochs),       1, 1000000, "N",
      "end after N passes over the training images, whatever max_batches says" },
    { "cache",        FLAG_STR,   AT(cache),        0, 0, "FILE",
      "read the teacher's features here and store what is missing" },
    { "out",          FLAG_STR,   AT(cache_out),    0, 0, "FILE",
      "features: the cache (default: [teacher] cache=); predict: the picture, or a folder for several; init: the "
      "cfg; report: the page" },
    { "thresh",       FLAG_FLOAT, AT(threshold),    0, 1, "P",
      "detectors: probability above which boxes are shown (default .5)" },
    { "side-by-side", FLAG_SET,   AT(side_by_side), 0, 0, "", "detectors: the teacher's boxes next to the student's" },
    { "views",        FLAG_INT,   AT(views),        1, 1000000, "V", "cycle through V augmented views of each image" },
    { "type",         FLAG_STR,   AT(type),         0, 0, "f16|f32|u8", "how features are stored (default: f16)" },
    { "fit",          FLAG_STR,   AT(fit),          0, 0, "crop|letterbox|stretch",
      "how images fill the input (default: [augment] fit=, else crop; of a detector letterbox); stock "
      "'classifier predict' letterboxes" },
    { "seed",         FLAG_INT,   AT(seed),         0, INT_MAX, "N", "seed of everything random (default 0)" },
    { "view-seed",    FLAG_INT,   AT(view_seed),    0, INT_MAX, "N",
      "seed of the augmented views alone: runs of another -seed share a cache (default: -seed)" },
    { "limit",        FLAG_INT,   AT(limit),        1, INT_MAX, "N",
      "the first N images only (not valid, report: of the training images; predict: frames of a video)" },
    { "holdout",      FLAG_INT,   AT(holdout),      1, INT_MAX, "N",
      "the last N training images are not trained on, but measured instead of valid=" },
    { "labelled",     FLAG_INT,   AT(labelled),     0, INT_MAX, "N",
      "only the first N training images have labels; a teacher teaches on all of them" },
    { "from-labels",  FLAG_SET,   AT(from_labels),  0, 0, "",
      "the network that this distillation deploys, trained from labels and without its teacher" },
    { "weights-of",   FLAG_STR,   AT(weights_of),   0, 0, "CFG",
      "WEIGHTS are this plain network's: its layers, without its answers, start the student" },
    { "clear",        FLAG_SET,   AT(clear),        0, 0, "", "count images from 0 again" },
    { "force",        FLAG_SET,   AT(force),        0, 0, "",
      "train even with a teacher that looks untrained, resume even what was started otherwise, read a cache of another "
      "precision; init: write over -out; synthesize: begin anew in a folder of images made otherwise" },
    { "resume",       FLAG_SET,   AT(resume),       0, 0, "",
      "go on where an interrupted run of the same command was, bit for bit" },
    { "checkpoint",   FLAG_INT,   AT(checkpoint),   0, 1000000, "SECONDS",
      "save at least this often, besides every epoch's end (default 600; 0: every step)" },
    { "skip-nan",     FLAG_INT,   AT(skip_nan),     1, 1000000, "N",
      "leave out up to N steps whose loss or gradients are not finite" },
    { "measure",      FLAG_INT,   AT(measure),      1, 1000000, "N",
      "measure the student every N epochs and at the end (default: as many images trained on as are looked at, "
      "a detector's four times)" },
    { "fast-reduce",  FLAG_SET,   AT(fast_reduce),  0, 0, "",
      "several ranks: gradients are added in whatever order MPI likes best; runs then need not repeat to the bit" },
    { "quiet",        FLAG_SET,   AT(quiet),        0, 0, "",
      "one line an epoch, or a view, only; synthesize: the end alone" },
    { "backup",       FLAG_STR,   AT(backup),       0, 0, "DIR",
      "where weights go (default: the .data file's backup)" },
    { "gpus",         FLAG_STR,   AT(gpus),         0, 0, "N",
      "the CUDA device to compute on (default 0, where the program was built with GPU=1)" },
    { "nogpu",        FLAG_SET,   AT(nogpu),        0, 0, "", "compute on the CPU" },
    { "data",         FLAG_STR,   AT(data),         0, 0, "DATA", "verify on this data set's validation images" },
    { "verify",       FLAG_INT,   AT(verify),       0, 100000, "N", "images to verify on (default 16)" },
    { "map",          FLAG_STR,   AT(map),          0, 0, "FILE",
      "import: lines 'tensor or module = layer number' that count before the order" },
    { "eps",          FLAG_FLOAT, AT(eps),          0, 1, "E",
      "import: epsilon of the model's batch norm, where its file has none (default 1e-5); fold: that of this network" },
    { "fold",         FLAG_SET,   AT(fold),         0, 0, "", "fold batch norm into the weights" },
    { "merge",        FLAG_SET,   AT(merge),        0, 0, "", "merge a stack=linear projector with the classifier" },
    { "teacher",      FLAG_SET,   AT(teacher),      0, 0, "",
      "check that it can be a teacher, print its [teacher] section" },
    { "onnx",         FLAG_STR,   AT(onnx),         0, 0, "FILE.onnx", "write ONNX too" },
    { "fp16",         FLAG_SET,   AT(fp16),         0, 0, "", "weights of -onnx in half precision, half the file" },
    { "t",            FLAG_INT,   AT(top),          1, 100000, "N", "how many classes to print" },
    { "tolerance",    FLAG_FLOAT, AT(tolerance),    0, 1, "T",
      "compare: relative difference that still counts as equal (default: bit for bit)" },
    { "to",           FLAG_INT,   AT(to),           0, INT_MAX, "N", "extract: layers 0 to N, an encoder" },
    { "from",         FLAG_INT,   AT(from),         0, INT_MAX, "N", "extract: layers N to the end, a tail" },
    { "from-cfg",     FLAG_STR,   AT(from_cfg),     0, 0, "TEACHER.cfg",
      "init: make the student of this teacher, smaller; without a size and -out: list what sizes cost" },
    { "width",        FLAG_FLOAT, AT(width),        0, 1, "W", "init -from: W times the filters of each layer" },
    { "depth",        FLAG_FLOAT, AT(depth),        0, 1, "D", "init -from: D times the repeated blocks of each row" },
    { "target",       FLAG_STR,   AT(target),       0, 0, "5ms|2M",
      "init -from: the largest size listed that answers in so many ms, or has so many parameters (k, M)" },
    { "batch",        FLAG_INT,   AT(batch),        1, 65536, "N",
      "images a run when throughput is measured (default: the cfg's); synthesize: made together (default 250)" },
    { "n",            FLAG_INT,   AT(images),       1, 10000000, "N", "images to make (default 5000)" },
    { "method",       FLAG_STR,   AT(method),       0, 0, "generator|pixels",
      "a network makes them and learns with them, or pixel by pixel, slower (default: generator)" },
    { "steps",        FLAG_INT,   AT(steps),        1, 1000000, "N",
      "of each batch (default: generator 10, pixels 200)" },
    { "rate",         FLAG_FLOAT, AT(rate),         1e-6, 10, "R",
      "train: learning rate instead of the cfg's; synthesize: Adam's (default: generator .005, pixels .05)" },
    { "bn",           FLAG_FLOAT, AT(bn),           0, 1000000, "W",
      "weight of batch norms' statistics (default 10)" },
    { "ce",           FLAG_FLOAT, AT(ce),           0, 1000000, "W", "weight of the class that was drawn (default 1)" },
    { "tv",           FLAG_FLOAT, AT(tv),           0, 1000000, "W",
      "weight of smoothness (default: generator 0, pixels 1)" },
    { "anchors",      FLAG_INT,   AT(anchors),      1, 1000, "N",
      "anchors for a detector's cfg, by k-means of the boxes of train= (default with CFG: as many as it has)" },
    { "input-width",  FLAG_INT,   AT(input_width),  1, 16384, "W", "the network's input (default: CFG's, else 416)" },
    { "input-height", FLAG_INT,   AT(input_height), 1, 16384, "H", "the network's input (default: CFG's, else 416)" },
    { "sheet",        FLAG_STR,   AT(sheet),        0, 0, "FILE.png",
      "a picture of 16 training images with their labels, with CFG as training sees them first" },
    { "seconds",      FLAG_FLOAT, AT(seconds),      0, 3600, "S",
      "bench: time for each reader (default 3); report: for each network (default 1; 0: none)" },
};
enum { FLAG_COUNT = sizeof FLAGS / sizeof *FLAGS };
_Static_assert(FLAG_COUNT <= 64, "options.given has a bit for every flag");

/* Flags that mean something else to other verbs: what the user writes for such a row. */
static const struct { const char *row, *written; } SHARED[] = {
    { "from-cfg", "from" }, { "input-width", "width" }, { "input-height", "height" },
};

static const char *written(const flag_row *flag)
{
    for (size_t i = 0; i < sizeof SHARED / sizeof *SHARED; ++i)
        if (!strcmp(SHARED[i].row, flag->name)) return SHARED[i].written;
    return flag->name;
}

/* The row of that name. */
static const flag_row *find_flag(const char *name)
{
    for (int i = 0; i < FLAG_COUNT; ++i)
        if (!strcmp(FLAGS[i].name, name)) return &FLAGS[i];
    return NULL;
}

/* Does the verb's row, or one of its sub-verbs', name this flag? */
static int takes(const verb *verb, const char *flag)
{
    for (int i = 0; i < MAX_VERB_FLAGS && verb->flags[i]; ++i)
        if (!strcmp(verb->flags[i], flag)) return 1;
    for (int i = 0; verb->subs && verb->subs[i]; ++i)
        if (takes(verb->subs[i], flag)) return 1;
    return 0;
}

/* A row that names a flag which is not there is found by whoever first runs its verb or asks it for help. */
static void check_row(const verb *verb)
{
    for (int i = 0; i < MAX_VERB_FLAGS && verb->flags[i]; ++i)
        BUG_UNLESS(find_flag(verb->flags[i]), "a verb names an unknown flag");
    for (int i = 0; verb->subs && verb->subs[i]; ++i) check_row(verb->subs[i]);
}

const verb *verb_named(const verb *const *verbs, const char *name)
{
    for (; *verbs; ++verbs)
        if (!strcmp((*verbs)->name, name)) return *verbs;
    return NULL;
}

const char *verb_nearest(const verb *const *verbs, const char *name)
{
    const char *names[MOST_VERBS];
    int n = 0;
    for (; verbs[n] && n < MOST_VERBS; ++n) names[n] = verbs[n]->name;
    return nearest_name(name, names, n);
}

static void unknown_flag(const char *arg, const char *name, diag *d)
{
    const char *names[FLAG_COUNT];
    for (int i = 0; i < FLAG_COUNT; ++i) names[i] = written(&FLAGS[i]);
    const char *near = nearest_name(name, names, FLAG_COUNT);
    diag_error(d, NULL, 0, NULL, "unknown flag '%s'", arg);
    if (near) diag_hint(d, "did you mean '-%s'?", near);
}

/* A whole number within the flag's bounds, else -1 with a message. */
static int set_int(options *options, const flag_row *flag, const char *text, diag *d)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (errno || end == text || *end || v < flag->min || v > flag->max) {
        diag_error(d, NULL, 0, NULL, "'-%s %s': expected a whole number from %.0f to %.0f", written(flag), text,
                   flag->min, flag->max);
        return -1;
    }
    *(int *)((char *)options + flag->offset) = (int)v;
    return 0;
}

/* A number within the flag's bounds, else -1 with a message. */
static int set_float(options *options, const flag_row *flag, const char *text, diag *d)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !(v >= flag->min && v <= flag->max)) {
        diag_error(d, NULL, 0, NULL, "'-%s %s': expected a number from %.9g to %.9g", written(flag), text,
                   flag->min, flag->max);
        return -1;
    }
    *(double *)(void *)((char *)options + flag->offset) = v;
    return 0;
}

/* The flag that `arg` names, if the verb takes it; else NULL with a message. */
static const flag_row *find_taken(const options *options, const char *arg, diag *d)
{
    const char *name = arg + (arg[1] == '-' ? 2 : 1);
    const flag_row *flag = NULL;
    for (int i = 0; i < FLAG_COUNT; ++i) {
        if (strcmp(written(&FLAGS[i]), name)) continue;
        flag = &FLAGS[i];
        if (takes(options->verb, flag->name)) return flag;
    }
    if (!flag) {
        unknown_flag(arg, name, d);
        return NULL;
    }
    diag_error(d, NULL, 0, NULL, "'-%s' means nothing to '%s'", written(flag), options->verb->name);
    return NULL;
}

/* Handles the flag arg[0] with its value, arg[1], where `room` says that there is one. Returns how many arguments it
 * took; 0: wrong usage, -1: a wrong value, both with a message. */
static int take_flag(options *options, char **arg, int room, diag *d)
{
    const flag_row *flag = find_taken(options, arg[0], d);
    if (!flag) return 0;
    options->given |= (uint64_t)1 << (flag - FLAGS);
    if (flag->type == FLAG_SET) {
        *(int *)((char *)options + flag->offset) = 1;
        return 1;
    }
    if (room < 2) {
        diag_error(d, NULL, 0, NULL, "'-%s' needs a value: %s", written(flag), flag->argument);
        return 0;
    }
    if (flag->type == FLAG_INT) return set_int(options, flag, arg[1], d) ? -1 : 2;
    if (flag->type == FLAG_FLOAT) return set_float(options, flag, arg[1], d) ? -1 : 2;
    *(const char **)((char *)options + flag->offset) = arg[1];
    return 2;
}

/* One argument after another, until one is wrong. */
int options_parse(options *options, const verb *verb, int argc, char **argv, diag *d)
{
    check_row(verb);
    options->verb = verb;
    for (int i = 0; i < argc;) {
        if (argv[i][0] == '-' && argv[i][1]) {
            int took = take_flag(options, argv + i, argc - i, d);
            if (took < 1) return took ? OPTIONS_VALUE : OPTIONS_USAGE;
            i += took;
        } else if (options->n == MAX_POSITIONAL) {
            diag_error(d, NULL, 0, NULL, "more than %d arguments", MAX_POSITIONAL);
            return OPTIONS_USAGE;
        } else {
            options->arg[options->n++] = argv[i++];
        }
    }
    return 0;
}

int options_given(const options *options, const char *flag)
{
    const flag_row *row = find_flag(flag);
    return row && (options->given >> (row - FLAGS) & 1);
}

uint64_t options_view_seed(const options *options)
{
    return (uint64_t)(options_given(options, "view-seed") ? options->view_seed : options->seed);
}

int options_check_sub(const options *options, const verb *sub, diag *d)
{
    for (int i = 0; i < FLAG_COUNT; ++i) {
        if (!options_given(options, FLAGS[i].name) || takes(sub, FLAGS[i].name)) continue;
        diag_error(d, NULL, 0, NULL, "'-%s' means nothing to '%s %s'", FLAGS[i].name, options->verb->name, sub->name);
        return -1;
    }
    return 0;
}

int options_next_flag(const verb *verb, int from, flag_help *flag)
{
    check_row(verb);
    for (int i = from; i < FLAG_COUNT; ++i) {
        if (!takes(verb, FLAGS[i].name)) continue;
        *flag = (flag_help){ written(&FLAGS[i]), FLAGS[i].argument, FLAGS[i].help, FLAGS[i].name };
        return i + 1;
    }
    return 0;
}
