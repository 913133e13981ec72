/* What AlexeyAB's Darknet has and the host lacks: activations and layers, computed by us in the host's network.
 *
 * The host parses a stand-in with the same number of channels; what it makes then gets the activation and type that are
 * meant, numbers behind the host's last. Such a layer has a row in layers/cpu/bind.c with any_backend set (on a device
 * one in layers/gpu/bind.c): the host's own code never meets these numbers.
 *
 * To add an activation: its number and a line in fork_layers.c, its arithmetic in layers/cpu/activate.h. To add a layer:
 * its number and a row there, its keys in cfg_keys.c, its shape in shapes_layers.c, its arithmetic in a file of its
 * own. */
#ifndef DISTILL_FORK_LAYERS_H
#define DISTILL_FORK_LAYERS_H
#include "darknet_plugin/host/host.h"

/* layer.activation */
enum { ACTIVATION_MISH = SELU + 1, ACTIVATION_SWISH, ACTIVATION_RELU6, ACTIVATION_HARD_SWISH, ACTIVATION_HARD_MISH,
       ACTIVATION_GELU };
/* layer.type */
enum { LAYER_SCALE_CHANNELS = BLANK + 1, LAYER_SAM, LAYER_REORG3D, LAYER_ROUTE_PART, LAYER_SHORTCUT_SUM };

/* host_hooks.stand_ins and, for what follows on parsing, its counterpart. */
cfg_file *fork_stand_ins(const cfg_file *cfg, diag *d);
int fork_take(network *net, const cfg_file *cfg, diag *d);
/* The name of an activation, the host's or one of these, as cfgs have it. */
const char *fork_activation_name(int activation);

#endif
