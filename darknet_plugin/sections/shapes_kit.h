/* What the rows of shapes_layers.c and shapes_joins.c share: looking keys up, taking the input, giving the output. Sums
 * are in 64 bits and saturate. */
#ifndef DISTILL_SHAPES_KIT_H
#define DISTILL_SHAPES_KIT_H
#include "shapes_layers.h"

#include <limits.h>

/* a b, or the most there is. */
static inline int64_t times(int64_t a, int64_t b)
{
    int64_t p;
    return __builtin_mul_overflow(a, b, &p) ? INT64_MAX : p;
}

static inline int64_t number(const shape_run *run, const char *key, int def) { return cfg_int(run->section, key, def); }

static inline int has_input(const shape_run *run) { return run->in_known; }

static inline int has_image(shape_run *run)
{
    if (!run->in_known) return 0;
    if (run->l->in_h > 0 && run->l->in_w > 0 && run->l->in_c > 0) return 1;
    if (!shape_blame_route(run))
        shape_error(run, NULL, "needs an image before it, not %d plain inputs", run->l->inputs);
    return 0;
}

static inline int set_outputs(shape_run *run, int64_t outputs)
{
    if (outputs > INT_MAX) {
        shape_error(run, NULL, "has more outputs than Darknet can count");
        return 0;
    }
    run->l->outputs = (int)outputs;
    return 1;
}

/* Output map; 0 where a side is empty or the product is no int. */
static inline int set_map(shape_run *run, int64_t c, int64_t h, int64_t w)
{
    if (c < 1 || h < 1 || w < 1) {
        shape_error(run, NULL, "would have an empty output from its %dx%dx%d input", run->l->in_c, run->l->in_h,
                    run->l->in_w);
        return 0;
    }
    if (!set_outputs(run, times(times(c, h), w))) return 0;
    run->l->c = (int)c;
    run->l->h = (int)h;
    run->l->w = (int)w;
    return 1;
}

static inline int same_map(shape_run *run)
{
    run->l->c = run->l->in_c;
    run->l->h = run->l->in_h;
    run->l->w = run->l->in_w;
    return set_outputs(run, run->l->inputs);
}

static inline void input_is_map(shape_run *run) { run->l->inputs = run->l->in_c * run->l->in_h * run->l->in_w; }

/* Adds weights and, per unit, a bias and with batch norm a scale, mean and variance; `macs` per image. */
static inline void add_weights(shape_run *run, int64_t weights, int64_t units, int norm, double macs)
{
    if (weights > INT_MAX) {
        shape_error(run, NULL, "has more weights than Darknet can count");
        return;
    }
    run->l->params += (size_t)(weights + units * (norm ? 2 : 1));
    run->l->stored += (size_t)(weights + units * (norm ? 4 : 1));
    run->l->macs += macs;
}

static inline int normalised(const shape_run *run) { return cfg_int(run->section, "batch_normalize", 0) != 0; }

static inline int kernel_fits(shape_run *run, int64_t size, int64_t pad)
{
    const layer_shape *l = run->l;
    if (size <= l->in_h + pad && size <= l->in_w + pad) return 1;
    shape_error(run, "size", "kernel of %lld is larger than the %dx%dx%d input with padding %lld", (long long)size,
                l->in_c, l->in_h, l->in_w, (long long)pad);
    return 0;
}

/* Reader and look-ups hold these positive; a cfg built by hand may not. */
static inline int64_t positive(shape_run *run, const char *key, int def)
{
    int64_t v = number(run, key, def);
    if (v >= 1) return v;
    shape_error(run, key, "'%s' is %lld, expected at least 1", key, (long long)v);
    return 1;
}

static inline int divides(shape_run *run, int64_t stride)
{
    if (run->l->in_h % stride == 0 && run->l->in_w % stride == 0) return 1;
    shape_error(run, "stride", "stride %lld does not divide the %dx%dx%d input", (long long)stride, run->l->in_c,
                run->l->in_h, run->l->in_w);
    return 0;
}

#endif
