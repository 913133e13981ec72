/* Winograd's arithmetic alone, against the plain loops: both strides, edges, odd sizes, channels that leave a rest, what
 * is added, batch norm's sums, threads; and the shapes it must refuse. */
#include "layers/network.h"
#include "check.h"

#include "layers/cpu/conv.h"
#include "layers/cpu/parallel.h"
#include "layers/cpu/vec.h"

typedef struct shape_case {
    const char *name;
    int batch, c, h, w, n, stride, pad;
} shape_case;

static const shape_case cases[] = {
    { "stride 1", 3, 16, 13, 12, 24, 1, 1 },
    { "stride 1, unpadded", 2, 17, 10, 9, 8, 1, 0 },
    { "stride 1, padded by 2", 1, 8, 7, 7, 33, 1, 2 },
    { "stride 2", 4, 32, 16, 16, 48, 2, 1 },
    { "stride 2 from 32x32", 2, 16, 32, 32, 32, 2, 1 },
    { "stride 2 to 8x8", 3, 64, 16, 16, 128, 2, 1 },
    { "stride 2, one image", 1, 16, 8, 8, 16, 2, 1 },
    { "stride 2, odd sizes", 2, 16, 15, 23, 16, 2, 1 },
    { "stride 2, odd down", 3, 16, 7, 8, 24, 2, 1 },
    { "stride 2, odd across", 3, 24, 16, 7, 16, 2, 1 },
    { "stride 2, last tiles stick out", 2, 16, 28, 28, 16, 2, 1 },
    { "stride 2, 17 and 33 channels", 2, 17, 14, 8, 33, 2, 1 },
    { "stride 2, 9 and 10 channels", 2, 9, 8, 6, 10, 2, 1 },
    { "stride 2, many tiles", 9, 8, 64, 32, 8, 2, 1 },
};
enum { CASES = sizeof cases / sizeof *cases };

static conv_shape shape_of(const shape_case *k, int blocked)
{
    return (conv_shape){ .batch = k->batch, .c = k->c, .h = k->h, .w = k->w, .n = k->n, .size = 3, .stride = k->stride, .pad = k->pad,
                         .out_h = (k->h + 2 * k->pad - 3) / k->stride + 1, .out_w = (k->w + 2 * k->pad - 3) / k->stride + 1,
                         .groups = 1, .x_blocked = blocked, .y_blocked = blocked };
}

/* One arithmetic at work, all results plain. */
typedef struct work {
    const conv_math *math;
    conv_shape s;
    cpu_shared *shared;
    void *plan;
    float *y, *dx, *dw;
    size_t ny, nx, nw;
} work;

static const conv_needs all_needs = { .raw = 1, .batchnorm = 1, .weights = 1, .data = 1 };

/* A map of the input's or the output's shape as the arithmetic wants it; the caller frees, or gives it to taken(). */
static float *given(const work *k, const float *plain, int input)
{
    const conv_shape *s = &k->s;
    int c = input ? s->c : s->n, h = input ? s->h : s->out_h, w = input ? s->w : s->out_w;
    float *map = mem_aligned(vec_numbers(s->batch, c, h, w), sizeof *map);
    if (s->x_blocked) cpu_to_blocked(plain, s->batch, c, (size_t)h * (size_t)w, map);
    else memcpy(map, plain, (input ? k->nx : k->ny) * sizeof *map);
    return map;
}

/* Back to plain, and freed. */
static void taken(const work *k, float *map, float *plain, int input)
{
    const conv_shape *s = &k->s;
    size_t pixels = input ? (size_t)s->h * (size_t)s->w : (size_t)s->out_h * (size_t)s->out_w;
    if (s->x_blocked) cpu_to_plain(map, s->batch, input ? s->c : s->n, pixels, plain);
    else memcpy(plain, map, (input ? k->nx : k->ny) * sizeof *plain);
    free(map);
}

static float *random_floats(size_t n, uint64_t stream)
{
    float *x = mem_calloc(n, sizeof *x);
    check_fill(x, n, stream);
    return x;
}

/* y, dw added to what was there, dx added or, with `write`, written; the plain loops can only add. */
static void run(work *k, int write)
{
    float *x = random_floats(k->nx, 1), *w = random_floats(k->nw, 2), *dy = random_floats(k->ny, 3);
    k->y = random_floats(k->ny, 4);
    k->dx = random_floats(k->nx, 5);
    k->dw = random_floats(k->nw, 6);
    if (write && !k->s.x_blocked) memset(k->dx, 0, k->nx * sizeof *k->dx);
    float *in = given(k, x, 1), *out = given(k, k->y, 0), *delta = given(k, dy, 0), *before = given(k, k->dx, 1);
    k->math->forward(k->plan, in, w, NULL, out);
    k->math->backward_weights(k->plan, in, delta, k->dw);
    k->math->backward_data(k->plan, w, delta, before, !write || !k->s.x_blocked);
    taken(k, out, k->y, 0);
    taken(k, before, k->dx, 1);
    free(in);
    free(delta);
    free(x);
    free(w);
    free(dy);
}

