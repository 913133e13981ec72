/* Activations that the host lacks (fork_layers.h), one element at a time, for the CPU's loops and for kernels:
 *
 *   relu6        min(max(x, 0), 6)                        Howard et al., "MobileNets", 2017
 *   swish        x * s(x), s(x) = 1 / (1 + exp(-x))       Ramachandran et al., "Searching for activation functions",
 *                                                         2017; silu is another name for it
 *   mish         x * tanh(log(1 + exp(x)))                Misra, "Mish", 2019
 *   hard_swish   x * min(max(x / 6 + 1/2, 0), 1)          Howard et al., "Searching for MobileNetV3", 2019
 *   hard_mish    x, (x + 2) * x / 2, 0                    above 0, above -2, below: AlexeyAB's Darknet
 *   gelu         x * s(2 u(x)), u(x) = sqrt(2 / pi) * (x + 0.044715 x^3), which is x / 2 * (1 + tanh(u(x)));
 *                                                         Hendrycks and Gimpel, "Gaussian error linear units", 2016
 *
 * All but relu6 fall before they rise, so that the output does not tell where on the curve it is: their slope is a
 * function of the input. Nothing here branches, so that loops vectorise; exponentials are cut off where floats are:
 * at +-87, mish's at 20, above which it is x to the last bit. NaN stays NaN. */
#ifndef DISTILL_ACTIVATION_OPS_H
#define DISTILL_ACTIVATION_OPS_H
#include "feature_type.h"
#include "fork_layers.h"

#ifdef __CUDACC__
#define FORK_ACT_FN FEATURE_FN
#else
#define FORK_ACT_FN static inline __attribute__((always_inline))
#endif

#define ACT_GELU_LINEAR 0.7978845608f                 /* sqrt(2 / pi) */
#define ACT_GELU_CUBIC (0.044715f * ACT_GELU_LINEAR)

FORK_ACT_FN float act_clip(float x, float least, float most)
{
    x = x < least ? least : x;
    return x > most ? most : x;
}

/* exp(x) for x in [-87, 88] to float rounding: 2^n * exp(r), |r| <= ln(2) / 2, by r's power series. Adding and taking
 * away 1.5 * 2^23 rounds to a whole number; ln(2) is taken off in two parts, the first of which times n is exact. */
FORK_ACT_FN float act_exp(float x)
{
    float shifted = x * 1.44269504f + 12582912.f, n = shifted - 12582912.f;
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float series = 1.f / 720 + r * (1.f / 5040);
    series = 1.f / 120 + r * series;
    series = 1.f / 24 + r * series;
    series = 1.f / 6 + r * series;
    series = .5f + r * series;
    series = 1 + (r + r * r * series);
    return series * feature_from_bits((feature_bits(shifted) - 0x4b400000u + 127u) << 23);
}

/* 1 / (1 + exp(-x)), and that of -x, which is one less it without cancellation. */
FORK_ACT_FN float act_sigmoid(float x) { return 1 / (1 + act_exp(act_clip(-x, -87, 87))); }

FORK_ACT_FN float act_gelu_twice_u(float x) { return 2 * x * (ACT_GELU_LINEAR + ACT_GELU_CUBIC * x * x); }

/* act(x). */
FORK_ACT_FN float fork_act_value(float x, int act)
{
    float e, n;
    switch (act) {
    case ACTIVATION_RELU6: return act_clip(x, 0, 6);
    case ACTIVATION_SWISH: return x * act_sigmoid(x);
    case ACTIVATION_HARD_SWISH: return x * act_clip(x * (1.f / 6) + .5f, 0, 1);
    case ACTIVATION_HARD_MISH: return (x > 0 ? 1 : .5f * act_clip(x, -2, 0) + 1) * x;
    case ACTIVATION_GELU: return x * act_sigmoid(act_gelu_twice_u(x));
    default:   /* mish: tanh(log(1 + e)) = (e^2 + 2 e) / (e^2 + 2 e + 2) */
        e = act_exp(act_clip(x, -87, 20));
        n = e * (e + 2);
        return x * (n / (n + 2));
    }
}

FORK_ACT_FN float act_step(float x) { return x > 0 ? 1 : 0; }

/* act'(x): relu6's from its output, which has the same; the others' from their input. */
FORK_ACT_FN float fork_act_slope(float x, int act)
{
    float e, n, s, inside;
    switch (act) {
    case ACTIVATION_RELU6: return x > 0 && x < 6 ? 1 : 0;
    case ACTIVATION_SWISH:
        s = act_sigmoid(x);
        return s + act_clip(x, -87, 87) * (s * act_sigmoid(-x));
    case ACTIVATION_HARD_SWISH: return act_clip(x, -3, 3) == x ? x * (1.f / 3) + .5f : act_step(x);
    case ACTIVATION_HARD_MISH: return x > -2 ? act_clip(x + 1, -1, 1) : 0;
    case ACTIVATION_GELU:   /* beyond +-10 the second term is 0 in any float */
        inside = act_clip(x, -10, 10);
        n = act_gelu_twice_u(inside);
        s = act_sigmoid(n);
        return s + inside * (s * act_sigmoid(-n)) * (2 * ACT_GELU_LINEAR + 6 * ACT_GELU_CUBIC * inside * inside);
    default:   /* mish: n / d + x * 4 e (1 + e) / d^2, d = n + 2 */
        inside = act_clip(x, -87, 20);
        e = act_exp(inside);
        n = e * (e + 2);
        s = 1 / (n + 2);
        return n * s + inside * (4 * e * (1 + e) * s * s);
    }
}

#endif
