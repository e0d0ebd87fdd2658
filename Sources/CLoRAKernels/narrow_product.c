// Products with a narrow matrix: packs it and splits the wide one over the threads.
#include <string.h>

#include "kernel_table.h"
#include "parallel.h"
#include "scratch.h"

#if defined(__x86_64__)
// S [depth, narrow] in words of two rows, `group` columns beside each other; zeros where S has ended.
static inline __attribute__((always_inline)) void pack_words(
    const uint16_t *s, size_t stride, size_t depth, size_t narrow, size_t group,
    uint32_t *restrict words) {
  for (size_t first = 0; first < narrow; first += group) {
    const size_t columns = narrow - first < group ? narrow - first : group;
    for (size_t row = 0; row < depth; row += 2, words += group) {
      uint16_t low[16] = {0}, high[16] = {0};
      if (columns == group) {
        memcpy(low, s + row * stride + first, group * 2);
        if (row + 1 < depth) memcpy(high, s + (row + 1) * stride + first, group * 2);
      } else {
        memcpy(low, s + row * stride + first, columns * 2);
        if (row + 1 < depth) memcpy(high, s + (row + 1) * stride + first, columns * 2);
      }
      for (size_t j = 0; j < group; ++j) words[j] = low[j] | (uint32_t)high[j] << 16;
    }
  }
}

static void rows_range(void *context, size_t begin, size_t end) {
  lk_narrow_rows_v4_bf16(context, begin, end);
}

static void columns_range(void *context, size_t begin, size_t end) {
  lk_narrow_columns_v4_bf16(context, begin, end);
}

static __thread lk_scratch words;

static uint32_t *words_of(size_t count) {
  return (uint32_t *)lk_scratch_of(&words, count * sizeof(uint32_t));
}

int lk_narrow_gemm(const lk_gemm_arguments *g) {
  if (g->ab_type != LK_BF16 || g->b_packed || g->transpose_b || g->accumulate) return 0;
  if (!lk_has_bf16_kernels()) return 0;
  lk_narrow_product p = {.depth = (size_t)g->k, .c = g->c, .c_stride = (size_t)g->ldc,
                         .c_type = g->c_type};
  if (!g->transpose_a) {
    if (g->n > NARROW_LIMIT) return 0;
    p.wide = g->a;
    p.wide_stride = (size_t)g->lda;
    p.narrow = (size_t)g->n;
    uint32_t *packed = words_of((p.depth + 1) / 2 * ((p.narrow + 15) / 16 * 16));
    pack_words(g->b, (size_t)g->ldb, p.depth, p.narrow, 16, packed);
    p.words = packed;
    lk_parallel_for((size_t)g->m, 16, rows_range, &p);
    return 1;
  }
  if (g->c_type != LK_F32 || (g->n > NARROW_LIMIT && g->m > NARROW_LIMIT)) return 0;
  p.narrow_first = g->n > NARROW_LIMIT || g->m < g->n;
  const uint16_t *narrow = p.narrow_first ? g->a : g->b;
  const size_t narrow_stride = (size_t)(p.narrow_first ? g->lda : g->ldb);
  p.narrow = (size_t)(p.narrow_first ? g->m : g->n);
  p.wide = p.narrow_first ? g->b : g->a;
  p.wide_stride = (size_t)(p.narrow_first ? g->ldb : g->lda);
  uint32_t *packed = words_of((p.depth + 1) / 2 * ((p.narrow + 7) / 8 * 8));
  pack_words(narrow, narrow_stride, p.depth, p.narrow, 8, packed);
  p.words = packed;
  lk_parallel_for((size_t)(p.narrow_first ? g->n : g->m), 32, columns_range, &p);
  return 1;
}
#else
int lk_narrow_gemm(const lk_gemm_arguments *g) {
  (void)g;
  return 0;
}
#endif
