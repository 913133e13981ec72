/* Convolution by oneDNN (2.6, C API).
 *
 * On plain maps oneDNN is asked for whatever memory layouts it likes best, on blocked ones for ours unless it has no
 * good kernel for it. A port joins oneDNN's layout to ours through a reorder, or hands our buffer over where the
 * layouts are the same. A step is one primitive and its ports:
 *
 *   raw      y = conv(x, w)                       fused    y = act(conv(x, w) + b)
 *   weights  dw += conv over batch(x, dy)         data     dx += conv transposed(w, dy)
 *
 * Accumulating is the reorder's work (sum post-op). Inner layouts live in scratch that the whole network shares, but
 * for x, kept from forward for the weights step, and dy, which the data step takes over from the weights step. On 1x1
 * maps (connected layers) the inner product is the same thing and faster.
 *
 * Compiled for halves (variant.h) it multiplies bfloat16 numbers and sums in fp32. oneDNN does that from AVX-512 on; where
 * it refuses, its fp32 steps run on operands that conv_call.c has rounded.
 * https://oneapi-src.github.io/oneDNN/v2.6/dev_guide_convolution.html */
#include "conv.h"

#ifndef DNNL
const conv_math *conv_dnnl(void) { return NULL; }
#else
#include "batchnorm.h"
#include "batchnorm_blocked.h"
#include "conv_fused.h"
#include "parallel.h"
#include "vec.h"

#include "darknet_plugin/base/mem.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

#ifdef HALF
enum { HALVES = 1 };
#else
enum { HALVES = 0 };
#endif

typedef enum { PORT_IN, PORT_OUT, PORT_ADD } port_way;

typedef struct plan_port {
    int arg, slot;
    port_way way;
    dnnl_memory_t ours;        /* on the caller's buffer, set at each call */
    dnnl_memory_t inner;       /* NULL: ours serves */
    dnnl_primitive_t reorder;  /* PORT_ADD: adds */
    dnnl_primitive_t copy;     /* PORT_ADD: writes; NULL where the layouts are the same */
    float *own;                /* inner memory outside the scratch, borrowed from the plan */
} plan_port;

typedef struct plan_step {
    dnnl_primitive_t prim;
    int n;
    plan_port port[4];
} plan_step;

/* A step's ports, in order. */
enum { FORWARD_X, FORWARD_W, FORWARD_Y, FORWARD_BIAS };
enum { WEIGHTS_X, WEIGHTS_DY, WEIGHTS_DW };
enum { DATA_W, DATA_DY, DATA_DX };

typedef struct onednn_plan {
    conv_shape shape;
    conv_needs needs;
    cpu_shared *shared;        /* borrowed */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    plan_step raw, fused, weights, data;
    dnnl_memory_desc_t x, y, w, b;   /* ours */
    int half;                  /* steps multiply bfloat16 numbers */
    int rounds;                /* they should, but cannot: all maps are floats, rounded ones */
    int any_layout;            /* maps, too: oneDNN has nothing good for ours */
    float *weights_kept;       /* needs.constant: the fused step's weights, owned */
    float *kept;               /* x in the inner layout that forward and the weights step have in common; owned */
    const void *kept_x;        /* what it was made from, NULL = nothing */
    const void *dy_ready;      /* what SLOT_DST was made from by the weights step */
    int own_weights;           /* the weight gradient is depthwise.c's: oneDNN has only plain loops for it */
    int shares_dy;             /* weights and data steps want dy alike */
    int fused_act;             /* the fused step applies the activation */
} onednn_plan;

/* Execution can only fail by a mistake of ours. */
static void must(dnnl_status_t status, int line)
{
    if (status == dnnl_success) return;
    fprintf(stderr, "BUG layers/cpu/conv_dnnl.c:%d: oneDNN status %d\n", line, (int)status);
    abort();
}
#define MUST(call) must(call, __LINE__)

static int fails(dnnl_status_t status) { return status != dnnl_success; }

/* ---- ports ---- */

