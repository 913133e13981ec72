/* The table of layers that the plugin computes on a CPU: a row for each type, first match first. Compiled four times,
 * like what it names: see variant.h. */
#include "layers/fork_layers.h"
#include "state.h"
#include "vec.h"

static const cpu_row rows[] = {
    { .type = CONVOLUTIONAL, .accepts = accepts_cpu_conv, .make = make_cpu_conv, .forward = forward_cpu_conv,
      .backward = backward_cpu_conv, .update = update_cpu_weights, .free = free_cpu_conv,
      .weights_changed = cpu_conv_weights_changed, .accepts_blocked = accepts_blocked_conv,
      .forward_blocked = forward_cpu_conv, .backward_blocked = backward_cpu_conv },
    { .type = CONNECTED, .make = make_cpu_conv, .forward = forward_cpu_conv, .backward = backward_cpu_conv,
      .update = update_cpu_weights, .free = free_cpu_conv, .weights_changed = cpu_conv_weights_changed },
    { .type = SHORTCUT, .accepts = accepts_cpu_shortcut, .forward = forward_cpu_shortcut,
      .backward = backward_cpu_shortcut, .accepts_blocked = accepts_blocked_shortcut,
      .forward_blocked = forward_blocked_shortcut, .backward_blocked = backward_blocked_shortcut },
    { .type = ACTIVE, .forward = forward_cpu_activation, .backward = backward_cpu_activation,
      .accepts_blocked = accepts_blocked_map, .forward_blocked = forward_blocked_activation,
      .backward_blocked = backward_blocked_activation },
    { .type = AVGPOOL, .forward = forward_cpu_avgpool, .backward = backward_cpu_avgpool,
      .accepts_blocked = accepts_blocked_map, .forward_blocked = forward_blocked_avgpool,
      .backward_blocked = backward_blocked_avgpool, .plain_output = 1 },
    { .type = MAXPOOL, .forward = forward_cpu_maxpool, .backward = backward_cpu_maxpool, .free = free_blocked_maxpool,
      .accepts_blocked = accepts_blocked_map, .forward_blocked = forward_blocked_maxpool,
      .backward_blocked = backward_blocked_maxpool },
    { .type = ROUTE, .accepts_blocked = accepts_blocked_route, .forward_blocked = forward_blocked_route,
      .backward_blocked = backward_blocked_route },
    { .type = UPSAMPLE, .accepts = accepts_cpu_upsample, .accepts_blocked = accepts_blocked_map,
      .forward_blocked = forward_blocked_upsample, .backward_blocked = backward_blocked_upsample },
    { .type = DROPOUT, .make = make_cpu_dropout, .forward = forward_cpu_dropout, .backward = backward_cpu_dropout,
      .free = free_cpu_dropout, .resized = resized_cpu_dropout, .accepts_blocked = accepts_blocked_dropout,
      .forward_blocked = forward_blocked_dropout, .backward_blocked = backward_blocked_dropout },
    { .type = SOFTMAX, .forward = forward_cpu_softmax, .mends = 1, .any_backend = 1 },
    { .type = BATCHNORM, .make = refuse_cpu_batchnorm, .any_backend = 1 },
    { .type = YOLO, .accepts = accepts_cpu_yolo, .make = make_cpu_yolo, .forward = forward_cpu_yolo,
      .free = free_cpu_yolo, .any_backend = 1 },
    /* what the host lacks */
    { .type = (LAYER_TYPE)LAYER_SCALE_CHANNELS, .any_backend = 1, .forward = forward_cpu_product,
      .backward = backward_cpu_product, .accepts_blocked = accepts_blocked_product,
      .forward_blocked = forward_blocked_product, .backward_blocked = backward_blocked_product },
    { .type = (LAYER_TYPE)LAYER_SAM, .any_backend = 1, .forward = forward_cpu_product,
      .backward = backward_cpu_product, .accepts_blocked = accepts_blocked_product,
      .forward_blocked = forward_blocked_product, .backward_blocked = backward_blocked_product },
    { .type = (LAYER_TYPE)LAYER_ROUTE_PART, .any_backend = 1, .forward = forward_cpu_part,
      .backward = backward_cpu_part, .accepts_blocked = accepts_blocked_part,
      .forward_blocked = forward_blocked_part, .backward_blocked = backward_blocked_part },
    { .type = (LAYER_TYPE)LAYER_REORG3D, .any_backend = 1, .forward = forward_cpu_reorg3d,
      .backward = backward_cpu_reorg3d },
    { .type = (LAYER_TYPE)LAYER_SHORTCUT_SUM, .any_backend = 1, .forward = forward_cpu_shortcut_sum,
      .backward = backward_cpu_shortcut_sum, .update = update_cpu_weights },
};

const cpu_kernels cpu_wide = {
    .rows = rows, .count = sizeof rows / sizeof *rows, .lanes = LANES, .choose_layout = cpu_choose_layout,
    .lay_out = cpu_lay_out, .finish_output = cpu_finish_output, .blocked_numbers = cpu_blocked_numbers,
#ifdef HALF
    .half = 1,
#endif
};