static work work_of(const shape_case *k, const conv_math *math)
{
    work r = { .math = math, .s = shape_of(k, math != &conv_reference), .shared = mem_calloc(1, sizeof *r.shared) };
    r.nx = (size_t)(k->batch * k->c * k->h * k->w);
    r.ny = (size_t)(k->batch * k->n * r.s.out_h * r.s.out_w);
    r.nw = (size_t)(k->n * k->c * 9);
    r.plan = math->make(&r.s, &all_needs, r.shared);
    if (!r.plan) fail_msg("%s: %s refuses", k->name, math->name);
    return r;
}

static void end(work *k)
{
    k->math->free(k->plan);
    for (int i = 0; i < SLOTS; ++i) free(k->shared->slot[i]);
    free(k->shared);
    free(k->y);
    free(k->dx);
    free(k->dw);
}

/* |a - b| against the largest |b|. */
static void check_alike(const float *a, const float *b, size_t n, double tol, const char *name, const char *what)
{
    double largest = 0, apart = 0;
    for (size_t i = 0; i < n; ++i) {
        assert_true(isfinite(a[i]));
        largest = fmax(largest, fabs(b[i]));
        apart = fmax(apart, fabs((double)a[i] - b[i]));
    }
    if (!(apart <= tol * largest)) fail_msg("%s, %s: %g apart, largest %g", name, what, apart, largest);
}

static void check_works(const work *a, const work *b, double tol, double weights_tol, const char *name)
{
    check_alike(a->y, b->y, a->ny, tol, name, "output");
    check_alike(a->dx, b->dx, a->nx, tol, name, "input gradient");
    check_alike(a->dw, b->dw, a->nw, weights_tol, name, "weight gradient");
}

static int built(void)
{
    if (conv_winograd()) return 1;
    print_message("skipped: a build without Winograd\n");
    return 0;
}

static void agrees_with_reference(void **unused)
{
    (void)unused;
    for (int i = 0; built() && i < CASES; ++i)
        for (int write = 0; write < 2; ++write) {
            work fast = work_of(&cases[i], conv_winograd()), plain = work_of(&cases[i], &conv_reference);
            run(&fast, write);
            run(&plain, write);
            check_works(&fast, &plain, 3e-6, 3e-6, cases[i].name);
            end(&fast);
            end(&plain);
        }
}

static void threads_change_little(void **unused)
{
    (void)unused;
    for (int i = 0; built() && i < CASES; ++i) {
        parallel_set_threads(1);
        work one = work_of(&cases[i], conv_winograd());
        run(&one, 0);
        parallel_set_threads(2);
        work two = work_of(&cases[i], conv_winograd()), again = work_of(&cases[i], conv_winograd());
        run(&two, 0);
        run(&again, 0);
        parallel_set_threads(0);
        check_works(&two, &one, 0, 5e-6, cases[i].name);
        check_works(&again, &two, 0, 0, cases[i].name);
        end(&one);
        end(&two);
        end(&again);
    }
}

/* Totals of a channel's values and squares, minus the shift, over the parts that forward writes. */
static void check_sums(const work *k, const float *sums, const float *shift, const char *name)
{
    size_t wide = vec_blocks(k->s.n) * LANES, map = (size_t)k->s.out_h * (size_t)k->s.out_w;
    for (size_t c = 0; c < (size_t)k->s.n; ++c) {
        double one = 0, two = 0, got[2] = { 0 };
        for (size_t i = 0; i < (size_t)k->s.batch * map; ++i) {
            double d = k->y[(i / map * (size_t)k->s.n + c) * map + i % map] - shift[c];
            one += d;
            two += d * d;
        }
        for (size_t p = 0; p < k->math->parts(k->plan); ++p)
            for (int s = 0; s < 2; ++s) got[s] += sums[(p * 2 + (size_t)s) * wide + c];
        check_close(got[0], one, 1e-3, name, c);
        check_close(got[1], two, 1e-5, name, c);
    }
}

