/* Small networks of convolutions, joins and the layers that AlexeyAB's Darknet has and the host lacks, in plain doubles:
 * formulae from the cfg's keys and nothing of the program but the layers' weights. Batch norm is not among them. */
#ifndef DISTILL_TESTS_CHECK_FORK_H
#define DISTILL_TESTS_CHECK_FORK_H
#include "check.h"

typedef struct fork_reference fork_reference;

/* Of a network that `cfg` was parsed to, with its input and weights as they are. The caller frees. */
fork_reference *fork_reference_of(const network *net, const char *cfg);
void fork_reference_free(fork_reference *reference);
void fork_reference_run(fork_reference *reference);
const double *fork_reference_output(const fork_reference *reference);   /* of the last layer, all images' */
/* Are all the network's weight_updates and bias_updates `times` the differences of sum(coefficient * output)? Of large
 * arrays every few numbers are looked at. */
void fork_reference_check(fork_reference *reference, const float *coefficient, double times, const char *name);

#endif
