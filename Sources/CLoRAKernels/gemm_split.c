// How products are split over threads: so that no sum depends on their number.
//
// Where the library splits a product it may give each thread a part of k, or choose other kernels for
// another number of threads. Such products are cut into tiles that depend on the shape alone, each
// computed by one thread. (Docs/decisions/0003-same-bytes-on-any-number-of-threads.md)
#include "kernel_table.h"
#include "parallel.h"

// The library asks OpenMP how many threads there are.
static void multiply_on(const lk_gemm_arguments *g, int most) {
  const int threads = lk_get_threads();
  if (threads > most) lk_set_threads(most);
  lk_gemm_by_library(g);
  if (threads > most) lk_set_threads(threads);
}

void lk_gemm_alone(const lk_gemm_arguments *g) {
  if (g->m > 0 && g->n > 0 && !lk_narrow_gemm(g)) multiply_on(g, 1);
}

enum { LEAST_ROWS = 64, MOST_ROWS = 512, LEAST_COLUMNS = 96, MOST_COLUMNS = 2048 };

typedef struct {
  const lk_gemm_arguments *product;
  int64_t rows, columns, per_row;  // of a tile; tiles beside each other
} tiling;

static int64_t parts(int64_t count, int64_t size) { return (count + size - 1) / size; }

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Eight tiles below each other, or a multiple of that; four, two or one where rows are few, and then
// as many beside as make four. Each tile reads and packs all of its B, so columns are cut last; equal
// tiles in even numbers, so that two threads end together.
static tiling tiling_of(const lk_gemm_arguments *g) {
  int64_t below = parts(g->m, 8 * MOST_ROWS) * 8;
  while (below > 1 && below * LEAST_ROWS > g->m) below /= 2;
  int64_t beside = least(parts(4, below), parts(g->n, LEAST_COLUMNS));
  if (beside < parts(g->n, MOST_COLUMNS)) beside = parts(g->n, MOST_COLUMNS);
  tiling tiles = {g, parts(g->m, below), parts(parts(g->n, beside), 48) * 48, 0};
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

// Below AVX-512 the library has two kinds of kernels for f32. Those that copy their inputs keep each
// sum whole; it takes them for a C of this size unless the threads are many for its rows or for k
// (nocopy_checker_avx2 in its gemm_driver.cpp), so it is not offered as many. 0: the other kind.
static int copying_threads(const lk_gemm_arguments *g) {
  if (1.0 / (double)g->m + 1.0 / (double)g->n >= 0.0038 || g->k <= 32) return 0;
  return (int)least(least((g->m - 1) / 16, (g->k - 1) / 2), 1024);
}

void lk_gemm(const lk_gemm_arguments *g) {
  if (g->m == 0 || g->n == 0 || lk_narrow_gemm(g)) return;
  // For a transposed A with a long k each thread may get a part of it (bwd_w_par_k_blk in the
  // library's brgemm_matmul_utils.cpp).
  if (g->transpose_a && g->k >= 2048 && !g->b_packed) {
    multiply_in_tiles(g);
  } else if (g->ab_type == LK_BF16 || lk_library_has_avx512()) {
    lk_gemm_by_library(g);
  } else if (copying_threads(g) > 0) {
    multiply_on(g, copying_threads(g));
  } else {
    multiply_in_tiles(g);
  }
}