/* Copies from one layout to another; `add`: adds to what is there. */
static int make_reorder(dnnl_primitive_t *reorder, dnnl_engine_t engine, const dnnl_memory_desc_t *from,
                        const dnnl_memory_desc_t *to, int add)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_primitive_desc_t pd = NULL;
    int bad = fails(dnnl_primitive_attr_create(&attr)) || fails(dnnl_post_ops_create(&ops))
           || (add && fails(dnnl_post_ops_append_sum(ops, 1.0f)))
           || fails(dnnl_primitive_attr_set_post_ops(attr, ops))
           || fails(dnnl_reorder_primitive_desc_create(&pd, from, engine, to, engine, attr))
           || fails(dnnl_primitive_create(reorder, pd));
    dnnl_primitive_desc_destroy(pd);
    dnnl_post_ops_destroy(ops);
    dnnl_primitive_attr_destroy(attr);
    return bad ? -1 : 0;
}

/* Adds a port to a step; `inner` NULL: the primitive takes our layout. */
static int add_port(onednn_plan *plan, plan_step *step, int arg, int slot, port_way way, const dnnl_memory_desc_t *ours,
                    const dnnl_memory_desc_t *inner)
{
    plan_port *port = &step->port[step->n++];
    int same = !inner || dnnl_memory_desc_equal(ours, inner);
    port->arg = arg;
    port->slot = slot;
    port->way = way;
    if (fails(dnnl_memory_create(&port->ours, ours, plan->engine, DNNL_MEMORY_NONE))) return -1;
    if (!inner || (way != PORT_ADD && same)) return 0;
    if (fails(dnnl_memory_create(&port->inner, inner, plan->engine, DNNL_MEMORY_NONE))) return -1;
    cpu_reserve(plan->shared, slot, dnnl_memory_desc_get_size(inner));
    if (way == PORT_IN) return make_reorder(&port->reorder, plan->engine, ours, inner, 0);
    if (way == PORT_ADD && !same && make_reorder(&port->copy, plan->engine, inner, ours, 0)) return -1;
    return make_reorder(&port->reorder, plan->engine, inner, ours, way == PORT_ADD);
}

static void free_step(plan_step *step)
{
    for (int i = 0; i < step->n; ++i) {
        dnnl_primitive_destroy(step->port[i].reorder);
        dnnl_primitive_destroy(step->port[i].copy);
        dnnl_memory_destroy(step->port[i].inner);
        dnnl_memory_destroy(step->port[i].ours);
    }
    dnnl_primitive_destroy(step->prim);
}

static void reorder(onednn_plan *plan, dnnl_primitive_t by, dnnl_memory_t from, dnnl_memory_t to)
{
    dnnl_exec_arg_t args[] = { { DNNL_ARG_FROM, from }, { DNNL_ARG_TO, to } };
    MUST(dnnl_primitive_execute(by, plan->stream, 2, args));
}

static void set_handle(dnnl_memory_t memory, const void *data)
{
    void *old = NULL;
    MUST(dnnl_memory_get_data_handle(memory, &old));
    if (old != data) MUST(dnnl_memory_set_data_handle(memory, (void *)(uintptr_t)data));
}

/* Does the primitive work on our buffer itself? */
static int is_direct(const plan_port *port, int write)
{
    return !port->inner || (write && port->way == PORT_ADD && !port->copy);
}

/* The bit of a port whose inner memory is filled already. */
#define READY(port) (1u << (port))

/* Runs a step on our buffers, one a port. `ready`: READY bits. `write`: a PORT_ADD replaces what was there. */
static void run_step(onednn_plan *plan, plan_step *step, const void *const data[], unsigned ready, int write)
{
    dnnl_exec_arg_t args[4];
    for (int i = 0; i < step->n; ++i) {
        plan_port *port = &step->port[i];
        int direct = is_direct(port, write);
        set_handle(port->ours, data[i]);
        if (!direct) set_handle(port->inner, port->own ? port->own : plan->shared->slot[port->slot]);
        if (!direct && port->way == PORT_IN && !(ready & READY(i)))
            reorder(plan, port->reorder, port->ours, port->inner);
        args[i] = (dnnl_exec_arg_t){ port->arg, direct ? port->ours : port->inner };
    }
    MUST(dnnl_primitive_execute(step->prim, plan->stream, step->n, args));
    for (int i = 0; i < step->n; ++i) {
        plan_port *port = &step->port[i];
        if (port->way == PORT_IN || is_direct(port, write)) continue;
        reorder(plan, write && port->way == PORT_ADD ? port->copy : port->reorder, port->inner, port->ours);
    }
    MUST(dnnl_stream_wait(plan->stream));
}

