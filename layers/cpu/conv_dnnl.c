/* Convolution by oneDNN (2.6, C API).
 *
 * On plain maps oneDNN is asked for whatever memory layouts it likes best, on blocked ones for ours unless it has no
 * good kernel for it; ports (onednn_step.h) join the two. Steps are
 *
 *   raw      y = conv(x, w)                       fused    y = act(conv(x, w) + b)
 *   weights  dw += conv over batch(x, dy)         data     dx += conv transposed(w, dy)
 *
 * Accumulating is the reorder's work (sum post-op). Inner layouts live in scratch that the whole network shares, but
 * for x, kept from forward for the weights step, and dy, which the data step takes over from the weights step. On 1x1
 * maps (connected layers) the inner product is the same thing and faster.
 *
 * Compiled for halves (variant.h) it multiplies bfloat16 numbers and sums in fp32. oneDNN does that from AVX-512 on;
 * where it refuses, its fp32 steps run on operands that conv_call.c has rounded.
 * https://oneapi-src.github.io/oneDNN/v2.6/dev_guide_convolution.html */
#include "conv.h"

#ifndef DNNL
const conv_math *conv_dnnl(void) { return NULL; }
#else
#include "amx_weights.h"
#include "batchnorm.h"
#include "batchnorm_blocked.h"
#include "conv_fused.h"
#include "onednn_step.h"
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

/* A step's ports, in order. */
enum { FORWARD_X, FORWARD_W, FORWARD_Y, FORWARD_BIAS };
enum { WEIGHTS_X, WEIGHTS_DY, WEIGHTS_DW };
enum { DATA_W, DATA_DY, DATA_DX };

typedef struct onednn_plan {
    conv_shape shape;
    conv_needs needs;
    onednn_room room;
    dnnl_primitive_attr_t attr;   /* of all steps but the fused one */
    onednn_step raw, fused, weights, data;
    dnnl_memory_desc_t x, y, w, b;   /* ours */
    int half;                  /* steps multiply bfloat16 numbers */
    int rounds;                /* they should, but cannot: all maps are floats, rounded ones */
    int any_layout;            /* maps, too: oneDNN has nothing good for ours */
    float *weights_kept;       /* needs.constant: the fused step's weights, owned */
    float *kept;               /* x in the inner layout that forward and the weights step have in common; owned */
    const void *kept_x;        /* what it was made from, NULL = nothing */
    const void *dy_ready;      /* what SLOT_DST was made from by the weights step */
    int own_weights;           /* the weight gradient is depthwise.c's: oneDNN has only plain loops for it */
    amx_weights *amx;          /* or this, owned; NULL: it is not */
    int shares_dy;             /* weights and data steps want dy alike */
    int fused_act;             /* the fused step applies the activation */
} onednn_plan;

/* ---- planning ---- */

static int is_product(const conv_shape *shape)
{
    return shape->size == 1 && shape->h == 1 && shape->w == 1 && shape->out_h == 1 && shape->out_w == 1
        && shape->groups == 1 && shape->pad == 0;
}

static dnnl_memory_desc_t any(dnnl_memory_desc_t like, dnnl_data_type_t type)
{
    dnnl_memory_desc_t r;
    ONEDNN_MUST(dnnl_memory_desc_init_by_tag(&r, like.ndims, like.dims, type, dnnl_format_tag_any));
    return r;
}

