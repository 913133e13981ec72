/* Activations, element by element: y = act(x), and act'(x) from the *output* y, as Darknet has it, or from x for those
 * that y does not tell (act_needs_input).
 *
 * The common ones stand here, and ours in layers/activation_ops.h, so that loops over them vectorise; the rest are the
 * host's own functions. ACT_SWITCH writes a loop once and compiles it once for each of them. relu passes NaN on, as the
 * host's does. */
#ifndef DISTILL_CPU_ACTIVATE_H
#define DISTILL_CPU_ACTIVATE_H
#include "darknet_plugin/host/host_facts.h"
#include "layers/activation_ops.h"

#include <darknet.h>
#include <math.h>

/* The host's, exported but not in its header. */
float activate(float x, ACTIVATION act);
float gradient(float x, ACTIVATION act);

#define ACT_INLINE static inline __attribute__((always_inline))
/* Before a loop with an activation in it; clang takes the pragma as a promise and warns where a call prevents it. */
#ifdef __clang__
#define ACT_SIMD
#else
#define ACT_SIMD _Pragma("omp simd")
#endif

/* One that the host lacks. */
ACT_INLINE int act_is_ours(ACTIVATION act) { return (int)act >= ACTIVATION_MISH; }
/* Is the slope a function of the input, since the output does not tell? */
ACT_INLINE int act_needs_input(ACTIVATION act) { return act_is_ours(act) && (int)act != ACTIVATION_RELU6; }

ACT_INLINE float act_value(float x, ACTIVATION act)
{
    switch (act) {
    case LINEAR: return x;
    case RELU: return x < 0 ? 0 : x;
    case LEAKY: return x > 0 ? x : HOST_LEAKY_SLOPE * x;
    case LOGISTIC: return 1 / (1 + expf(-x));
    case TANH: return tanhf(x);
    default: return act_is_ours(act) ? fork_act_value(x, act) : activate(x, act);
    }
}

/* v: the output or, where act_needs_input, the input. */
ACT_INLINE float act_slope(float v, ACTIVATION act)
{
    switch (act) {
    case LINEAR: return 1;
    case RELU: return v > 0 ? 1 : 0;
    case LEAKY: return v > 0 ? 1 : HOST_LEAKY_SLOPE;
    case LOGISTIC: return (1 - v) * v;
    case TANH: return 1 - v * v;
    default: return act_is_ours(act) ? fork_act_slope(v, act) : gradient(v, act);
    }
}

/* The factor below 0 of an activation that leaves what is above as it is; -1: it is another kind. */
static inline float act_slope_below(ACTIVATION act)
{
    switch (act) {
    case RELU: return 0;
    case LEAKY: return HOST_LEAKY_SLOPE;
    case LINEAR: return 1;
    default: return -1;
    }
}

/* Calls fn(..., a) with `a` a constant where it is one of the fast activations. */
#define ACT_SWITCH(a, fn, ...) \
    switch ((int)(a)) { \
    case LINEAR: fn(__VA_ARGS__, LINEAR); break; \
    case RELU: fn(__VA_ARGS__, RELU); break; \
    case LEAKY: fn(__VA_ARGS__, LEAKY); break; \
    case ACTIVATION_MISH: fn(__VA_ARGS__, (ACTIVATION)ACTIVATION_MISH); break; \
    case ACTIVATION_SWISH: fn(__VA_ARGS__, (ACTIVATION)ACTIVATION_SWISH); break; \
    case ACTIVATION_RELU6: fn(__VA_ARGS__, (ACTIVATION)ACTIVATION_RELU6); break; \
    case ACTIVATION_HARD_SWISH: fn(__VA_ARGS__, (ACTIVATION)ACTIVATION_HARD_SWISH); break; \
    case ACTIVATION_HARD_MISH: fn(__VA_ARGS__, (ACTIVATION)ACTIVATION_HARD_MISH); break; \
    case ACTIVATION_GELU: fn(__VA_ARGS__, (ACTIVATION)ACTIVATION_GELU); break; \
    default: fn(__VA_ARGS__, a); \
    }

#endif
