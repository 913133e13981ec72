/* Numbers behind the host's last, in the fields of its own layers: what AlexeyAB's Darknet has and the host lacks (see
 * layers/fork_layers.h). They stand here since weights files are about them, too. */
#ifndef DISTILL_HOST_FORK_H
#define DISTILL_HOST_FORK_H
#include <darknet.h>

/* layer.activation */
enum { ACTIVATION_MISH = SELU + 1, ACTIVATION_SWISH, ACTIVATION_RELU6, ACTIVATION_HARD_SWISH, ACTIVATION_HARD_MISH,
       ACTIVATION_GELU };
/* layer.type */
enum { LAYER_SCALE_CHANNELS = BLANK + 1, LAYER_SAM, LAYER_REORG3D, LAYER_ROUTE_PART, LAYER_SHORTCUT_SUM };

#endif
