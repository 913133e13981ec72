/* What AlexeyAB's Darknet has and the host lacks: activations and layers, computed by us in the host's network.
 *
 * The host parses a stand-in with the same number of channels; what it makes then gets the activation and type that are
 * meant, numbers behind the host's last. Such a layer has a row in layers/cpu/bind.c with any_backend set (on a device
 * one in layers/gpu/bind.c): the host's own code never meets these numbers.
 *
 * To add an activation: its number in host_fork.h and a line in fork_layers.c, its arithmetic in activation_ops.h. To
 * add a layer: its number in host_fork.h and a row in fork_rows.c, its keys in cfg_keys.c, its shape in
 * shapes_layers.c, its arithmetic in a file of its own.
 *
 *   LAYER_SCALE_CHANNELS, LAYER_SAM   y = act(z s): z is layer l.index, s the one before; l.spatial: s is a map of one
 *                                     channel, not a number for each
 *   LAYER_REORG3D                     y[o c + k][i][j] = x[k][i s + o / s][j s + o % s], s = l.stride
 *   LAYER_ROUTE_PART                  part l.index of l.groups of each of the l.n layers l.input_layers, in a row
 *   LAYER_SHORTCUT_SUM                y = act(w_0 x + sum of w_k z_k), z_k layer l.input_layers[k - 1], in the channels
 *                                     that it has; l.nweights: 0, n + 1, or (n + 1) c; l.softmax is how they are
 *                                     normalised (shortcut_sum_ops.h) */
#ifndef DISTILL_FORK_LAYERS_H
#define DISTILL_FORK_LAYERS_H
#include "darknet_plugin/host/host.h"
#include "darknet_plugin/host/host_fork.h"

/* layer.softmax of LAYER_SHORTCUT_SUM */
enum { FORK_SUM_PLAIN, FORK_SUM_RELU, FORK_SUM_SOFTMAX };
/* How many weights each of its operands has, 1 where it has none. */
static inline int fork_sum_groups(const layer *l) { return l->nweights > l->n + 1 ? l->out_c : 1; }

/* A map times factors: one for each channel of an image, each of its pixels, or each number. */
enum { FORK_BY_CHANNEL, FORK_BY_PIXEL, FORK_BY_NUMBER };
/* Of a LAYER_SCALE_CHANNELS or LAYER_SAM. */
static inline int fork_product_kind(const layer *l)
{
    if ((int)l->type == LAYER_SAM) return FORK_BY_NUMBER;
    return l->spatial ? FORK_BY_PIXEL : FORK_BY_CHANNEL;
}

/* host_hooks.stand_ins and, for what follows on parsing, its counterpart. */
cfg_file *fork_stand_ins(const cfg_file *cfg, diag *d);
int fork_take(network *net, const cfg_file *cfg, diag *d);
/* The name of an activation, the host's or one of these, as cfgs have it. */
const char *fork_activation_name(int activation);

/* Does this network need fork_resize, since the host's resize_network does not know all its layers or stops among them?
 * 1 or 0. */
int fork_resizes(const network *net);
/* All layers for an image of w x h, as the host's resize_network does for those that it knows. 0, or -1 with a message
 * where a layer's size is fixed; then nothing has changed. */
int fork_resize(network *net, int w, int h, diag *d);

/* A network just parsed, whose layers with touched[i] get a size other than the host gave them: they and what reads
 * them get sizes and buffers. 0, or -1 with a message where a layer's size is fixed. */
int fork_settle(network *net, const char *touched, diag *d);

/* A convolution's or maxpool's strides and a convolution's dilation, which stand in fields that the host uses in other
 * layers; l.stride is the smaller stride. */
static inline int fork_stride_x(const layer *l) { return l->extra > 0 ? l->extra : l->stride; }
static inline int fork_stride_y(const layer *l) { return l->side > 0 ? l->side : l->stride; }
static inline int fork_dilation(const layer *l) { return l->steps > 1 ? l->steps : 1; }
static inline int fork_two_strides(const layer *l) { return fork_stride_x(l) != fork_stride_y(l); }
/* Does this convolution or maxpool move windows as the host cannot? */
static inline int fork_other_window(const layer *l) { return fork_two_strides(l) || fork_dilation(l) > 1; }
static inline void fork_set_strides(layer *l, int x, int y)
{
    l->extra = x;
    l->side = y;
}
static inline void fork_set_dilation(layer *l, int dilation) { l->steps = dilation; }

#endif
