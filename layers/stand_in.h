/* How a loss of ours becomes a layer of Darknet's, which cannot be taught a layer type.
 *
 * It begins as a parsed [activation] linear, whose output has the size of its input, and gets callbacks. It then calls
 * itself UPSAMPLE of stride 1, the one type whose resizing does exactly what is wanted here: resize_network ends the
 * program on types it does not know. A loss with parameters of its own begins as a depthwise 1x1 [convolutional] and
 * stays one, so that they are updated, saved and brought to a device as any layer's. All sizes are therefore read from
 * the layer, which the host keeps up to date. */
#ifndef DISTILL_STAND_IN_H
#define DISTILL_STAND_IN_H
#include "darknet_plugin/host/host.h"

/* Is `l` a stand-in that nobody has taken, of c * h * w values an image? 1, or 0 with a message for section `name`. */
int stand_in_fits(const layer *l, const char *name, int c, int h, int w, diag *d);
/* Takes it: before cpu_bind, which then leaves it alone. `state`, the caller's to free when the layer goes, hangs where
 * Darknet keeps an RNN's inner layer: the host touches that field of no other type. */
void stand_in_take(layer *l, int c, int h, int w, void *state, void (*forward)(layer, host_state),
                   void (*backward)(layer, host_state));
/* The state of one that is taken. */
static inline void *stand_in_state(const layer *l) { return l->self_layer; }

#endif