/* A map's numbers as ours stand. */
static int describe_map(dnnl_memory_desc_t *map, const dnnl_dims_t dims, dnnl_data_type_t type, int blocked)
{
    if (!blocked) return fails(dnnl_memory_desc_init_by_tag(map, 4, dims, type, dnnl_abcd));
#ifdef LAST
    const dnnl_dim_t pixel = (dnnl_dim_t)vec_step(vec_blocks((int)dims[1])), row = dims[3] * pixel;
    const dnnl_dims_t strides = { dims[2] * row, 1, row, pixel };
    return fails(dnnl_memory_desc_init_by_strides(map, 4, dims, type, strides));
#else
    return fails(dnnl_memory_desc_init_by_tag(map, 4, dims, type, LANES == 16 ? dnnl_aBcd16b : dnnl_aBcd8b));
#endif
}

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
    const dnnl_data_type_t type_x = map_type(plan, shape->x_blocked), type_y = map_type(plan, shape->y_blocked);
    return describe_map(&plan->x, x, type_x, shape->x_blocked) || describe_map(&plan->y, y, type_y, shape->y_blocked)
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
            || fails(dnnl_primitive_desc_create(pd, &ip, attr, plan->room.engine, NULL));
    return fails(dnnl_dilated_convolution_forward_desc_init(&cv, kind, direct, &x, &w, b, &y, at.stride,
                                                            at.dilate, at.pad, at.pad))
        || fails(dnnl_primitive_desc_create(pd, &cv, attr, plan->room.engine, NULL));
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
            || fails(dnnl_primitive_desc_create(pd, &ip, plan->attr, plan->room.engine, hint));
    return fails(dnnl_dilated_convolution_backward_weights_desc_init(&cv, direct, &x, &w, NULL, &y, at.stride,
                                                                 at.dilate, at.pad, at.pad))
        || fails(dnnl_primitive_desc_create(pd, &cv, plan->attr, plan->room.engine, hint));
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
            || fails(dnnl_primitive_desc_create(pd, &ip, plan->attr, plan->room.engine, hint));
    return fails(dnnl_dilated_convolution_backward_data_desc_init(&cv, direct, &x, &w, &y, at.stride, at.dilate, at.pad,
                                                              at.pad))
        || fails(dnnl_primitive_desc_create(pd, &cv, plan->attr, plan->room.engine, hint));
}

static const dnnl_memory_desc_t *inner_of(dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(pd, what, 0);
}

/* What oneDNN calls the kernel that it has for it. */
static const char *kernel_of(dnnl_primitive_desc_t pd)
{
    const char *name = "ref";
    ONEDNN_MUST(dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name));
    return name;
}

/* Has it nothing better than plain loops? */
static int is_slow(dnnl_primitive_desc_t pd) { return !strncmp(kernel_of(pd), "ref", 3); }

/* Its plain loops of bfloat16 numbers take hundreds of times as long as fp32 steps of rounded ones. */
static int refuses_half(const onednn_plan *plan, dnnl_primitive_desc_t pd) { return plan->half && is_slow(pd); }

static int make_forward(onednn_plan *plan, onednn_step *step, dnnl_prop_kind_t kind, int bias,
                        dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *pd)
{
    return forward_pd(plan, kind, bias, attr, pd) || refuses_half(plan, *pd)
        || onednn_make(step, *pd)
        || onednn_add_port(step, DNNL_ARG_SRC, SLOT_SRC, PORT_IN, &plan->x, inner_of(*pd, dnnl_query_src_md))
        || onednn_add_port(step, DNNL_ARG_WEIGHTS, SLOT_WEIGHTS, PORT_IN, &plan->w,
                           inner_of(*pd, dnnl_query_weights_md))
        || onednn_add_port(step, DNNL_ARG_DST, SLOT_DST, PORT_OUT, &plan->y, inner_of(*pd, dnnl_query_dst_md))
        || (bias && onednn_add_port(step, DNNL_ARG_BIAS, SLOT_SRC, PORT_IN, &plan->b, NULL));
}

/* Tiles of our own for dw of maps that are channels last. */
static int plan_amx(onednn_plan *plan)
{
#ifdef LAST
    if (plan->half && plan->shape.x_blocked && plan->shape.y_blocked)
        plan->amx = amx_weights_make(&plan->shape, plan->room.shared);
#endif
    return plan->amx != NULL;
}

