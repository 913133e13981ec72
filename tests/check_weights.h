/* What the tests of weights_tools share: a network with its files, and sub-verbs run as the command runs them. */
#ifndef DISTILL_TESTS_CHECK_WEIGHTS_H
#define DISTILL_TESTS_CHECK_WEIGHTS_H
#include "check.h"

#include "darknet_plugin/base/options.h"
#include "weights_tools/verbs/weights_view.h"

/* net.cfg and net.weights in the test's folder: 13 layers, layer 0 stores 32 + 216 floats, 1234 images seen. Paths that
 * are returned below are the caller's to free. */
enum { LAYERS = 13, FLOATS_0 = 32 + 8 * 27 };
extern char *cfg_path, *weights_path;
int make_files(void **state);     /* group set-up */
int drop_files(void **state);     /* and its end */

/* Every array with numbers of its own, variances positive. */
void fill_weights(network *net);
/* A copy of net.weights, `n` bytes of it (0: all), with the float at each `at` set. */
char *altered(const char *name, size_t n, const size_t *at, const float *value, int count);
/* A copy whose layer 0 has NaN, infinity, a negative variance and two dead filters. */
char *sick_file(void);
/* A copy of layer 0 alone, an encoder; and one cut inside layer 0. */
char *encoder_file(void);
char *cut_file(void);

typedef struct outcome {
    int status;
    char *out;               /* what it printed, owned */
    diag *d;                 /* owned */
} outcome;
/* Runs a sub-verb on the arguments, NULL ends them. */
extern const verb weights_show, weights_compare, weights_extract, weights_strip;
outcome run(const verb *sub, char *const *argument);
#define RUN(sub, ...) run(&weights_##sub, (char *const[]){ #sub, __VA_ARGS__, NULL })
void drop(outcome r);
void works(outcome r);                        /* it did; drops it */
void fails(outcome r, const char *text);      /* with this one error; drops it */

#endif
