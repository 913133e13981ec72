/* Small matrix products in registers (c = a b, see gemm_tile.h). Every number of rows up to GEMM_ROWS is compiled on
 * its own, and rows are spread evenly over tiles, so that a rest costs no more than its share. */
#include "gemm_tile.h"

#include "vec.h"

#if LANES == 16
#define GEMM_ROWS 14
#else
#define GEMM_ROWS 6
#endif
enum { GEMM_BLOCKS = 2 };

/* Where a tile's numbers are: a[i * a_row + s * a_step], b[j * b_block + s * b_step], c[i * c_row + j * c_block]. */
typedef struct gemm_tile {
    const float *a, *b;
    float *c;
    size_t a_row, a_step, b_block, b_step, c_block, c_row, steps;
    int add;
} gemm_tile;

ACT_INLINE float *tile_at(const gemm_tile *tile, int row, int block)
{
    return tile->c + (size_t)row * tile->c_row + (size_t)block * tile->c_block;
}

/* One tile of the result, `rows` by `blocks`, both constants where it is inlined. */
ACT_INLINE void tile_loop(const gemm_tile *tile, size_t a_row, size_t a_step, int rows, int blocks)
{
    vec sum[GEMM_ROWS][GEMM_BLOCKS];
    const float *a = tile->a, *b = tile->b;
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 2
        for (int j = 0; j < blocks; ++j)
            sum[i][j] = tile->add ? vec_load(tile_at(tile, i, j)) : vec_all(0);
    for (size_t s = 0; s < tile->steps; ++s, a += a_step, b += tile->b_step) {
        vec y[GEMM_BLOCKS];
#pragma GCC unroll 2
        for (int j = 0; j < blocks; ++j) y[j] = vec_load(b + (size_t)j * tile->b_block);
#pragma GCC unroll 16
        for (int i = 0; i < rows; ++i) {
            vec x = vec_all(a[(size_t)i * a_row]);
#pragma GCC unroll 2
            for (int j = 0; j < blocks; ++j) sum[i][j] += x * y[j];
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 2
        for (int j = 0; j < blocks; ++j)
            vec_store(tile_at(tile, i, j), sum[i][j]);
}

#define TILE(rows) \
    static void rows_##rows##_1(const gemm_tile *t) { tile_loop(t, t->a_row, 1, rows, 1); } \
    static void rows_##rows##_2(const gemm_tile *t) { tile_loop(t, t->a_row, 1, rows, 2); } \
    static void sum_##rows##_1(const gemm_tile *t) { tile_loop(t, 1, t->a_step, rows, 1); } \
    static void sum_##rows##_2(const gemm_tile *t) { tile_loop(t, 1, t->a_step, rows, 2); }
#define NAMES(rows) { { rows_##rows##_1, rows_##rows##_2 }, { sum_##rows##_1, sum_##rows##_2 } }
TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6)
#if GEMM_ROWS == 14
TILE(7) TILE(8) TILE(9) TILE(10) TILE(11) TILE(12) TILE(13) TILE(14)
#endif

enum { GEMM_FOR_ROWS, GEMM_FOR_SUM };
static void (*const tile_of[GEMM_ROWS][2][GEMM_BLOCKS])(const gemm_tile *) = {
    NAMES(1), NAMES(2), NAMES(3), NAMES(4), NAMES(5), NAMES(6),
#if GEMM_ROWS == 14
    NAMES(7), NAMES(8), NAMES(9), NAMES(10), NAMES(11), NAMES(12), NAMES(13), NAMES(14),
#endif
};

/* All rows of one or two blocks of k. */
static void all_rows(gemm_tile tile, size_t rows, int which, int blocks)
{
    size_t tiles = (rows + GEMM_ROWS - 1) / GEMM_ROWS;
    const float *a = tile.a;
    float *c = tile.c;
    for (size_t i = 0; i < tiles; ++i) {
        size_t begin = rows * i / tiles, end = rows * (i + 1) / tiles;
        tile.a = a + begin * tile.a_row;
        tile.c = c + begin * tile.c_row;
        tile_of[end - begin - 1][which][blocks - 1](&tile);
    }
}

static void all_blocks(gemm_tile tile, size_t rows, int which, size_t blocks)
{
    const float *b = tile.b;
    float *c = tile.c;
    for (size_t k = 0; k < blocks; k += GEMM_BLOCKS) {
        tile.b = b + k * tile.b_block;
        tile.c = c + k * tile.c_block;
        all_rows(tile, rows, which, blocks - k < GEMM_BLOCKS ? 1 : GEMM_BLOCKS);
    }
}

void gemm_rows(const float *a, size_t a_stride, size_t tiles, const float *b, size_t depth, size_t blocks, float *c)
{
    gemm_tile tile = { .a = a, .a_row = a_stride, .a_step = 1, .b = b, .b_block = depth * LANES, .b_step = LANES,
                       .c = c, .c_row = blocks * LANES, .c_block = LANES, .steps = depth };
    all_blocks(tile, tiles, GEMM_FOR_ROWS, blocks);
}

void gemm_sum(const float *a, size_t channels, const float *b, size_t blocks, size_t tiles, float *c, int add)
{
    gemm_tile tile = { .a = a, .a_row = 1, .a_step = channels, .b = b, .b_block = LANES, .b_step = blocks * LANES,
                       .c = c, .c_row = LANES, .c_block = channels * LANES, .steps = tiles, .add = add };
    all_blocks(tile, channels, GEMM_FOR_SUM, blocks);
}