/* ---- planning ---- */

static int is_product(const conv_shape *shape)
{
    return shape->size == 1 && shape->h == 1 && shape->w == 1 && shape->out_h == 1 && shape->out_w == 1
        && shape->groups == 1 && shape->pad == 0;
}

static dnnl_memory_desc_t any(dnnl_memory_desc_t like, dnnl_data_type_t type)
{
    dnnl_memory_desc_t r;
    MUST(dnnl_memory_desc_init_by_tag(&r, like.ndims, like.dims, type, dnnl_format_tag_any));
    return r;
}

static const dnnl_format_tag_t blocked_tag = LANES == 16 ? dnnl_aBcd16b : dnnl_aBcd8b;
static dnnl_format_tag_t map_tag(int blocked) { return blocked ? blocked_tag : dnnl_abcd; }

/* What a primitive does with one of its arguments: multiplies it, or makes it. */
typedef enum { OPERAND, RESULT } part;

static dnnl_data_type_t type_of(const onednn_plan *plan, const dnnl_memory_desc_t *ours, part is)
{
    return is == OPERAND && plan->half ? dnnl_bf16 : ours->data_type;
}

/* Maps as a primitive is asked to take them. */
static dnnl_memory_desc_t map_of_x(const onednn_plan *plan, part is)
{
    return plan->shape.x_blocked && !plan->any_layout ? plan->x : any(plan->x, type_of(plan, &plan->x, is));
}

static dnnl_memory_desc_t map_of_y(const onednn_plan *plan, part is)
{
    return plan->shape.y_blocked && !plan->any_layout ? plan->y : any(plan->y, type_of(plan, &plan->y, is));
}

static dnnl_memory_desc_t any_weights(const onednn_plan *plan, part is)
{
    return any(plan->w, type_of(plan, &plan->w, is));
}

static dnnl_data_type_t map_type(const onednn_plan *plan, int blocked)
{
    return blocked && plan->half ? dnnl_bf16 : dnnl_f32;
}

/* Describes our maps, weights and biases to oneDNN. */
static int our_descriptions(onednn_plan *plan)
{
    const conv_shape *shape = &plan->shape;
    dnnl_dims_t x = { shape->batch, shape->c, shape->h, shape->w }, b = { shape->n };
    dnnl_dims_t y = { shape->batch, shape->n, shape->out_h, shape->out_w };
    dnnl_dims_t w = { shape->n, shape->c, shape->size, shape->size };
    dnnl_dims_t g = { shape->groups, shape->n / shape->groups, shape->c / shape->groups, shape->size, shape->size };
    if (is_product(shape)) {
        return fails(dnnl_memory_desc_init_by_tag(&plan->x, 2, x, dnnl_f32, dnnl_ab))
            || fails(dnnl_memory_desc_init_by_tag(&plan->y, 2, y, dnnl_f32, dnnl_ab))
            || fails(dnnl_memory_desc_init_by_tag(&plan->w, 2, w, dnnl_f32, dnnl_ab))
            || fails(dnnl_memory_desc_init_by_tag(&plan->b, 1, b, dnnl_f32, dnnl_a));
    }
    return fails(dnnl_memory_desc_init_by_tag(&plan->x, 4, x, map_type(plan, shape->x_blocked), map_tag(shape->x_blocked)))
        || fails(dnnl_memory_desc_init_by_tag(&plan->y, 4, y, map_type(plan, shape->y_blocked), map_tag(shape->y_blocked)))
        || (shape->groups > 1 ? fails(dnnl_memory_desc_init_by_tag(&plan->w, 5, g, dnnl_f32, dnnl_abcde))
                          : fails(dnnl_memory_desc_init_by_tag(&plan->w, 4, w, dnnl_f32, dnnl_abcd)))
        || fails(dnnl_memory_desc_init_by_tag(&plan->b, 1, b, dnnl_f32, dnnl_a));
}

