/* Convolution by oneDNN (2.6, C API).
 *
 * On plain maps oneDNN is asked for whatever memory layouts it likes best, on blocked ones for ours unless it has no good
 * kernel for it. A port joins oneDNN's layout to ours through a reorder, or hands our buffer over where the layouts are
 * the same. A step is one primitive and its ports:
 *
 *   raw      y = conv(x, w)                       fused    y = act(conv(x, w) + b)
 *   weights  dw += conv over batch(x, dy)         data     dx += conv transposed(w, dy)
 *
 * Accumulating is the reorder's work (sum post-op). Inner layouts live in scratch that the whole network shares, but for
 * x, kept from forward for the weights step, and dy, which the data step takes over from the weights step. On 1x1 maps
 * (connected layers) the inner product is the same thing and faster.
 * https://oneapi-src.github.io/oneDNN/v2.6/dev_guide_convolution.html */
#include "conv.h"

#ifndef DNNL
const conv_math *conv_dnnl(void) { return NULL; }
#else
#include "batchnorm.h"
#include "batchnorm_blocked.h"
#include "parallel.h"
#include "vec.h"

#include "darknet_plugin/base/mem.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

typedef enum { PORT_IN, PORT_OUT, PORT_ADD } port_way;

typedef struct port {
    int arg, slot;
    port_way way;
    dnnl_memory_t ours;        /* on the caller's buffer, set at each call */
    dnnl_memory_t inner;       /* NULL: ours serves */
    dnnl_primitive_t reorder;  /* PORT_ADD: adds */
    dnnl_primitive_t copy;     /* PORT_ADD: writes; NULL where the layouts are the same */
    float *own;                /* inner memory outside the scratch, borrowed from the plan */
} port;

typedef struct step {
    dnnl_primitive_t prim;
    int n;
    port port[4];
} step;

typedef struct plan {
    conv_shape s;
    conv_needs needs;
    cpu_shared *shared;        /* borrowed */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    step raw, fused, weights, data;
    dnnl_memory_desc_t x, y, w, b;   /* ours */
    int any_layout;            /* maps, too: oneDNN has nothing good for ours */
    float *weights_kept;       /* needs.constant: the fused step's weights, owned */
    float *kept;               /* x in the inner layout that forward and the weights step have in common; owned */
    const float *kept_x;       /* what it was made from, NULL = nothing */
    const float *dy_ready;     /* what SLOT_DST was made from by the weights step */
    int own_weights;           /* the weight gradient is depthwise.c's: oneDNN has only plain loops for it */
    int shares_dy;             /* weights and data steps want dy alike */
    int fused_act;             /* the fused step applies the activation */
} plan;

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

static int make_reorder(dnnl_primitive_t *reorder, dnnl_engine_t e, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to,
                        int add)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_primitive_desc_t pd = NULL;
    int bad = fails(dnnl_primitive_attr_create(&attr)) || fails(dnnl_post_ops_create(&ops))
           || (add && fails(dnnl_post_ops_append_sum(ops, 1.0f)))
           || fails(dnnl_primitive_attr_set_post_ops(attr, ops))
           || fails(dnnl_reorder_primitive_desc_create(&pd, from, e, to, e, attr))
           || fails(dnnl_primitive_create(reorder, pd));
    dnnl_primitive_desc_destroy(pd);
    dnnl_post_ops_destroy(ops);
    dnnl_primitive_attr_destroy(attr);
    return bad ? -1 : 0;
}

/* Adds a port to a step; `inner` NULL: the primitive takes our layout. */
static int add_port(plan *p, step *st, int arg, int slot, port_way way, const dnnl_memory_desc_t *ours,
                    const dnnl_memory_desc_t *inner)
{
    port *q = &st->port[st->n++];
    int same = !inner || dnnl_memory_desc_equal(ours, inner);
    q->arg = arg;
    q->slot = slot;
    q->way = way;
    if (fails(dnnl_memory_create(&q->ours, ours, p->engine, DNNL_MEMORY_NONE))) return -1;
    if (!inner || (way != PORT_ADD && same)) return 0;
    if (fails(dnnl_memory_create(&q->inner, inner, p->engine, DNNL_MEMORY_NONE))) return -1;
    cpu_reserve(p->shared, slot, dnnl_memory_desc_get_size(inner));
    if (way == PORT_IN) return make_reorder(&q->reorder, p->engine, ours, inner, 0);
    if (way == PORT_ADD && !same && make_reorder(&q->copy, p->engine, inner, ours, 0)) return -1;
    return make_reorder(&q->reorder, p->engine, inner, ours, way == PORT_ADD);
}

