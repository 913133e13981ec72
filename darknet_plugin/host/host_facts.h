/* Numbers that the host has written into its code, each here once. */
#ifndef DISTILL_HOST_FACTS_H
#define DISTILL_HOST_FACTS_H

#define HOST_EPSILON 1e-6           /* batch norm on the CPU: (x - mean) / (sqrt(variance) + this); a double there */
#define HOST_LEAKY_SLOPE .1f        /* activation=leaky below 0; a float, so that every use has the same bits */
#define HOST_MOST_BOXES 90          /* an image's, whatever a [yolo] or [region] says in max= */

#endif