static const dnnl_alg_kind_t direct = dnnl_convolution_direct;
_Static_assert(CONV_AXES == DNNL_MAX_NDIMS, "as many axes as oneDNN has");

/* Describes forward to oneDNN, as convolution or inner product. */
static int forward_pd(onednn_plan *plan, dnnl_prop_kind_t kind, int bias, dnnl_primitive_attr_t attr,
                      dnnl_primitive_desc_t *pd)
{
    dnnl_memory_desc_t x = map_of_x(plan, OPERAND), y = map_of_y(plan, RESULT), w = any_weights(plan, OPERAND);
    dnnl_memory_desc_t *b = bias ? &plan->b : NULL;
    const conv_window at = conv_window_of(&plan->shape);
    dnnl_inner_product_desc_t ip;
    dnnl_convolution_desc_t cv;
    if (is_product(&plan->shape))
        return fails(dnnl_inner_product_forward_desc_init(&ip, kind, &x, &w, b, &y))
            || fails(dnnl_primitive_desc_create(pd, &ip, attr, plan->engine, NULL));
    return fails(dnnl_dilated_convolution_forward_desc_init(&cv, kind, direct, &x, &w, b, &y, at.stride,
                                                            at.dilate, at.pad, at.pad))
        || fails(dnnl_primitive_desc_create(pd, &cv, attr, plan->engine, NULL));
}

/* Describes the weight gradient likewise. */
static int weights_pd(onednn_plan *plan, dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd)
{
    dnnl_memory_desc_t x = map_of_x(plan, OPERAND), y = map_of_y(plan, OPERAND), w = any_weights(plan, RESULT);
    const conv_window at = conv_window_of(&plan->shape);
    dnnl_inner_product_desc_t ip;
    dnnl_convolution_desc_t cv;
    if (is_product(&plan->shape))
        return fails(dnnl_inner_product_backward_weights_desc_init(&ip, &x, &w, NULL, &y))
            || fails(dnnl_primitive_desc_create(pd, &ip, NULL, plan->engine, hint));
    return fails(dnnl_dilated_convolution_backward_weights_desc_init(&cv, direct, &x, &w, NULL, &y, at.stride,
                                                                 at.dilate, at.pad, at.pad))
        || fails(dnnl_primitive_desc_create(pd, &cv, NULL, plan->engine, hint));
}

/* Describes the data gradient likewise. */
static int data_pd(onednn_plan *plan, dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd)
{
    dnnl_memory_desc_t x = map_of_x(plan, RESULT), y = map_of_y(plan, OPERAND), w = any_weights(plan, OPERAND);
    const conv_window at = conv_window_of(&plan->shape);
    dnnl_inner_product_desc_t ip;
    dnnl_convolution_desc_t cv;
    if (is_product(&plan->shape))
        return fails(dnnl_inner_product_backward_data_desc_init(&ip, &x, &w, &y))
            || fails(dnnl_primitive_desc_create(pd, &ip, NULL, plan->engine, hint));
    return fails(dnnl_dilated_convolution_backward_data_desc_init(&cv, direct, &x, &w, &y, at.stride, at.dilate, at.pad,
                                                              at.pad))
        || fails(dnnl_primitive_desc_create(pd, &cv, NULL, plan->engine, hint));
}

static const dnnl_memory_desc_t *inner_of(dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(pd, what, 0);
}