static void free_step(step *st)
{
    for (int i = 0; i < st->n; ++i) {
        dnnl_primitive_destroy(st->port[i].reorder);
        dnnl_primitive_destroy(st->port[i].copy);
        dnnl_memory_destroy(st->port[i].inner);
        dnnl_memory_destroy(st->port[i].ours);
    }
    dnnl_primitive_destroy(st->prim);
}

static void reorder(plan *p, dnnl_primitive_t r, dnnl_memory_t from, dnnl_memory_t to)
{
    dnnl_exec_arg_t args[] = { { DNNL_ARG_FROM, from }, { DNNL_ARG_TO, to } };
    MUST(dnnl_primitive_execute(r, p->stream, 2, args));
}

static void set_handle(dnnl_memory_t m, const void *data)
{
    void *old = NULL;
    MUST(dnnl_memory_get_data_handle(m, &old));
    if (old != data) MUST(dnnl_memory_set_data_handle(m, (void *)(uintptr_t)data));
}

/* Runs a step on our buffers, one a port. `ready`: bit i set where port i's inner memory is filled already. `write`: what a
 * PORT_ADD would add replaces what was there. */
static void run_step(plan *p, step *st, const float *const data[], unsigned ready, int write)
{
    dnnl_exec_arg_t args[4];
    for (int i = 0; i < st->n; ++i) {
        port *q = &st->port[i];
        int direct = !q->inner || (write && q->way == PORT_ADD && !q->copy);
        set_handle(q->ours, data[i]);
        if (!direct) set_handle(q->inner, q->own ? q->own : p->shared->slot[q->slot]);
        if (!direct && q->way == PORT_IN && !(ready >> i & 1)) reorder(p, q->reorder, q->ours, q->inner);
        args[i] = (dnnl_exec_arg_t){ q->arg, direct ? q->ours : q->inner };
    }
    MUST(dnnl_primitive_execute(st->prim, p->stream, st->n, args));
    for (int i = 0; i < st->n; ++i) {
        port *q = &st->port[i];
        if (!q->inner || q->way == PORT_IN || (write && q->way == PORT_ADD && !q->copy)) continue;
        reorder(p, write && q->way == PORT_ADD ? q->copy : q->reorder, q->inner, q->ours);
    }
    MUST(dnnl_stream_wait(p->stream));
}

/* ---- planning ---- */

static int is_product(const conv_shape *s)
{
    return s->size == 1 && s->h == 1 && s->w == 1 && s->out_h == 1 && s->out_w == 1 && s->groups == 1 && s->pad == 0;
}

static dnnl_memory_desc_t any(dnnl_memory_desc_t m)
{
    dnnl_memory_desc_t r;
    MUST(dnnl_memory_desc_init_by_tag(&r, m.ndims, m.dims, dnnl_f32, dnnl_format_tag_any));
    return r;
}

static dnnl_format_tag_t map_tag(int blocked) { return !blocked ? dnnl_abcd : LANES == 16 ? dnnl_aBcd16b : dnnl_aBcd8b; }

/* A map as a primitive is asked to take it. */
static dnnl_memory_desc_t map(const plan *p, dnnl_memory_desc_t ours, int blocked)
{
    return blocked && !p->any_layout ? ours : any(ours);
}

static int our_descriptions(plan *p)
{
    const conv_shape *s = &p->s;
    dnnl_dims_t x = { s->batch, s->c, s->h, s->w }, y = { s->batch, s->n, s->out_h, s->out_w }, b = { s->n };
    dnnl_dims_t w = { s->n, s->c, s->size, s->size };
    dnnl_dims_t g = { s->groups, s->n / s->groups, s->c / s->groups, s->size, s->size };
    if (is_product(s)) {
        return fails(dnnl_memory_desc_init_by_tag(&p->x, 2, x, dnnl_f32, dnnl_ab))
            || fails(dnnl_memory_desc_init_by_tag(&p->y, 2, y, dnnl_f32, dnnl_ab))
            || fails(dnnl_memory_desc_init_by_tag(&p->w, 2, w, dnnl_f32, dnnl_ab))
            || fails(dnnl_memory_desc_init_by_tag(&p->b, 1, b, dnnl_f32, dnnl_a));
    }
    return fails(dnnl_memory_desc_init_by_tag(&p->x, 4, x, dnnl_f32, map_tag(s->x_blocked)))
        || fails(dnnl_memory_desc_init_by_tag(&p->y, 4, y, dnnl_f32, map_tag(s->y_blocked)))
        || (s->groups > 1 ? fails(dnnl_memory_desc_init_by_tag(&p->w, 5, g, dnnl_f32, dnnl_abcde))
                          : fails(dnnl_memory_desc_init_by_tag(&p->w, 4, w, dnnl_f32, dnnl_abcd)))
        || fails(dnnl_memory_desc_init_by_tag(&p->b, 1, b, dnnl_f32, dnnl_a));
}

