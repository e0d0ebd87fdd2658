// How products are split over threads: so that no sum depends on their number.
//
// Where the library splits a product it may give each thread a part of k, or choose other kernels for
// another number of threads. Such products are cut into tiles that depend on the shape alone, each
// computed by one thread. (Docs/decisions/0003-same-bytes-on-any-number-of-threads.md)
#include "kernel_table.h"
#include "parallel.h"

static void multiply_alone(void *arguments) {
  const lk_gemm_arguments *g = arguments;
  if (lk_narrow_gemm(g)) return;
  // The library asks OpenMP how many threads there are.
  const int threads = lk_use_own_threads(1);
  lk_gemm_by_library(g);
  lk_use_own_threads(threads);
}

void lk_gemm_alone(const lk_gemm_arguments *g) {
  if (g->m > 0 && g->n > 0) lk_run_on_engine(multiply_alone, (void *)g);
}

enum { LEAST_ROWS = 64, MOST_ROWS = 128, LEAST_COLUMNS = 96, MOST_COLUMNS = 2048 };
enum { TRANSPOSED_ROWS = 128, TRANSPOSED_COLUMNS = 288 };

typedef struct {
  const lk_gemm_arguments *product;
  int64_t rows, columns, per_row;  // of a tile; tiles beside each other
} tiling;

static int64_t parts(int64_t count, int64_t size) { return (count + size - 1) / size; }

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Eight tiles below each other, or a multiple of that; four, two or one where rows are few, and then
// as many beside as make four: equal tiles in even numbers, so that two threads end together. A plain
// B is read in place, best in whole rows. Of a transposed one each tile packs its part: more rows to
// a tile, and columns whose packed part stays in the cache.
static tiling tiling_of(const lk_gemm_arguments *g) {
  const int64_t most_columns = g->transpose_b ? TRANSPOSED_COLUMNS : MOST_COLUMNS;
  const int64_t least_rows =
      g->transpose_b && g->n > TRANSPOSED_COLUMNS ? TRANSPOSED_ROWS : LEAST_ROWS;
  int64_t below = parts(g->m, 8 * MOST_ROWS) * 8;
  while (below > 1 && below * least_rows > g->m) below /= 2;
  int64_t beside = least(parts(4, below), parts(g->n, LEAST_COLUMNS));
  if (beside < parts(g->n, most_columns)) beside = parts(g->n, most_columns);
  tiling tiles = {g, parts(g->m, below), parts(parts(g->n, beside), 32) * 32, 0};
  tiles.per_row = parts(g->n, tiles.columns);
  return tiles;
}

static void multiply_tile(void *context, size_t index) {
  const tiling *tiles = context;
  lk_gemm_arguments g = *tiles->product;
  const int64_t row = (int64_t)index / tiles->per_row * tiles->rows;
  const int64_t column = (int64_t)index % tiles->per_row * tiles->columns;
  g.m = least(g.m - row, tiles->rows);
  g.n = least(g.n - column, tiles->columns);
  const int64_t size = (int64_t)lk_element_size(g.ab_type);
  g.a = (const char *)g.a + (g.transpose_a ? row : row * g.lda) * size;
  g.b = (const char *)g.b + (g.transpose_b ? column * g.ldb : column) * size;
  g.c = (char *)g.c + (row * g.ldc + column) * (int64_t)lk_element_size(g.c_type);
  lk_gemm_alone(&g);
}

static void multiply_in_tiles(const lk_gemm_arguments *g) {
  tiling tiles = tiling_of(g);
  const int64_t count = parts(g->m, tiles.rows) * tiles.per_row;
  lk_parallel_tasks((size_t)count, multiply_tile, &tiles);
}

static void multiply(void *arguments) {
  const lk_gemm_arguments *g = arguments;
  if (lk_narrow_gemm(g)) return;
  // Below AVX-512 the library may split any float32 product along k; and later, for a transposed A
  // with a long k (bwd_w_par_k_blk in its brgemm_matmul_utils.cpp).
  const int is_wide = g->ab_type == LK_BF16 || lk_library_has_avx512();
  const int is_long = g->transpose_a && g->k >= 2048 && !g->b_packed;
  if (is_wide && !is_long) {
    lk_gemm_by_library(g);
  } else {
    multiply_in_tiles(g);
  }
}

void lk_gemm(const lk_gemm_arguments *g) {
  if (g->m > 0 && g->n > 0) lk_run_on_engine(multiply, (void *)g);
}