static int make_forward(onednn_plan *plan, plan_step *step, dnnl_prop_kind_t kind, int bias, dnnl_primitive_attr_t attr,
                        dnnl_primitive_desc_t *pd)
{
    return forward_pd(plan, kind, bias, attr, pd) || fails(dnnl_primitive_create(&step->prim, *pd))
        || add_port(plan, step, DNNL_ARG_SRC, SLOT_SRC, PORT_IN, &plan->x, inner_of(*pd, dnnl_query_src_md))
        || add_port(plan, step, DNNL_ARG_WEIGHTS, SLOT_WEIGHTS, PORT_IN, &plan->w, inner_of(*pd, dnnl_query_weights_md))
        || add_port(plan, step, DNNL_ARG_DST, SLOT_DST, PORT_OUT, &plan->y, inner_of(*pd, dnnl_query_dst_md))
        || (bias && add_port(plan, step, DNNL_ARG_BIAS, SLOT_SRC, PORT_IN, &plan->b, NULL));
}

/* Has oneDNN nothing better than plain loops? */
static int is_slow(dnnl_primitive_desc_t pd)
{
    const char *name = "ref";
    MUST(dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name));
    return !strncmp(name, "ref", 3);
}

/* The step for dw, or the decision that depthwise.c makes it. */
static int make_weights(onednn_plan *plan, dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd)
{
    plan_step *step = &plan->weights;
    const conv_shape *shape = &plan->shape;
    int depthwise = shape->groups == shape->c && shape->groups == shape->n && conv_is_plain(shape)
                 && !plan->rounds;
    if (weights_pd(plan, hint, pd)) return -1;
    plan->own_weights = depthwise && shape->x_blocked && shape->y_blocked && is_slow(*pd);
    if (plan->own_weights) return 0;
    return fails(dnnl_primitive_create(&step->prim, *pd))
        || add_port(plan, step, DNNL_ARG_SRC, SLOT_SRC, PORT_IN, &plan->x, inner_of(*pd, dnnl_query_src_md))
        || add_port(plan, step, DNNL_ARG_DIFF_DST, SLOT_DST, PORT_IN, &plan->y, inner_of(*pd, dnnl_query_diff_dst_md))
        || add_port(plan, step, DNNL_ARG_DIFF_WEIGHTS, SLOT_WEIGHTS, PORT_ADD, &plan->w,
                    inner_of(*pd, dnnl_query_diff_weights_md));
}

static int make_data(onednn_plan *plan, dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd)
{
    plan_step *step = &plan->data;
    return data_pd(plan, hint, pd) || fails(dnnl_primitive_create(&step->prim, *pd))
        || add_port(plan, step, DNNL_ARG_WEIGHTS, SLOT_WEIGHTS, PORT_IN, &plan->w, inner_of(*pd, dnnl_query_weights_md))
        || add_port(plan, step, DNNL_ARG_DIFF_DST, SLOT_DST, PORT_IN, &plan->y, inner_of(*pd, dnnl_query_diff_dst_md))
        || add_port(plan, step, DNNL_ARG_DIFF_SRC, SLOT_SRC, PORT_ADD, &plan->x, inner_of(*pd, dnnl_query_diff_src_md));
}

/* ---- what outlives a call ---- */

/* Memory of the plan's own in a layout of oneDNN's, for ports that find it filled later. */
static float *make_kept(const dnnl_memory_desc_t *inner)
{
    return mem_aligned((dnnl_memory_desc_get_size(inner) + 63) / 64 * 64, 1);
}

/* Weights that stay do so in the fused step's layout, whatever it is (constant_weights fills it). */
static void keep_weights(onednn_plan *plan, dnnl_primitive_desc_t fused)
{
    if (!plan->needs.constant) return;
    plan->weights_kept = make_kept(inner_of(fused, dnnl_query_weights_md));
    plan->fused.port[FORWARD_W].own = plan->weights_kept;
}

/* The forward step that training runs. */
static plan_step *trained_step(onednn_plan *plan) { return plan->needs.raw ? &plan->raw : &plan->fused; }

/* What two steps want in the same layout is reordered once: x in forward, for the weights step, too; dy in the weights
 * step, for the data step (`data` NULL: there is none), too. */
