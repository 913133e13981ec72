/* Batch norm's epsilon. This Darknet divides by sqrt(v) + 1e-6 on a CPU (HOST_EPSILON); AlexeyAB's, Darknet on a GPU,
 * PyTorch and others by sqrt(v + e), e mostly 1e-5. For large variances that is the same; for small ones it is another
 * network. Nothing but the stored variance can be changed, so that the same number divides:
 *
 *   v' = (sqrt(v + e) - 1e-6)^2,   sqrt(v') + 1e-6 = sqrt(v + e) */
#ifndef DISTILL_FOLD_EPSILON_H
#define DISTILL_FOLD_EPSILON_H
#include "darknet_plugin/base/diag.h"
#include "darknet_plugin/host/host.h"

/* v'; 0 where sqrt(v + e) is below the host's own epsilon. */
float fold_variance(double variance, double epsilon);
/* Rewrites all variances of a network whose weights are loaded, in recurrent layers, too. */
void fold_epsilon(network *net, double epsilon);
/* Warns where more than 1 % lies between the two formulae, at e = 1e-5; `weights` is the file, `remedy` the hint. */
void fold_notice_epsilon(const network *net, const char *weights, const char *remedy, diag *d);

#endif
