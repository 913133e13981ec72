/* The command line of `darknet distill`: a verb is a row of its name, arguments and flags, which the verb's file
 * exports; a flag is a row in the one table of options.c. To add a verb: write its file with its row, and list the row
 * in main.c. */
#ifndef DISTILL_OPTIONS_H
#define DISTILL_OPTIONS_H
#include "diag.h"

#include <stdint.h>
#include <stdio.h>

enum { MAX_POSITIONAL = 4096, MAX_VERB_FLAGS = 32, MOST_VERBS = 64 };

typedef struct options {
    const struct verb *verb;              /* borrowed */
    int n;                                /* positional arguments */
    const char *arg[MAX_POSITIONAL];      /* borrowed from argv */
    int json, clear, force, resume, nogpu, quiet, side_by_side, fold, merge, teacher, from_labels, fp16, fast_reduce;
    int threads, epochs, seed, view_seed, limit, holdout, labelled, views, verify, top, skip_nan, measure;
    int checkpoint;                       /* seconds */
    int images, steps;
    int to, from, batch;                  /* to, from: 0 unless given, which options_given tells */
    double tolerance, seconds, threshold, eps;
    double width, depth;
    int anchors, input_width, input_height;
    double rate, bn, ce, tv;
    const char *backend, *gpus, *data, *backup, *cache, *type, *cache_out, *map, *fit, *weights_of, *onnx;
    const char *from_cfg, *target, *sheet, *method, *precision;
    uint64_t given;                       /* bit i: the flag of row i was given */
    FILE *out;                            /* where results go; everything else is stderr */
    struct ranks *ranks;                  /* who does the command together, NULL = alone; borrowed */
} options;

enum { VERB_USAGE = -2 };

typedef struct verb {
    const char *name, *arguments, *help;      /* what usage says of it */
    int min, max;                             /* positional arguments; a sub-verb's behind its name, which is arg[0] */
    /* 0, or non-zero after adding to `d` what went wrong: VERB_USAGE where the command was put together wrongly */
    int (*run)(options *options, diag *d);
    const char *flags[MAX_VERB_FLAGS];        /* flags' rows, then NULL; it takes those of its sub-verbs, too */
    const struct verb *const *subs;           /* its sub-verbs, then NULL; NULL: it has none */
    const char *example;                      /* what may stand behind the command's name; of a sub-verb, too */
    const char *notes;                        /* whole lines behind the flags in its own help; NULL: none */
    int by_ranks;                             /* several processes can do it together (ranks.h) */
} verb;

/* What is said of a flag. All borrowed. */
typedef struct flag_help {
    const char *name, *argument, *help;       /* argument: "" where it takes none, "a|b" a choice, else what is meant */
    const char *row;                          /* its name in the table, which may differ */
} flag_help;

/* Reads argv[0..argc-1] (behind the verb). Unknown flags, flags of other verbs and bad values go to `d`: 0, or what was
 * wrong. A value is input like any other, the rest wrong usage. */
typedef enum { OPTIONS_VALUE = 1, OPTIONS_USAGE } options_wrong;
int options_parse(options *options, const verb *verb, int argc, char **argv, diag *d);
/* The row of that name in a list that ends on NULL; NULL if there is none. */
const verb *verb_named(const verb *const *verbs, const char *name);
/* The name in such a list that is nearest to one that is not in it; NULL if none is near. */
const char *verb_nearest(const verb *const *verbs, const char *name);
/* The seed of augmented views: -view-seed, or else -seed. */
uint64_t options_view_seed(const options *options);
/* Was the flag of that row given? */
int options_given(const options *options, const char *flag);
/* 0 if the sub-verb takes every flag that was given, else -1 with a message. */
int options_check_sub(const options *options, const verb *sub, diag *d);
/* The first flag from the table's row `from` on that the verb takes: where to go on from, or 0 at the end. */
int options_next_flag(const verb *verb, int from, flag_help *flag);

#endif