static void sums_for_batchnorm(void **unused)
{
    (void)unused;
    for (int i = 0; built() && i < CASES; ++i) {
        work k = work_of(&cases[i], conv_winograd());
        size_t wide = vec_blocks(k.s.n) * LANES;
        float *sums = mem_aligned(k.math->parts(k.plan) * 2 * wide, sizeof *sums), *shift = mem_aligned(wide, sizeof *shift);
        float *x = random_floats(k.nx, 1), *w = random_floats(k.nw, 2);
        check_fill(shift, wide, 7);
        k.y = random_floats(k.ny, 4);
        float *in = given(&k, x, 1), *out = given(&k, k.y, 0);
        k.math->forward(k.plan, in, w, &(conv_after){ .sums = sums, .shift = shift }, out);
        taken(&k, out, k.y, 0);
        check_sums(&k, sums, shift, cases[i].name);
        free(in);
        free(x);
        free(w);
        free(sums);
        free(shift);
        end(&k);
    }
}

/* y = act(conv + bias + add) against what forward alone gives. */
static void bias_map_and_activation(void **unused)
{
    (void)unused;
    for (int i = 0; built() && i < CASES; ++i) {
        work k = work_of(&cases[i], conv_winograd());
        size_t map = (size_t)k.s.out_h * (size_t)k.s.out_w, n = (size_t)k.s.n;
        float *bias = mem_aligned(vec_blocks(k.s.n) * LANES, sizeof *bias), *add = random_floats(k.ny, 8), *y = random_floats(k.ny, 9);
        float *x = random_floats(k.nx, 1), *w = random_floats(k.nw, 2);
        check_fill(bias, n, 10);
        k.y = random_floats(k.ny, 4);
        float *in = given(&k, x, 1), *out = given(&k, k.y, 0), *fused = given(&k, y, 0), *z = given(&k, add, 0);
        k.math->forward(k.plan, in, w, NULL, out);
        k.math->forward(k.plan, in, w, &(conv_after){ .bias = bias, .add = z, .activation = RELU }, fused);
        taken(&k, out, k.y, 0);
        taken(&k, fused, y, 0);
        for (size_t e = 0; e < k.ny; ++e) check_close(y[e], fmaxf(k.y[e] + bias[e / map % n] + add[e], 0), 1e-6, cases[i].name, e);
        free(in);
        free(z);
        free(x);
        free(w);
        free(y);
        free(add);
        free(bias);
        end(&k);
    }
}

static void check_refused(conv_shape s, const char *why)
{
    cpu_shared shared = { 0 };
    if (conv_winograd()->make(&s, &all_needs, &shared)) fail_msg("taken: %s", why);
    for (int i = 0; i < SLOTS; ++i) assert_null(shared.slot[i]);
}

static void refuses(void **unused)
{
    (void)unused;
    if (!built()) return;
    const shape_case k = { "16x16", 2, 16, 16, 16, 16, 2, 1 }, unpadded = { "unpadded", 2, 16, 17, 17, 16, 2, 0 },
                     wide = { "padded by 2", 2, 16, 14, 14, 16, 2, 2 }, third = { "stride 3", 2, 16, 24, 24, 16, 3, 1 };
    conv_shape s = shape_of(&k, 1);
    check_refused(shape_of(&unpadded, 1), "stride 2 without padding");
    check_refused(shape_of(&wide, 1), "stride 2 padded by 2");
    check_refused(shape_of(&third, 1), "stride 3");
    check_refused(shape_of(&k, 0), "plain maps");
    s.groups = 2;
    check_refused(s, "groups");
    s.groups = 1;
    s.size = 5;
    check_refused(s, "5x5");
}

static void knows_where_it_pays(void **unused)
{
    (void)unused;
    if (!built()) return;
    static const struct {
        shape_case shape;
        int pays;
    } want[] = { { { "10x10, four tiles for 5x5 outputs", 2, 64, 10, 10, 16, 2, 1 }, 0 }, { { "16 channels, 14x14", 2, 16, 14, 14, 32, 2, 1 }, 0 },
                 { { "16 channels, 32x32", 2, 16, 32, 32, 32, 2, 1 }, 1 }, { { "32 channels, 14x14", 2, 32, 14, 14, 32, 2, 1 }, 1 },
                 { { "stride 1, 16 channels", 2, 16, 32, 32, 16, 1, 1 }, 1 },
                 { { "5x5, four tiles", 2, 64, 5, 5, 64, 1, 1 }, 0 } };
    for (size_t i = 0; i < sizeof want / sizeof *want; ++i) {
        conv_shape s = shape_of(&want[i].shape, 1);
        if (!conv_winograd()->pays(&s) != !want[i].pays) fail_msg("%s", want[i].shape.name);
    }
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_reference), cmocka_unit_test(threads_change_little), cmocka_unit_test(sums_for_batchnorm),
        cmocka_unit_test(bias_map_and_activation), cmocka_unit_test(refuses),
        cmocka_unit_test(knows_where_it_pays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
