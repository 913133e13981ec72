/* Products of small matrices for winograd.c: the tile of the result stays in registers while the sum runs.
 *
 *   rows   C[t][k] = sum over c of A[t][c] * B[c][k]         A (t, c), B (k blocks, c, LANES), C (t, k)
 *   sum    C[c][k] = [C +] sum over t of A[t][c] * B[t][k]   A (t, c), B (t, k), C (k blocks, c, LANES)
 *
 * Both are one loop with other strides: a number of A is spread over a vector and multiplied with vectors of B. A tile
 * is up to GEMM_ROWS by two vectors of C: with AVX-512 28 of 32 registers, else 12 of 16. */
#ifndef DISTILL_GEMM_TILE_H
#define DISTILL_GEMM_TILE_H
#include <stddef.h>

/* `tiles` rows of A; a_stride and depth: its row length and how much of it counts; blocks: of k. */
void gemm_rows(const float *a, size_t a_stride, size_t tiles, const float *b, size_t depth, size_t blocks, float *c);
/* channels: rows of C and row length of A; blocks: of k; tiles: length of the sum; add: C is added to, not written. */
void gemm_sum(const float *a, size_t channels, const float *b, size_t blocks, size_t tiles, float *c, int add);

#endif
