// The element-wise kernels of one instruction set, each over a range that one thread owns.
// The bodies (*_body.h) are compiled once per instruction set by isa_*.c; dispatch.c picks the
// table at the first call. Drivers (the lk_ functions) split the work over the threads.
#pragma once
#include "lora_kernels.h"

// Kernels on activations, which are float or bf16 (passed as void *).
typedef struct {
  void (*rms_norm)(
      const float *x, const float *w, float eps, void *y, void *unit, float *rstd, size_t rows,
      size_t n);
  void (*rms_norm_backward)(
      const void *unit, const float *w, const float *rstd, const float *dy, float *dx, float *dw,
      size_t rows, size_t n);
  void (*gated)(int kind, const void *gate, const void *up, void *h, size_t n);
  void (*gated_backward)(
      int kind, const void *gate, const void *up, const void *dh, void *dgate, void *dup, size_t n);
  void (*rope)(
      void *x, size_t stride, const int32_t *positions, const float *cosine, const float *sine,
      float sign, size_t rows, size_t heads, size_t d);
  void (*add_bias)(void *y, const float *bias, size_t rows, size_t n);
  void (*column_sums)(
      const void *x, float *sums, size_t rows, size_t n, size_t begin, size_t end);
  void (*scale_columns)(const void *x, const float *factors, void *y, size_t rows, size_t n);
  void (*add_scaled_columns)(const void *x, const float *factors, float *y, size_t rows, size_t n);
  void (*column_dots)(
      const void *x, const void *y, float *sums, size_t rows, size_t n, size_t begin, size_t end);
  void (*dropout)(
      const void *x, void *y, float p, uint64_t seed, uint32_t stream, const uint64_t *row_keys,
      size_t begin, size_t end, size_t n);
  float (*cross_entropy_row)(
      const float *logits, int32_t target, float weight, void *d, size_t n);
  void (*logit_gradient_row)(
      const float *logits, int32_t target, float lse, float weight, void *d, size_t n);
  float (*softmax_row)(float *s, void *p, float scale, size_t visible, size_t n);
  void (*softmax_row_backward)(
      const float *s, const float *dp, float lse, float delta, float scale, void *p, void *ds,
      size_t visible, size_t n);
  float (*dot)(const void *a, const void *b, size_t n);
  void (*attend_one)(
      const void *q, const void *keys, const void *values, size_t stride, size_t length, size_t d,
      float scale, float *weights, float *accumulator, void *out);
} lk_activation_table;

