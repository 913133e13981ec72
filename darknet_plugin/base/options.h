/* Command-line flags of the verbs, in one table (options.c): one row a flag, with the verbs that take it. */
#ifndef DISTILL_OPTIONS_H
#define DISTILL_OPTIONS_H
#include "diag.h"

#include <stdint.h>
#include <stdio.h>

/* Bits naming the verbs, for the flag table's last column. */
enum {
    V_TRAIN = 1, V_VALID = 2, V_EXPORT = 4, V_CHECK = 8, V_SUMMARY = 16, V_PREDICT = 32, V_FEATURES = 64,
    V_WEIGHTS = 128, V_BENCH = 256,
    V_RUNS = V_TRAIN | V_VALID | V_EXPORT | V_PREDICT | V_FEATURES, V_ALL = 511
};

enum { MAX_POSITIONAL = 4096 };

typedef struct options {
    const char *verb;
    int n;                                /* positional arguments */
    const char *arg[MAX_POSITIONAL];      /* borrowed from argv */
    int json, clear, force, nogpu, threads, epochs, seed, limit, verify, top, quiet, views, side_by_side, fold, merge, teacher;
    int resume, checkpoint, skip_nan;     /* checkpoint: seconds */
    int to, from, batch;                  /* to, from: 0 unless given, which options_given tells */
    double tolerance, seconds, threshold;
    const char *backend, *gpus, *data, *backup, *cache, *type, *cache_out, *map, *eps, *fit, *onnx;
    uint64_t given;                       /* bit i: the flag of row i was given */
    FILE *out;                            /* where results go; everything else is stderr */
} options;

/* Reads argv[0..argc-1] (behind the verb). Unknown flags, flags of other verbs and bad values go to `d`. */
int options_parse(options *o, int verb_bit, int argc, char **argv, diag *d);
/* Was -flag given? */
int options_given(const options *o, const char *flag);
/* 0 if the sub-verb takes every flag that was given, else -1 with a message. */
int options_check_sub(const options *o, const char *sub, diag *d);
/* One line a flag that `verb_bit` takes. */
void options_help(int verb_bit, FILE *out);

#endif