/* The three kinds of operation, as convolution or inner product. */
static int forward_pd(plan *p, dnnl_prop_kind_t kind, int bias, dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *pd)
{
    dnnl_memory_desc_t x = map(p, p->x, p->s.x_blocked), y = map(p, p->y, p->s.y_blocked), w = any(p->w), *b = bias ? &p->b : NULL;
    dnnl_dims_t stride = { p->s.stride, p->s.stride }, pad = { p->s.pad, p->s.pad };
    dnnl_inner_product_desc_t ip;
    dnnl_convolution_desc_t cv;
    if (is_product(&p->s))
        return fails(dnnl_inner_product_forward_desc_init(&ip, kind, &x, &w, b, &y))
            || fails(dnnl_primitive_desc_create(pd, &ip, attr, p->engine, NULL));
    return fails(dnnl_convolution_forward_desc_init(&cv, kind, dnnl_convolution_direct, &x, &w, b, &y, stride, pad, pad))
        || fails(dnnl_primitive_desc_create(pd, &cv, attr, p->engine, NULL));
}

static int weights_pd(plan *p, dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd)
{
    dnnl_memory_desc_t x = map(p, p->x, p->s.x_blocked), y = map(p, p->y, p->s.y_blocked), w = any(p->w);
    dnnl_dims_t stride = { p->s.stride, p->s.stride }, pad = { p->s.pad, p->s.pad };
    dnnl_inner_product_desc_t ip;
    dnnl_convolution_desc_t cv;
    if (is_product(&p->s))
        return fails(dnnl_inner_product_backward_weights_desc_init(&ip, &x, &w, NULL, &y))
            || fails(dnnl_primitive_desc_create(pd, &ip, NULL, p->engine, hint));
    return fails(dnnl_convolution_backward_weights_desc_init(&cv, dnnl_convolution_direct, &x, &w, NULL, &y, stride, pad, pad))
        || fails(dnnl_primitive_desc_create(pd, &cv, NULL, p->engine, hint));
}

static int data_pd(plan *p, dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd)
{
    dnnl_memory_desc_t x = map(p, p->x, p->s.x_blocked), y = map(p, p->y, p->s.y_blocked), w = any(p->w);
    dnnl_dims_t stride = { p->s.stride, p->s.stride }, pad = { p->s.pad, p->s.pad };
    dnnl_inner_product_desc_t ip;
    dnnl_convolution_desc_t cv;
    if (is_product(&p->s))
        return fails(dnnl_inner_product_backward_data_desc_init(&ip, &x, &w, &y))
            || fails(dnnl_primitive_desc_create(pd, &ip, NULL, p->engine, hint));
    return fails(dnnl_convolution_backward_data_desc_init(&cv, dnnl_convolution_direct, &x, &w, &y, stride, pad, pad))
        || fails(dnnl_primitive_desc_create(pd, &cv, NULL, p->engine, hint));
}

static const dnnl_memory_desc_t *inner_of(dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(pd, what, 0);
}

static int make_forward(plan *p, step *st, dnnl_prop_kind_t kind, int bias, dnnl_primitive_attr_t attr,
                        dnnl_primitive_desc_t *pd)
{
    return forward_pd(p, kind, bias, attr, pd) || fails(dnnl_primitive_create(&st->prim, *pd))
        || add_port(p, st, DNNL_ARG_SRC, SLOT_SRC, PORT_IN, &p->x, inner_of(*pd, dnnl_query_src_md))
        || add_port(p, st, DNNL_ARG_WEIGHTS, SLOT_WEIGHTS, PORT_IN, &p->w, inner_of(*pd, dnnl_query_weights_md))
        || add_port(p, st, DNNL_ARG_DST, SLOT_DST, PORT_OUT, &p->y, inner_of(*pd, dnnl_query_dst_md))
        || (bias && add_port(p, st, DNNL_ARG_BIAS, SLOT_SRC, PORT_IN, &p->b, NULL));
}