// The casts only forget the activation's element type.
#define ACTIVATION_KERNELS(T)                                                        \
  {(void *)rms_norm_##T,    (void *)rms_norm_backward_##T,                           \
   (void *)gated_##T,       (void *)gated_backward_##T,                              \
   (void *)rope_##T,        (void *)add_bias_##T,    (void *)column_sums_##T,        \
   (void *)scale_columns_##T, (void *)add_scaled_columns_##T, (void *)column_dots_##T, \
   (void *)dropout_##T,     (void *)cross_entropy_row_##T, \
   (void *)logit_gradient_row_##T, (void *)softmax_row_##T,                          \
   (void *)softmax_row_backward_##T, (void *)dot_##T, (void *)attend_one_##T}
// Bytes of `count` elements; for the block types `count` is a multiple of 32.
static inline size_t lk_bytes_of(lk_dtype type, size_t count) {
  switch (type) {
    case LK_F32: return count * 4;
    case LK_F16:
    case LK_BF16: return count * 2;
    case LK_Q4_0: return count / 32 * 18;
    case LK_Q4_1: return count / 32 * 20;
    case LK_Q5_0: return count / 32 * 22;
    case LK_Q5_1: return count / 32 * 24;
    case LK_Q8_0: return count / 32 * 34;
  }
  return 0;
}

// One low-rank path of a product of few rows: what follows x·Aᵀ (p, f32, rows of whole vectors).
typedef struct {
  const float *b;  // [out, rank]
  size_t rank;
  float scale;
  const float *p;
  size_t p_stride;
} lk_row_pair;

// y = x·Wᵀ + Σ scale·p·bᵀ + bias + residual for few rows; see quantized_product_body.h.
typedef struct {
  lk_dtype type;          // of W, [out, in]
  const uint8_t *weight;
  size_t in, out, rows;
  int narrow;             // weights and factors are rounded to bf16, as lk_gemm would see them
  const float *x;         // rows of whole blocks, zeros past `in`
  const uint16_t *narrow_x;  // the same in bf16, where narrow
  size_t x_stride;
  const lk_row_pair *pairs;
  size_t pair_count;
  const float *bias, *residual;  // or NULL
  void *y;
  lk_dtype y_type;        // LK_F32 or LK_BF16
  size_t y_stride;
} lk_row_product;

typedef struct {
  const char *name;
  // Dequantises or converts `count` elements (whole blocks) of one thread's range.
  void (*convert)(lk_dtype src_type, const void *src, lk_dtype dst_type, void *dst, size_t count);
  void (*unary)(int op, const float *x, float *y, size_t n);
  void (*unary_backward)(
      int op, const float *x, const float *y, const float *dy, float *dx, size_t n);
  void (*binary)(int op, const float *a, const float *b, int b_is_scalar, float *c, size_t n);
  void (*axpy)(float alpha, const float *x, float *y, size_t n);
  double (*sum)(const float *x, size_t n, int squared);
  // Goes on with a row's maximum and its sum of e^{x - max}.
  void (*exponential_sum)(const float *x, size_t n, float *max, float *sum);
  void (*softmax)(const float *x, float *y, size_t n, int logarithm);
  void (*softmax_backward)(const float *y, const float *dy, float *dx, size_t n, int logarithm);
  void (*adamw)(float *w, const float *g, float *m, float *v, const lk_adamw_options *o, size_t n);
  void (*random_fill)(
      float *out, int normal, float a, float b, uint64_t seed, uint64_t stream, size_t begin,
      size_t end);
  // The outputs [begin, end) of all rows.
  void (*row_product)(const lk_row_product *p, size_t begin, size_t end);
  // Groups of sixteen rows of W, or pairs of them, [begin, end); scratch for 16 (or 2) rows.
  void (*pack_transposed)(const lk_packing *p, uint16_t *scratch, size_t begin, size_t end);
  void (*pack_straight)(const lk_packing *p, uint16_t *scratch, size_t begin, size_t end);
  lk_activation_table f32, bf16;
} lk_table;

// A product of a large matrix, read as it lies, and a narrow one in words; see narrow_product_body.h.
enum { NARROW_LIMIT = 64 };  // columns of the narrow matrix
typedef struct {
  const uint16_t *wide;
  size_t wide_stride, depth, narrow;
  const uint32_t *words;
  void *c;
  size_t c_stride;
  lk_dtype c_type;
  int narrow_first;  // the narrow matrix's columns are C's rows
} lk_narrow_product;

extern const lk_table lk_table_baseline;
#if defined(__x86_64__)
extern const lk_table lk_table_v3;
extern const lk_table lk_table_v4;
// For processors that have AVX512-BF16 too.
void lk_row_product_v4_bf16(const lk_row_product *p, size_t begin, size_t end);
void lk_narrow_rows_v4_bf16(const lk_narrow_product *p, size_t begin, size_t end);
void lk_narrow_columns_v4_bf16(const lk_narrow_product *p, size_t begin, size_t end);
#endif
// Whether the two above run here.
int lk_has_bf16_kernels(void);
// Runs the product if it is one of a narrow matrix that we multiply ourselves; 0 if it is not.
int lk_narrow_gemm(const lk_gemm_arguments *arguments);
// lk_gemm by the caller's thread alone.
void lk_gemm_alone(const lk_gemm_arguments *arguments);
// One product of oneDNN, split over threads as it likes.
void lk_gemm_by_library(const lk_gemm_arguments *arguments);
int lk_library_has_avx512(void);

const lk_table *lk_kernels(void);

static inline const lk_activation_table *lk_activations(lk_dtype type) {
  return type == LK_BF16 ? &lk_kernels()->bf16 : &lk_kernels()->f32;
}

static inline size_t lk_element_size(lk_dtype type) { return type == LK_BF16 ? 2 : 4; }
// The table of "baseline", "v3" or "v4"; NULL where the processor lacks it.
const lk_table *lk_table_named(const char *isa);
