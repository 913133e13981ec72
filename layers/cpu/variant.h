/* Blocked layers are compiled four times: for blocks of as many channels as the processor's vectors hold, with
 * -DNARROW for blocks of 8, with -DHALF for wide blocks of bfloat16 numbers, and for the same with -DLAST in the order
 * of channels last (vec.h).
 *
 * A network of few channels would carry mostly empty lanes through memory: 8 channels in a block of 16 take twice the
 * room and time. Halves of floats take half of both, and processors have products of them that are faster; AMX's tiles
 * are loaded from pixels whose channels all stand together, which Winograd's tiles are not written for.
 * cpu_choose_kernels (kernels.c) chooses for a whole network.
 *
 * Which files that are stands in the Makefile. Here are the other compilations' names for what they define; where
 * vectors are of 8 anyway, the narrow one is never chosen. */
#ifndef DISTILL_VARIANT_H
#define DISTILL_VARIANT_H
#ifdef NARROW
#define VARIANT(name) name##_narrow
#endif
#if defined HALF && !defined LAST
#define VARIANT(name) name##_half
#endif
#ifdef LAST
#define VARIANT(name) name##_last
#endif
#ifdef VARIANT
#define cpu_wide VARIANT(cpu)
#define accepts_blocked_conv VARIANT(accepts_blocked_conv)
#define accepts_blocked_dropout VARIANT(accepts_blocked_dropout)
#define accepts_blocked_map VARIANT(accepts_blocked_map)
#define accepts_blocked_part VARIANT(accepts_blocked_part)
#define accepts_blocked_product VARIANT(accepts_blocked_product)
#define accepts_blocked_route VARIANT(accepts_blocked_route)
#define accepts_blocked_shortcut VARIANT(accepts_blocked_shortcut)
#define accepts_cpu_conv VARIANT(accepts_cpu_conv)
#define accepts_cpu_upsample VARIANT(accepts_cpu_upsample)
#define backward_blocked_activation VARIANT(backward_blocked_activation)
#define backward_blocked_avgpool VARIANT(backward_blocked_avgpool)
#define backward_blocked_dropout VARIANT(backward_blocked_dropout)
#define backward_blocked_maxpool VARIANT(backward_blocked_maxpool)
#define backward_blocked_part VARIANT(backward_blocked_part)
#define backward_blocked_product VARIANT(backward_blocked_product)
#define backward_blocked_route VARIANT(backward_blocked_route)
#define backward_blocked_shortcut VARIANT(backward_blocked_shortcut)
#define backward_blocked_upsample VARIANT(backward_blocked_upsample)
#define backward_conv_blocked VARIANT(backward_conv_blocked)
#define backward_cpu_conv VARIANT(backward_cpu_conv)
#define backward_cpu_dropout VARIANT(backward_cpu_dropout)
#define backward_cpu_part VARIANT(backward_cpu_part)
#define backward_cpu_product VARIANT(backward_cpu_product)
#define backward_cpu_reorg3d VARIANT(backward_cpu_reorg3d)
#define batchnorm_apply VARIANT(batchnorm_apply)
#define batchnorm_backward_blocked VARIANT(batchnorm_backward_blocked)
#define batchnorm_finish VARIANT(batchnorm_finish)
#define batchnorm_measure VARIANT(batchnorm_measure)
#define batchnorm_shift VARIANT(batchnorm_shift)
#define batchnorm_sums VARIANT(batchnorm_sums)
#define batchnorm_sums_floats VARIANT(batchnorm_sums_floats)
#define batchnorm_take_running VARIANT(batchnorm_take_running)
#define blocked_activate VARIANT(blocked_activate)
#define blocked_add_activate VARIANT(blocked_add_activate)
#define conv_dnnl VARIANT(conv_dnnl)
#define conv_shares VARIANT(conv_shares)
#define conv_winograd VARIANT(conv_winograd)
#define cpu_add_plain VARIANT(cpu_add_plain)
#define cpu_blocked_at VARIANT(cpu_blocked_at)
#define cpu_blocked_bytes VARIANT(cpu_blocked_bytes)
#define cpu_blocked_numbers VARIANT(cpu_blocked_numbers)
#define cpu_choose_layout VARIANT(cpu_choose_layout)
#define cpu_conv_weights_changed VARIANT(cpu_conv_weights_changed)
#define cpu_delta_of VARIANT(cpu_delta_of)
#define cpu_finish_output VARIANT(cpu_finish_output)
#define cpu_lay_out VARIANT(cpu_lay_out)
#define cpu_output VARIANT(cpu_output)
#define cpu_take_delta VARIANT(cpu_take_delta)
#define cpu_to_blocked VARIANT(cpu_to_blocked)
#define cpu_to_plain VARIANT(cpu_to_plain)
#define depthwise_weight_gradient VARIANT(depthwise_weight_gradient)
#define draw_cpu_dropout VARIANT(draw_cpu_dropout)
#define forward_blocked_activation VARIANT(forward_blocked_activation)
#define forward_blocked_avgpool VARIANT(forward_blocked_avgpool)
#define forward_blocked_dropout VARIANT(forward_blocked_dropout)
#define forward_blocked_maxpool VARIANT(forward_blocked_maxpool)
#define forward_blocked_part VARIANT(forward_blocked_part)
#define forward_blocked_product VARIANT(forward_blocked_product)
#define forward_blocked_route VARIANT(forward_blocked_route)
#define forward_blocked_shortcut VARIANT(forward_blocked_shortcut)
#define forward_blocked_upsample VARIANT(forward_blocked_upsample)
#define forward_conv_blocked VARIANT(forward_conv_blocked)
#define forward_cpu_conv VARIANT(forward_cpu_conv)
#define forward_cpu_dropout VARIANT(forward_cpu_dropout)
#define forward_cpu_part VARIANT(forward_cpu_part)
#define forward_cpu_product VARIANT(forward_cpu_product)
#define forward_cpu_reorg3d VARIANT(forward_cpu_reorg3d)
#define free_blocked_maxpool VARIANT(free_blocked_maxpool)
#define free_cpu_conv VARIANT(free_cpu_conv)
#define free_cpu_dropout VARIANT(free_cpu_dropout)
#define make_cpu_conv VARIANT(make_cpu_conv)
#define make_cpu_dropout VARIANT(make_cpu_dropout)
#define resized_cpu_dropout VARIANT(resized_cpu_dropout)
#define wino_delta_tiles VARIANT(wino_delta_tiles)
#define wino_input_tiles VARIANT(wino_input_tiles)
#define wino_output_tiles VARIANT(wino_output_tiles)
#endif
#endif