/* The step for dw, or the decision that depthwise.c or AMX makes it. */
static int make_weights(onednn_plan *plan, dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd)
{
    onednn_step *step = &plan->weights;
    const conv_shape *shape = &plan->shape;
    int depthwise = shape->groups == shape->c && shape->groups == shape->n && conv_is_plain(shape)
                 && !plan->rounds;
    if (plan_amx(plan)) return 0;
    if (weights_pd(plan, hint, pd)) return -1;
    plan->own_weights = depthwise && shape->x_blocked && shape->y_blocked && is_slow(*pd);
    if (plan->own_weights) return 0;
    return refuses_half(plan, *pd) || onednn_make(step, *pd)
        || onednn_add_port(step, DNNL_ARG_SRC, SLOT_SRC, PORT_IN, &plan->x, inner_of(*pd, dnnl_query_src_md))
        || onednn_add_port(step, DNNL_ARG_DIFF_DST, SLOT_DST, PORT_IN, &plan->y, inner_of(*pd, dnnl_query_diff_dst_md))
        || onednn_add_port(step, DNNL_ARG_DIFF_WEIGHTS, SLOT_WEIGHTS, PORT_ADD, &plan->w,
                           inner_of(*pd, dnnl_query_diff_weights_md));
}

static int make_data(onednn_plan *plan, dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd)
{
    onednn_step *step = &plan->data;
    return data_pd(plan, hint, pd) || refuses_half(plan, *pd) || onednn_make(step, *pd)
        || onednn_add_port(step, DNNL_ARG_WEIGHTS, SLOT_WEIGHTS, PORT_IN, &plan->w,
                           inner_of(*pd, dnnl_query_weights_md))
        || onednn_add_port(step, DNNL_ARG_DIFF_DST, SLOT_DST, PORT_IN, &plan->y, inner_of(*pd, dnnl_query_diff_dst_md))
        || onednn_add_port(step, DNNL_ARG_DIFF_SRC, SLOT_SRC, PORT_ADD, &plan->x,
                           inner_of(*pd, dnnl_query_diff_src_md));
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
static onednn_step *trained_step(onednn_plan *plan) { return plan->needs.raw ? &plan->raw : &plan->fused; }

/* What two steps want in the same layout is reordered once: x in forward, for the weights step, too; dy in the weights
 * step, for the data step (`data` NULL: there is none), too. */
static void share_reorders(onednn_plan *plan, dnnl_primitive_desc_t forward, dnnl_primitive_desc_t weights,
                           dnnl_primitive_desc_t data)
{
    onednn_port *first = &trained_step(plan)->port[FORWARD_X], *again = &plan->weights.port[WEIGHTS_X];
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
    int bad = onednn_attr(attr) || fails(dnnl_post_ops_create(&ops))
           || (row && fails(dnnl_post_ops_append_eltwise(ops, 1.0f, row->kind, row->alpha, row->beta)))
           || fails(dnnl_primitive_attr_set_post_ops(*attr, ops));
    dnnl_post_ops_destroy(ops);
    return bad;
}

/* How oneDNN would compute forward of maps in our layout or, any_layout, in its own. */
typedef enum { SLOW, FAST, BY_AMX } forward_speed;

static forward_speed speed_of(onednn_plan *plan)
{
    dnnl_primitive_desc_t pd = NULL;
    if (forward_pd(plan, dnnl_forward_training, 0, plan->attr, &pd)) return SLOW;
    forward_speed speed = is_slow(pd) || !strncmp(kernel_of(pd), "gemm", 4) ? SLOW : FAST;
    if (strstr(kernel_of(pd), "amx")) speed = BY_AMX;
    dnnl_primitive_desc_destroy(pd);
    return speed;
}

/* Maps in our layout unless oneDNN has only its plain loops or a matrix product for it, or AMX for its own alone, which
 * is NHWC: worth two passes over the maps. */
static void choose_layout(onednn_plan *plan)
{
    if (!plan->shape.y_blocked) return;
    forward_speed ours = speed_of(plan);
    plan->any_layout = 1;
    plan->any_layout = ours == SLOW || (plan->half && ours != BY_AMX && speed_of(plan) == BY_AMX);
}

/* Makes all that the layer needs. Other than 0: oneDNN cannot do this shape. */
static int make_steps(onednn_plan *plan)
{
    dnnl_prop_kind_t fused_kind = plan->needs.raw ? dnnl_forward_inference : dnnl_forward_training;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t raw = NULL, fused = NULL;
    int bad = fails(dnnl_engine_create(&plan->room.engine, dnnl_cpu, 0))
           || fails(dnnl_stream_create(&plan->room.stream, plan->room.engine, dnnl_stream_default_flags))
           || our_descriptions(plan) || onednn_attr(&plan->attr) || fused_attr(plan, &attr);
    plan->raw.room = plan->fused.room = plan->weights.room = plan->data.room = &plan->room;
    if (!bad) choose_layout(plan);
    bad = bad || (plan->needs.raw && make_forward(plan, &plan->raw, dnnl_forward_training, 0, plan->attr, &raw))
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
    onednn_free_step(&plan->raw);
    onednn_free_step(&plan->fused);
    onednn_free_step(&plan->weights);
    onednn_free_step(&plan->data);
    dnnl_primitive_attr_destroy(plan->attr);
    dnnl_stream_destroy(plan->room.stream);
    dnnl_engine_destroy(plan->room.engine);
    amx_weights_free(plan->amx);
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
    plan->room.shared = shared;
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
static void activate_pass(const onednn_plan *plan, void *map)
{
    const conv_shape *shape = &plan->shape;
    layer l = { .batch = shape->batch, .out_c = shape->n, .out_h = shape->out_h, .out_w = shape->out_w,
                .activation = plan->needs.activation };
    layer row = { .batch = 1, .out_c = 1, .out_h = 1, .activation = plan->needs.activation,
                  .out_w = (int)vec_numbers(shape->batch, shape->n, shape->out_h, shape->out_w) };
    if (plan->rounds && shape->y_blocked) bias_forward(&row, NULL, map);
    else if (shape->y_blocked) blocked_add_activate(&l, NULL, l.activation, map);
    else bias_forward(&l, NULL, map);
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
static void forward_plan(void *impl, const void *in, const float *w, const conv_after *after, void *out)
{
    onednn_plan *plan = impl;
    const float *bias = after ? after->bias : NULL;
    onednn_step *step = bias ? &plan->fused : &plan->raw;
    unsigned ready = w ? 0 : PORT_READY(FORWARD_W);
    if (bias && plan->needs.constant) w = constant_weights(plan, w);
    onednn_run_step(step, (const void *[]){ in, w, out, bias }, ready, 0);
    plan->kept_x = plan->kept && step == trained_step(plan) ? in : NULL;
    if (bias && !plan->fused_act) activate_pass(plan, out);
}

/* By whoever the plan has chosen. */
static void weights_plan(void *impl, const void *in, const void *dy, float *dw)
{
    onednn_plan *plan = impl;
    if (plan->amx) {
        amx_weight_gradient(plan->amx, in, dy, dw);
        return;
    }
    if (plan->own_weights) {
        depthwise_weight_gradient(&plan->shape, in, dy, dw);
        return;
    }
    unsigned ready = plan->kept && plan->kept_x == in ? PORT_READY(WEIGHTS_X) : 0;
    onednn_run_step(&plan->weights, (const void *[]){ in, dy, dw }, ready, 0);
    plan->dy_ready = plan->shares_dy ? dy : NULL;
}

static void data_plan(void *impl, const float *w, const void *dy, void *dx, int add)
{
    onednn_plan *plan = impl;
    unsigned ready = plan->dy_ready == dy ? PORT_READY(DATA_DY) : 0;
    onednn_run_step(&plan->data, (const void *[]){ w, dy, dx }, ready, !add);
    plan->dy_ready = NULL;
}

static int rounds(void *impl) { return ((const onednn_plan *)impl)->rounds; }

static const conv_math dnnl_math = {
    .name = "oneDNN", .biases = 1, .blocked = 1, .make = make_plan, .free = free_plan, .forward = forward_plan,
    .backward_weights = weights_plan, .backward_data = data_plan, .rounds = rounds,
};

const conv_math *conv_dnnl(void) { return &dnnl_math; }
#endif
