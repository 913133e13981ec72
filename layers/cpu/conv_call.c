/* What a convolution's arithmetic is given: the layer's own maps and weights.
 *
 * With bf16, arithmetic that cannot multiply bfloat16 numbers itself is given copies as floats, rounded, and what it
 * makes for a blocked map is rounded behind it: products of two such numbers are exact in fp32, where they are summed,
 * so that this is what a processor with such instructions computes, but for the order of the sums. Slow, but it runs
 * anywhere. */
#include "bf16.h"
#include "conv.h"

/* Numbers of a map, plain or blocked. */
static size_t map_numbers(const cpu_shared *shared, int blocked, int batch, int c, size_t pixels)
{
    size_t lanes = blocked ? (size_t)shared->kernels->lanes : 1;
    return (size_t)batch * cpu_whole((size_t)c, lanes) * pixels;
}

static size_t x_numbers(const conv_plan *plan, const cpu_shared *shared)
{
    const conv_shape *shape = &plan->shape;
    return map_numbers(shared, shape->x_blocked, shape->batch, shape->c, (size_t)shape->h * (size_t)shape->w);
}

static size_t y_numbers(const conv_plan *plan, const cpu_shared *shared)
{
    const conv_shape *shape = &plan->shape;
    return map_numbers(shared, shape->y_blocked, shape->batch, shape->n, (size_t)shape->out_h * (size_t)shape->out_w);
}

static size_t w_numbers(const conv_plan *plan) { return (size_t)plan->shape.n * conv_filter_size(&plan->shape); }

static int rounds(const conv_plan *plan, const cpu_shared *shared)
{
    return shared->precision == PRECISION_BF16 && plan->math->rounds && plan->math->rounds(plan->impl);
}

void conv_reserve_operands(const conv_plan *plan, cpu_shared *shared)
{
    if (!rounds(plan, shared)) return;
    cpu_reserve(shared, SLOT_ROUND_X, x_numbers(plan, shared) * sizeof(float));
    cpu_reserve(shared, SLOT_ROUND_Y, y_numbers(plan, shared) * sizeof(float));
    cpu_reserve(shared, SLOT_ROUND_W, w_numbers(plan) * sizeof(float));
}

/* n numbers as the arithmetic is to have them; NULL stays NULL. */
static const void *operand(cpu_shared *shared, int slot, const void *of, int blocked, size_t n)
{
    if (!of) return NULL;
    if (blocked) bf16_unpack(of, n, shared->slot[slot]);
    else bf16_round(of, n, shared->slot[slot]);
    return shared->slot[slot];
}

static const void *operand_in(const conv_plan *plan, cpu_shared *shared, const void *in)
{
    return operand(shared, SLOT_ROUND_X, in, plan->shape.x_blocked, x_numbers(plan, shared));
}

static const void *operand_dy(const conv_plan *plan, cpu_shared *shared, const void *dy)
{
    return operand(shared, SLOT_ROUND_Y, dy, plan->shape.y_blocked, y_numbers(plan, shared));
}

static const float *operand_w(const conv_plan *plan, cpu_shared *shared, const float *w)
{
    return operand(shared, SLOT_ROUND_W, w, 0, w_numbers(plan));
}

/* Numbers of a blocked map are rounded behind it, a plain one's stay as they are. */
void conv_forward(const conv_plan *plan, cpu_shared *shared, const void *in, const float *w, const conv_after *after,
                  void *out)
{
    if (!rounds(plan, shared)) {
        plan->math->forward(plan->impl, in, w, after, out);
        return;
    }
    int blocked = plan->shape.y_blocked;
    void *to = blocked ? shared->slot[SLOT_ROUND_Y] : out;
    plan->math->forward(plan->impl, operand_in(plan, shared, in), operand_w(plan, shared, w), after, to);
    if (blocked) bf16_pack(to, y_numbers(plan, shared), out);
}

void conv_backward_weights(const conv_plan *plan, cpu_shared *shared, const void *in, const void *dy, float *dw)
{
    if (rounds(plan, shared)) {
        in = operand_in(plan, shared, in);
        dy = operand_dy(plan, shared, dy);
    }
    plan->math->backward_weights(plan->impl, in, dy, dw);
}

/* To a blocked map, rounded behind it, that it may be added to. */
void conv_backward_data(const conv_plan *plan, cpu_shared *shared, const float *w, const void *dy, void *dx, int add)
{
    if (!rounds(plan, shared)) {
        plan->math->backward_data(plan->impl, w, dy, dx, add);
        return;
    }
    int blocked = plan->shape.x_blocked;
    size_t n = x_numbers(plan, shared);
    void *to = blocked ? shared->slot[SLOT_ROUND_X] : dx;
    if (blocked && add) bf16_unpack(dx, n, to);
    plan->math->backward_data(plan->impl, operand_w(plan, shared, w), operand_dy(plan, shared, dy), to, add);
    if (blocked) bf16_pack(to, n, dx);
}