/* Has oneDNN nothing better than plain loops? */
static int is_slow(dnnl_primitive_desc_t pd)
{
    const char *name = "ref";
    MUST(dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name));
    return !strncmp(name, "ref", 3);
}

static int make_weights(plan *p, dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd)
{
    step *st = &p->weights;
    const conv_shape *s = &p->s;
    if (weights_pd(p, hint, pd)) return -1;
    p->own_weights = s->x_blocked && s->y_blocked && s->groups == s->c && s->groups == s->n && is_slow(*pd);
    return p->own_weights ? 0 : fails(dnnl_primitive_create(&st->prim, *pd))
        || add_port(p, st, DNNL_ARG_SRC, SLOT_SRC, PORT_IN, &p->x, inner_of(*pd, dnnl_query_src_md))
        || add_port(p, st, DNNL_ARG_DIFF_DST, SLOT_DST, PORT_IN, &p->y, inner_of(*pd, dnnl_query_diff_dst_md))
        || add_port(p, st, DNNL_ARG_DIFF_WEIGHTS, SLOT_WEIGHTS, PORT_ADD, &p->w, inner_of(*pd, dnnl_query_diff_weights_md));
}

static int make_data(plan *p, dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd)
{
    step *st = &p->data;
    return data_pd(p, hint, pd) || fails(dnnl_primitive_create(&st->prim, *pd))
        || add_port(p, st, DNNL_ARG_WEIGHTS, SLOT_WEIGHTS, PORT_IN, &p->w, inner_of(*pd, dnnl_query_weights_md))
        || add_port(p, st, DNNL_ARG_DIFF_DST, SLOT_DST, PORT_IN, &p->y, inner_of(*pd, dnnl_query_diff_dst_md))
        || add_port(p, st, DNNL_ARG_DIFF_SRC, SLOT_SRC, PORT_ADD, &p->x, inner_of(*pd, dnnl_query_diff_src_md));
}

/* Constant weights stay in memory of the plan's own, in oneDNN's layout or, where that is ours, as a copy. */
static int keep_weights(plan *p, dnnl_primitive_desc_t fused)
{
    if (!p->needs.constant) return 0;
    size_t bytes = (dnnl_memory_desc_get_size(inner_of(fused, dnnl_query_weights_md)) + 63) / 64 * 64;
    p->weights_kept = mem_aligned(bytes, 1);
    p->fused.port[1].own = p->weights_kept;
    return 0;
}

/* The forward step that training runs. */
static step *trained_step(plan *p) { return p->needs.raw ? &p->raw : &p->fused; }

/* x is reordered once for both steps where they want it alike. */
static int keep_x(plan *p, dnnl_primitive_desc_t forward, dnnl_primitive_desc_t weights)
{
    const dnnl_memory_desc_t *a = inner_of(forward, dnnl_query_src_md), *b = inner_of(weights, dnnl_query_src_md);
    if (!trained_step(p)->port[0].inner || !dnnl_memory_desc_equal(a, b)) return 0;
    size_t bytes = (dnnl_memory_desc_get_size(a) + 63) / 64 * 64;
    p->kept = mem_aligned(bytes, 1);
    trained_step(p)->port[0].own = p->weights.port[0].own = p->kept;
    return 0;
}

static int make_gradients(plan *p, dnnl_primitive_desc_t forward)
{
    dnnl_primitive_desc_t weights = NULL, data = NULL;
    int bad = (p->needs.weights && (make_weights(p, forward, &weights) || (!p->own_weights && keep_x(p, forward, weights))))
           || (p->needs.data && make_data(p, forward, &data));
    if (!bad && weights && data && !p->own_weights)
        p->shares_dy = dnnl_memory_desc_equal(inner_of(weights, dnnl_query_diff_dst_md),
                                              inner_of(data, dnnl_query_diff_dst_md));
    dnnl_primitive_desc_destroy(weights);
    dnnl_primitive_desc_destroy(data);
    return bad;
}

/* Attributes of the fused step: relu and leaky are oneDNN's, other activations follow in a pass of our own. */
static int fused_attr(plan *p, dnnl_primitive_attr_t *attr)
{
    dnnl_post_ops_t ops = NULL;
    float slope = act_slope_below(p->needs.activation);
    p->fused_act = slope >= 0;
    int bad = fails(dnnl_primitive_attr_create(attr)) || fails(dnnl_post_ops_create(&ops))
           || (p->fused_act && slope != 1
               && fails(dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, slope, 0)))
           || fails(dnnl_primitive_attr_set_post_ops(*attr, ops));
    dnnl_post_ops_destroy(ops);
    return bad;
}