static void share_reorders(onednn_plan *plan, dnnl_primitive_desc_t forward, dnnl_primitive_desc_t weights,
                           dnnl_primitive_desc_t data)
{
    plan_port *first = &trained_step(plan)->port[FORWARD_X], *again = &plan->weights.port[WEIGHTS_X];
    const dnnl_memory_desc_t *x = inner_of(forward, dnnl_query_src_md), *dy = inner_of(weights, dnnl_query_diff_dst_md);
    if (first->inner && dnnl_memory_desc_equal(x, inner_of(weights, dnnl_query_src_md)))
        first->own = again->own = plan->kept = make_kept(x);
    if (data) plan->shares_dy = dnnl_memory_desc_equal(dy, inner_of(data, dnnl_query_diff_dst_md));
}

static int make_gradients(onednn_plan *plan, dnnl_primitive_desc_t forward)
{
    dnnl_primitive_desc_t weights = NULL, data = NULL;
    int bad = (plan->needs.weights && make_weights(plan, forward, &weights))
           || (plan->needs.data && make_data(plan, forward, &data));
    if (!bad && weights && !plan->own_weights && !plan->rounds) share_reorders(plan, forward, weights, data);
    dnnl_primitive_desc_destroy(weights);
    dnnl_primitive_desc_destroy(data);
    return bad;
}

/* ---- the plan ---- */

/* Attributes of the fused step. */
static int fused_attr(onednn_plan *plan, dnnl_primitive_attr_t *attr)
{
    dnnl_post_ops_t ops = NULL;
    const struct fused_row *row = fused_row(plan->needs.activation);
    plan->fused_act = row || plan->needs.activation == LINEAR;
    int bad = fails(dnnl_primitive_attr_create(attr)) || fails(dnnl_post_ops_create(&ops))
           || (row && fails(dnnl_post_ops_append_eltwise(ops, 1.0f, row->kind, row->alpha, row->beta)))
           || fails(dnnl_primitive_attr_set_post_ops(*attr, ops));
    dnnl_post_ops_destroy(ops);
    return bad;
}

/* Maps in our layout unless oneDNN has only its plain loops or a matrix product for it. */
static void choose_layout(onednn_plan *plan)
{
    dnnl_primitive_desc_t pd = NULL;
    const char *name = "ref";
    if (!plan->shape.y_blocked) return;
    if (!forward_pd(plan, dnnl_forward_training, 0, NULL, &pd))
        MUST(dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name));
    plan->any_layout = !strncmp(name, "ref", 3) || !strncmp(name, "gemm", 4);
    dnnl_primitive_desc_destroy(pd);
}

/* Makes all that the layer needs. Other than 0: oneDNN cannot do this shape. */
static int make_steps(onednn_plan *plan)
{
    dnnl_prop_kind_t fused_kind = plan->needs.raw ? dnnl_forward_inference : dnnl_forward_training;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t raw = NULL, fused = NULL;
    int bad = fails(dnnl_engine_create(&plan->engine, dnnl_cpu, 0))
           || fails(dnnl_stream_create(&plan->stream, plan->engine, dnnl_stream_default_flags))
           || our_descriptions(plan) || fused_attr(plan, &attr);
    if (!bad) choose_layout(plan);
    bad = bad || (plan->needs.raw && make_forward(plan, &plan->raw, dnnl_forward_training, 0, NULL, &raw))
       || make_forward(plan, &plan->fused, fused_kind, 1, attr, &fused);
    if (!bad) keep_weights(plan, fused);
    bad = bad || make_gradients(plan, raw ? raw : fused);
    dnnl_primitive_desc_destroy(raw);
    dnnl_primitive_desc_destroy(fused);
    dnnl_primitive_attr_destroy(attr);
    return bad;
}

/* ---- the face ---- */

/* Frees the plan and all steps, made or not. */
static void free_plan(void *impl)
{
    onednn_plan *plan = impl;
    free_step(&plan->raw);
    free_step(&plan->fused);
    free_step(&plan->weights);
    free_step(&plan->data);
    dnnl_stream_destroy(plan->stream);
    dnnl_engine_destroy(plan->engine);
    free(plan->weights_kept);
    free(plan->kept);
    free(plan);
}

