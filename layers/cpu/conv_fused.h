/* Which activations oneDNN applies within its convolution (conv_dnnl.c). */
#ifndef DISTILL_CPU_CONV_FUSED_H
#define DISTILL_CPU_CONV_FUSED_H
#include "activate.h"

#include <oneapi/dnnl/dnnl.h>

/* Activations that oneDNN has as precisely as we do; others follow in a pass of our own. */
static const struct fused_row {
    int activation;
    dnnl_alg_kind_t kind;
    float alpha, beta;
} fused_rows[] = {
    { RELU, dnnl_eltwise_relu, 0, 0 }, { LEAKY, dnnl_eltwise_relu, HOST_LEAKY_SLOPE, 0 },
    { ACTIVATION_MISH, dnnl_eltwise_mish, 0, 0 }, { ACTIVATION_SWISH, dnnl_eltwise_swish, 1, 0 },
    { ACTIVATION_RELU6, dnnl_eltwise_clip, 0, 6 }, { ACTIVATION_HARD_SWISH, dnnl_eltwise_hardswish, 0, 0 },
    { ACTIVATION_GELU, dnnl_eltwise_gelu_tanh, 0, 0 },
};

static inline const struct fused_row *fused_row(ACTIVATION act)
{
    for (size_t i = 0; i < sizeof fused_rows / sizeof *fused_rows; ++i)
        if (fused_rows[i].activation == (int)act) return &fused_rows[i];
    return NULL;
}

#endif
