/* What a convolution's arithmetic is given. In fp32 that is the layer's own maps and weights. With bf16 it is copies of
 * them, rounded: products of two bfloat16 numbers are exact in fp32, where they are summed, so that this is what a
 * processor with such instructions computes, but for the order of the sums. Maps, gradients, batch norm, shortcuts,
 * losses and what the optimiser moves stay fp32. */
#include "bf16.h"
#include "conv.h"

/* Floats of a map, plain or blocked. */
static size_t map_floats(const cpu_shared *shared, int blocked, int batch, int c, size_t pixels)
{
    int lanes = blocked ? shared->kernels->lanes : 1;
    return (size_t)batch * (size_t)((c + lanes - 1) / lanes * lanes) * pixels;
}

static size_t x_floats(const conv_shape *shape, const cpu_shared *shared)
{
    return map_floats(shared, shape->x_blocked, shape->batch, shape->c, (size_t)shape->h * (size_t)shape->w);
}

static size_t y_floats(const conv_shape *shape, const cpu_shared *shared)
{
    return map_floats(shared, shape->y_blocked, shape->batch, shape->n, (size_t)shape->out_h * (size_t)shape->out_w);
}

static size_t w_floats(const conv_shape *shape) { return (size_t)shape->n * conv_filter_size(shape); }

static int rounds(const cpu_shared *shared) { return shared->precision == PRECISION_BF16; }

void conv_reserve_operands(const conv_plan *plan, cpu_shared *shared)
{
    const conv_shape *shape = &plan->shape;
    if (!rounds(shared)) return;
    cpu_reserve(shared, SLOT_ROUND_X, x_floats(shape, shared) * sizeof(float));
    cpu_reserve(shared, SLOT_ROUND_Y, y_floats(shape, shared) * sizeof(float));
    cpu_reserve(shared, SLOT_ROUND_W, w_floats(shape) * sizeof(float));
}

/* n numbers as the arithmetic is to have them; NULL stays NULL. */
static const float *operand(cpu_shared *shared, int slot, const float *of, size_t n)
{
    if (!of || !rounds(shared)) return of;
    bf16_round(of, n, shared->slot[slot]);
    return shared->slot[slot];
}

void conv_forward(const conv_plan *plan, cpu_shared *shared, const float *x, const float *w, const conv_after *after,
                  float *y)
{
    x = operand(shared, SLOT_ROUND_X, x, x_floats(&plan->shape, shared));
    w = operand(shared, SLOT_ROUND_W, w, w_floats(&plan->shape));
    plan->math->forward(plan->impl, x, w, after, y);
}

void conv_backward_weights(const conv_plan *plan, cpu_shared *shared, const float *x, const float *dy, float *dw)
{
    x = operand(shared, SLOT_ROUND_X, x, x_floats(&plan->shape, shared));
    dy = operand(shared, SLOT_ROUND_Y, dy, y_floats(&plan->shape, shared));
    plan->math->backward_weights(plan->impl, x, dy, dw);
}

void conv_backward_data(const conv_plan *plan, cpu_shared *shared, const float *w, const float *dy, float *dx, int add)
{
    w = operand(shared, SLOT_ROUND_W, w, w_floats(&plan->shape));
    dy = operand(shared, SLOT_ROUND_Y, dy, y_floats(&plan->shape, shared));
    plan->math->backward_data(plan->impl, w, dy, dx, add);
}
