/* Counter-based random numbers: every draw is a pure function of (seed, a, b, use, counter), so results do not depend
 * on who draws first or on how many threads there are. The mixer is splitmix64's finaliser (Steele, Lea, Flood: "Fast
 * splittable pseudorandom number generators", 2014). */
#ifndef DISTILL_RNG_H
#define DISTILL_RNG_H
#include <math.h>
#include <stdint.h>

/* The numbers go into what is drawn, so they stay. */
enum rng_use {
    RNG_SHUFFLE = 1, RNG_AUGMENT = 2, RNG_INIT = 3, RNG_DROPOUT = 4, RNG_TEST = 5, RNG_SIZE = 6, RNG_SUBSTITUTE = 7,
    RNG_PICTURE = 8, RNG_MIX = 9, RNG_ANCHORS = 10, RNG_SYNTHESIS = 11
};

typedef struct rng {
    uint64_t key, counter;
} rng;

static inline uint64_t rng_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A stream of its own for each (seed, a, b, use): a is the epoch, view or step; b the image or layer. */
static inline rng rng_make(uint64_t seed, uint64_t a, uint64_t b, enum rng_use use)
{
    const uint64_t golden = 0x9e3779b97f4a7c15u;
    uint64_t k = rng_mix(seed + golden);
    k = rng_mix(k ^ (a + golden));
    k = rng_mix(k ^ (b + 2 * golden));
    k = rng_mix(k ^ ((uint64_t)use + 3 * golden));
    return (rng){ k, 0 };
}

static inline uint64_t rng_u64(rng *rng)
{
    return rng_mix(rng->key + 0x9e3779b97f4a7c15u * ++rng->counter);
}

/* Uniform in [lo, hi). */
static inline double rng_uniform(rng *rng, double lo, double hi)
{
    return lo + (hi - lo) * (double)(rng_u64(rng) >> 11) * 0x1.0p-53;
}

/* Uniform whole number in [0, n), n > 0. */
static inline uint64_t rng_below(rng *rng, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)rng_u64(rng) * n) >> 64);
}

/* Standard normal (Box and Muller 1958; one of the pair is dropped so that no state is kept). */
static inline double rng_normal(rng *rng)
{
    double u = 1.0 - rng_uniform(rng, 0, 1), v = rng_uniform(rng, 0, 1);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

/* The logarithm of a Gamma(shape, 1), shape > 0: Marsaglia and Tsang, "A simple method for generating gamma variables",
 * 2000, for shape + 1, times u^(1/shape), which would be 0 for small shapes without the logarithm. */
static inline double rng_log_gamma(rng *rng, double shape)
{
    double d = shape + 2. / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = rng_normal(rng), v = 1 + c * x;
        if (v <= 0) continue;
        v = v * v * v;
        double u = 1.0 - rng_uniform(rng, 0, 1);
        if (log(u) < .5 * x * x + d - d * v + d * log(v))
            return log(d * v) + log(1.0 - rng_uniform(rng, 0, 1)) / shape;
    }
}

/* Beta(shape, shape), in [0, 1], for a shape of 1e-38 and more: g1 / (g1 + g2) of two Gammas. */
static inline double rng_beta(rng *rng, double shape)
{
    double g1 = rng_log_gamma(rng, shape), g2 = rng_log_gamma(rng, shape);
    return 1 / (1 + exp(g2 - g1));
}

#endif