/* Maps in our layout unless oneDNN has only its plain loops or a matrix product for it. */
static void choose_layout(plan *p)
{
    dnnl_primitive_desc_t pd = NULL;
    const char *name = "ref";
    if (!p->s.y_blocked) return;
    if (!forward_pd(p, dnnl_forward_training, 0, NULL, &pd)) MUST(dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name));
    p->any_layout = !strncmp(name, "ref", 3) || !strncmp(name, "gemm", 4);
    dnnl_primitive_desc_destroy(pd);
}

static int make_steps(plan *p)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t raw = NULL, fused = NULL;
    int bad = fails(dnnl_engine_create(&p->engine, dnnl_cpu, 0))
           || fails(dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags))
           || our_descriptions(p) || fused_attr(p, &attr);
    if (!bad) choose_layout(p);
    bad = bad || (p->needs.raw && make_forward(p, &p->raw, dnnl_forward_training, 0, NULL, &raw))
           || make_forward(p, &p->fused, p->needs.raw ? dnnl_forward_inference : dnnl_forward_training, 1, attr, &fused)
           || keep_weights(p, fused) || make_gradients(p, raw ? raw : fused);
    dnnl_primitive_desc_destroy(raw);
    dnnl_primitive_desc_destroy(fused);
    dnnl_primitive_attr_destroy(attr);
    return bad;
}

/* ---- the face ---- */

static void free_plan(void *plan_)
{
    plan *p = plan_;
    free_step(&p->raw);
    free_step(&p->fused);
    free_step(&p->weights);
    free_step(&p->data);
    dnnl_stream_destroy(p->stream);
    dnnl_engine_destroy(p->engine);
    free(p->weights_kept);
    free(p->kept);
    free(p);
}

static void *make_plan(const conv_shape *s, const conv_needs *needs, cpu_shared *shared)
{
    plan *p = mem_calloc(1, sizeof *p);
    p->s = *s;
    p->needs = *needs;
    p->shared = shared;
    if (!make_steps(p)) return p;
    free_plan(p);
    return NULL;
}

/* A layer's activation and bias pass wants a layer; this is as much of one as it reads. */
static void activate_pass(const plan *p, float *y)
{
    layer l = { .batch = p->s.batch, .out_c = p->s.n, .out_h = p->s.out_h, .out_w = p->s.out_w,
                .activation = p->needs.activation };
    if (p->s.y_blocked) blocked_add_activate(&l, NULL, l.activation, y);
    else bias_forward(&l, NULL, y);
}

/* The fused step's weights where they stay: given now, or at an earlier call. */
static const float *constant_weights(plan *p, const float *w, unsigned *ready)
{
    int inner = p->fused.port[1].inner != NULL;
    if (!p->needs.constant) return w;
    if (!w) *ready |= 2;
    else if (!inner) memcpy(p->weights_kept, w, dnnl_memory_desc_get_size(&p->w));
    return inner ? w : p->weights_kept;
}

static void forward_plan(void *plan_, const float *x, const float *w, const conv_after *after, float *y)
{
    plan *p = plan_;
    const float *bias = after ? after->bias : NULL;
    step *st = bias ? &p->fused : &p->raw;
    unsigned ready = 0;
    if (bias) w = constant_weights(p, w, &ready);
    run_step(p, st, (const float *[]){ x, w, y, bias }, ready, 0);
    p->kept_x = p->kept && st == trained_step(p) ? x : NULL;
    if (bias && !p->fused_act) activate_pass(p, y);
}

static void weights_plan(void *plan_, const float *x, const float *dy, float *dw)
{
    plan *p = plan_;
    if (p->own_weights) {
        depthwise_weight_gradient(&p->s, x, dy, dw);
        return;
    }
    run_step(p, &p->weights, (const float *[]){ x, dy, dw }, p->kept && p->kept_x == x ? 1 : 0, 0);
    p->dy_ready = p->shares_dy ? dy : NULL;
}

static void data_plan(void *plan_, const float *w, const float *dy, float *dx, int add)
{
    plan *p = plan_;
    run_step(p, &p->data, (const float *[]){ w, dy, dx }, p->dy_ready == dy ? 2 : 0, !add);
    p->dy_ready = NULL;
}

static const conv_math dnnl_math = {
    .name = "oneDNN", .biases = 1, .blocked = 1, .make = make_plan, .free = free_plan, .forward = forward_plan,
    .backward_weights = weights_plan, .backward_data = data_plan,
};

const conv_math *conv_dnnl(void) { return &dnnl_math; }
#endif
