/* Running a network whose layers are bound, on the CPU or a device: the parts of train_network_datum, without its
 * surprises. `end` = layers 0..end-1 only. Shapes as Darknet's. */
#ifndef DISTILL_NETWORK_H
#define DISTILL_NETWORK_H
#include "darknet_plugin/host/host.h"

/* Once, first thing in main (tests too): our sections, the host, and what the GPU backend mends in networks that it
 * parses. */
void network_init(void);
/* The same in someone else's process, see host_init_as_guest. 0, or -1 with a message. */
int network_init_as_guest(diag *d);
/* Zeroes deltas when training, sets net.train, runs. */
void network_forward(network *net, int end, int train);
void network_backward(network *net, int end);     /* from layer end-1 down; net->delta NULL at layer 0 */
void network_backward_to(network *net, int end, int begin);   /* the same, down to layer begin */
/* Between forward and backward: multiplies layer i's delta, wherever it is; 0 clears it, whatever it was. */
void network_weigh_delta(network *net, int i, float factor);
/* Backward, all of it; minus the gradient of the network's input is added to delta, (batch, inputs). The network was
 * bound with cpu_options.input_delta; on the CPU only. */
void network_backward_input(network *net, int end, float *delta);
void network_update(network *net, int end);       /* rate from network_rate(), batch * subdivisions as divisor */
double network_rate(const network *net);          /* current learning rate by policy, burn_in, *net->seen */
/* All layers for an input of w x h. net->input and net->truth must be the host's own: it allocates new ones. 0, or -1
 * with a message where a layer's size is fixed. */
int network_resize(network *net, int w, int h, diag *d);

#endif
