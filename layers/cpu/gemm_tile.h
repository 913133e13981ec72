/* Products of small matrices for winograd.c: the tile of the result stays in registers while the sum runs.
 *
 *   rows   c[t][k] = sum over i of a[t][i] * b[i][k]          a (t, i), b (k blocks, i, LANES), c (t, k)
 *   sum    c[i][k] = [c +] sum over t of a[t][i] * b[t][k]    a (t, i), b (t, k), c (k blocks, i, LANES)
 *
 * Both are one loop with other strides: a number of a is spread over a vector and multiplied with vectors of b. A tile
 * is up to GEMM_ROWS by two vectors of c: with AVX-512 28 of 32 registers, else 12 of 16. */
#ifndef DISTILL_GEMM_TILE_H
#define DISTILL_GEMM_TILE_H
#include <stddef.h>

/* `tiles` rows of a, a_stride apart; depth: how many i; blocks: of k. */
void gemm_rows(const float *a, size_t a_stride, size_t tiles, const float *b, size_t depth, size_t blocks, float *c);
/* channels: how many i; blocks: of k; tiles: length of the sum; add: c is added to, not written. */
void gemm_sum(const float *a, size_t channels, const float *b, size_t blocks, size_t tiles, float *c, int add);

#endif