/* NULL: oneDNN cannot do this shape so. */
static onednn_plan *try_plan(const conv_shape *shape, const conv_needs *needs, cpu_shared *shared, int half, int rounds)
{
    onednn_plan *plan = mem_calloc(1, sizeof *plan);
    plan->shape = *shape;
    plan->needs = *needs;
    plan->shared = shared;
    plan->half = half;
    plan->rounds = rounds;
    if (!make_steps(plan)) return plan;
    free_plan(plan);
    return NULL;
}

static void *make_plan(const conv_shape *shape, const conv_needs *needs, cpu_shared *shared)
{
    onednn_plan *plan = HALVES ? try_plan(shape, needs, shared, 1, 0) : NULL;
    return plan ? plan : try_plan(shape, needs, shared, 0, HALVES);
}

/* A layer's activation and bias pass wants a layer; this is as much of one as it reads. */
static void activate_pass(const onednn_plan *plan, void *y)
{
    const conv_shape *shape = &plan->shape;
    layer l = { .batch = shape->batch, .out_c = shape->n, .out_h = shape->out_h, .out_w = shape->out_w,
                .activation = plan->needs.activation };
    layer row = { .batch = 1, .out_c = 1, .out_h = 1, .activation = plan->needs.activation,
                  .out_w = (int)vec_numbers(shape->batch, shape->n, shape->out_h, shape->out_w) };
    if (plan->rounds && shape->y_blocked) bias_forward(&row, NULL, y);
    else if (shape->y_blocked) blocked_add_activate(&l, NULL, l.activation, y);
    else bias_forward(&l, NULL, y);
}

/* Weights that stay are given once and stand in the fused step's own memory from then on: its port's reorder brings
 * them there or, where oneDNN's layout is ours and nothing is reordered, a copy. w NULL: they have been given. Returns
 * what the port is to have as our buffer. */
static const float *constant_weights(onednn_plan *plan, const float *w)
{
    if (plan->fused.port[FORWARD_W].inner) return w;
    if (w) memcpy(plan->weights_kept, w, dnnl_memory_desc_get_size(&plan->w));
    return plan->weights_kept;
}

/* With a bias the fused step, else the raw one. */
static void forward_plan(void *impl, const void *x, const float *w, const conv_after *after, void *y)
{
    onednn_plan *plan = impl;
    const float *bias = after ? after->bias : NULL;
    plan_step *step = bias ? &plan->fused : &plan->raw;
    unsigned ready = w ? 0 : READY(FORWARD_W);
    if (bias && plan->needs.constant) w = constant_weights(plan, w);
    run_step(plan, step, (const void *[]){ x, w, y, bias }, ready, 0);
    plan->kept_x = plan->kept && step == trained_step(plan) ? x : NULL;
    if (bias && !plan->fused_act) activate_pass(plan, y);
}

static void weights_plan(void *impl, const void *x, const void *dy, float *dw)
{
    onednn_plan *plan = impl;
    if (plan->own_weights) {
        depthwise_weight_gradient(&plan->shape, x, dy, dw);
        return;
    }
    unsigned ready = plan->kept && plan->kept_x == x ? READY(WEIGHTS_X) : 0;
    run_step(plan, &plan->weights, (const void *[]){ x, dy, dw }, ready, 0);
    plan->dy_ready = plan->shares_dy ? dy : NULL;
}

static void data_plan(void *impl, const float *w, const void *dy, void *dx, int add)
{
    onednn_plan *plan = impl;
    unsigned ready = plan->dy_ready == dy ? READY(DATA_DY) : 0;
    run_step(plan, &plan->data, (const void *[]){ w, dy, dx }, ready, !add);
    plan->dy_ready = NULL;
}

static int rounds(void *impl) { return ((const onednn_plan *)impl)->rounds; }

static const conv_math dnnl_math = {
    .name = "oneDNN", .biases = 1, .blocked = 1, .make = make_plan, .free = free_plan, .forward = forward_plan,
    .backward_weights = weights_plan, .backward_data = data_plan, .rounds = rounds,
};

const conv_math *conv_dnnl(void) { return &dnnl_math; }
#endif
