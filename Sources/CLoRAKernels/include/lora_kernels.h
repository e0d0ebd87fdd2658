// SPDX-License-Identifier: Apache-2.0
// The C side of the engine, as Swift sees it: element-wise kernels, quantised blocks, matrix
// products through oneDNN, and the one thread pool that all of them share.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// How elements are stored. The numbers are GGUF's ggml_type where it has one.
typedef enum {
  LK_F32 = 0,
  LK_F16 = 1,
  LK_Q4_0 = 2,
  LK_Q4_1 = 3,
  LK_Q5_0 = 6,
  LK_Q5_1 = 7,
  LK_Q8_0 = 8,
  LK_BF16 = 30,
} lk_dtype;

// --- Processor and threads -------------------------------------------------------------------

// The instruction set in use: "x86-64-v4", "x86-64-v3" or "baseline". LORA_CPU_ISA=baseline|v3|v4
// lowers it (never raises it above what the processor has); read once, at the first call.
const char *lk_isa_name(void);

// Threads for every kernel and for oneDNN, whoever calls them; 0 asks for all processors. At first
// OMP_NUM_THREADS, or the processors that the process may use.
void lk_set_threads(int count);
int lk_get_threads(void);

// The engine's thread begins every parallel loop, and every product of oneDNN. Called from another
// one, a function here has that done there and waits; what is too little to share is done at once.
// lk_run_on_engine does the same for a whole series of calls: one hand-over (some 10 µs) instead of
// one for each. lk_post_to_engine does not wait. Jobs run in the order they came.
void lk_run_on_engine(void (*body)(void *context), void *context);
void lk_post_to_engine(void (*body)(void *context), void *context);
int lk_is_engine_thread(void);

// --- Conversion ------------------------------------------------------------------------------

// dst[i] = src[i] for `count` elements, for any src_type; dst_type is LK_F32, LK_BF16 or LK_F16.
// Quantised blocks are exact in f32: the same bits as the `gguf` package. The 16-bit types are
// that value rounded to nearest, ties to even. Runs on all threads. count is a multiple of the
// block length.
void lk_convert(lk_dtype src_type, const void *src, lk_dtype dst_type, void *dst, size_t count);

// Copies `rows` rows of `bytes` bytes; the strides are in bytes too.
void lk_copy_rows(
    const void *src, size_t src_stride, void *dst, size_t dst_stride, size_t bytes, size_t rows);

// --- Matrix products -------------------------------------------------------------------------

// C (m, n) = op(A) (m, k) · op(B) (k, n), plus what C held if `accumulate`. Row-major; lda, ldb and
// ldc are the distances between stored rows in elements. A and B are both LK_F32 or both LK_BF16, C
// is LK_F32 or, with bf16 inputs, also LK_BF16; sums run in f32. k = 0 is not allowed. With b_packed
// B is what lk_pack wrote (bf16; ldb and transpose_b mean nothing).
typedef struct {
  int64_t m, n, k;
  const void *a, *b;
  void *c;
  int64_t lda, ldb, ldc;
  lk_dtype ab_type, c_type;
  int transpose_a, transpose_b, accumulate, b_packed;
} lk_gemm_arguments;

// Runs on all threads, or on the caller's alone inside a parallel loop.
void lk_gemm(const lk_gemm_arguments *arguments);

// A stored weight W [rows, columns] of any type as a product's B, bf16, in the order of oneDNN's
// kernels: B = W (k = rows, n = columns), or with `transpose` B = [W | beside]ᵀ (k = columns +
// beside_columns, n = rows). Spares the copy that the library makes of a plain B for each product.
typedef struct {
  lk_dtype type;
  const void *weight;      // columns is a multiple of the type's block length
  size_t rows, columns;
  int transpose;
  const uint16_t *beside;  // bf16 [rows, beside_columns]; with `transpose` only
  size_t beside_columns;
  uint16_t *packed;        // lk_packed_count(k, n) elements
} lk_packing;
void lk_pack(const lk_packing *packing);
size_t lk_packed_count(size_t k, size_t n);
// Whether the library has fast kernels for packed weights on this processor.
int lk_multiplies_packed(void);

// Linear layers on few rows that share x [rows, in], as generation needs them: y = x·Wᵀ + bias +
// residual + Σ scale·(x·Aᵀ)·Bᵀ. W is read as it is stored, at one row at the speed of reading it;
// beyond about 16 rows lk_gemm on a converted weight is faster. x is LK_F32 or LK_BF16; with LK_BF16
// weights and factors are rounded to bf16 first (like lk_convert), sums run in f32 and y is rounded
// once. A row's result depends neither on the other rows nor on the threads.
typedef struct {
  const float *a, *b;  // [rank, in], [out, rank]
  size_t rank;
  float scale;
  const uint8_t *rows;  // 0 for each row that it leaves alone; NULL: it acts on all
} lk_low_rank;
typedef struct {
  lk_dtype type;       // of the weight: any
  const void *weight;  // [out, in]; in is a multiple of the type's block length
  size_t out;
  const float *bias;   // [out] or NULL
  const lk_low_rank *pairs;
  size_t pair_count;
  const float *residual;  // [rows, out] or NULL
  void *y;                // [rows, out]
  lk_dtype y_type;        // LK_F32 or LK_BF16
} lk_row_layer;
void lk_linear_rows(
    lk_dtype type, const void *x, size_t rows, size_t in, const lk_row_layer *layers, size_t count);

// The version of the oneDNN that was linked, like "2.6.3".
const char *lk_onednn_version(void);

// Whether bf16 products run on bf16 instructions (AVX512-BF16 or AMX).
int lk_has_fast_bf16(void);

// --- General operations on f32 arrays --------------------------------------------------------

enum {
  LK_NEGATE, LK_EXP, LK_LOG, LK_SQRT, LK_TANH, LK_SIGMOID, LK_RELU, LK_SILU_OP, LK_GELU,
  LK_GELU_TANH_OP
};
enum { LK_ADD, LK_SUBTRACT, LK_MULTIPLY, LK_DIVIDE };

// y = f(x); dx += dy·f'(x).
void lk_unary(int op, const float *x, float *y, size_t count);
void lk_unary_backward(
    int op, const float *x, const float *y, const float *dy, float *dx, size_t count);

// c[i, j] = a[i, j] op b, b being [rows, n], one row [n] (b_rows = 1) or one number (b_count = 1).
void lk_binary(
    int op, const float *a, const float *b, size_t b_count, float *c, size_t rows, size_t n);

void lk_axpy(float alpha, const float *x, float *y, size_t count);  // y += alpha·x
double lk_sum(const float *x, size_t count);
double lk_sum_of_squares(const float *x, size_t count);

// Row-wise softmax, or its logarithm; backward adds to dx.
void lk_softmax(const float *x, float *y, size_t rows, size_t n, int logarithm);
void lk_softmax_backward(
    const float *y, const float *dy, float *dx, size_t rows, size_t n, int logarithm);

// --- Random numbers (Philox4x32-10, addressed by position) -------------------------------------

// out[i] = mean + deviation·normal, or low + (high - low)·uniform, from the numbers of (seed,
// stream) at i/4.
void lk_random_normal(
    float *out, float mean, float deviation, uint64_t seed, uint64_t stream, size_t count);
void lk_random_uniform(
    float *out, float low, float high, uint64_t seed, uint64_t stream, size_t count);
// The raw generator, for tests against the published vectors and for host-side choices.
void lk_philox(uint32_t counter[4], uint32_t key0, uint32_t key1);

// y = x·mask/(1-p), [rows, n] of `type`. row_keys (or NULL: the row's index) name the rows, so that
// a row has the same mask wherever it is packed.
void lk_dropout(
    lk_dtype type, const void *x, void *y, float p, uint64_t seed, uint32_t stream,
    const uint64_t *row_keys, size_t rows, size_t n);

// --- Transformer operations; `type` is the activations' (LK_F32 or LK_BF16) --------------------

// unit = x·rstd, y = x·rstd·w, rstd = 1/√(mean x² + eps); unit (of `type`) and rstd may be NULL.
void lk_rms_norm(
    lk_dtype type, const float *x, const float *w, float eps, void *y, void *unit, float *rstd,
    size_t rows, size_t n);
// dx += …, dw += …; either may be NULL.
void lk_rms_norm_backward(
    lk_dtype type, const void *unit, const float *w, const float *rstd, const float *dy, float *dx,
    float *dw, size_t rows, size_t n);

enum { LK_SILU, LK_GELU_TANH };
// h = f(gate)·up, and its gradients; dgate and dup may be the same memory as gate and up.
void lk_gated(int kind, lk_dtype type, const void *gate, const void *up, void *h, size_t count);
void lk_gated_backward(
    int kind, lk_dtype type, const void *gate, const void *up, const void *dh, void *dgate,
    void *dup, size_t count);

// Rotary position embedding in place, pairs (i, i + d/2); sign -1 inverts (the gradient).
// cosine, sine: [positions, d/2].
void lk_rope(
    lk_dtype type, void *x, const int32_t *positions, const float *cosine, const float *sine,
    float sign, size_t rows, size_t heads, size_t d);

void lk_add_bias(lk_dtype type, void *y, const float *bias, size_t rows, size_t n);
void lk_column_sums(lk_dtype type, const void *x, float *sums, size_t rows, size_t n);  // adds
// y = f∘x, each column by its factor (y may be x); y += f∘x; sums[j] += Σ_i x[i, j]·y[i, j].
void lk_scale_columns(
    lk_dtype type, const void *x, const float *factors, void *y, size_t rows, size_t n);
void lk_add_scaled_columns(
    lk_dtype type, const void *x, const float *factors, float *y, size_t rows, size_t n);
void lk_column_dots(
    lk_dtype type, const void *x, const void *y, float *sums, size_t rows, size_t n);

// Causal attention over sequences packed back to back: query t of a sequence sees its keys 0…t.
// q, out: [tokens, heads·d]; k, v: [tokens, kv_heads·d]; lse: [tokens, heads] (may be NULL in
// forward); sequence i covers the rows starts[i] ..< starts[i + 1].
typedef struct {
  lk_dtype type;
  const void *q, *k, *v;
  size_t heads, kv_heads, d;
  const int32_t *starts;
  size_t sequences;
  float scale;
} lk_attention;
void lk_attention_forward(const lk_attention *a, void *out, float *lse);
// dq, dk, dv are overwritten.
void lk_attention_backward(
    const lk_attention *a, const void *out, const float *lse, const void *dout, void *dq, void *dk,
    void *dv);
// One new token per row: row i attends over lengths[i] cached rows at keys[i], values[i], each
// [length, kv_heads·d]. q, out: [rows, heads·d].
void lk_attention_decode(
    lk_dtype type, const void *q, const void *const *keys, const void *const *values,
    const int32_t *lengths, size_t rows, size_t heads, size_t kv_heads, size_t d, float scale,
    void *out);

// logits [rows, n] f32; log_probability[i] = log softmax(logits[i])[targets[i]]; d (of `type`, may be
// NULL) = weight·(softmax - onehot), the gradient of -weight·Σ log_probability.
void lk_cross_entropy(
    lk_dtype type, const float *logits, const int32_t *targets, float weight,
    float *log_probability, void *d, size_t rows, size_t n);

// The same in parts of the columns, [rows, n] each. First every part: max[i] and sum[i] = Σ e^{x - max}
// go on over the parts (begin with -∞ and 0), and so does target_logit[i], where the target, counted
// from the part's first column, lies in it. Then lse = max + log(sum), and every part once more:
// d = weight·(e^{x - lse} - onehot).
void lk_logit_sums(
    const float *logits, const int32_t *targets, float *max, float *sum, float *target_logit,
    size_t rows, size_t n);
void lk_logit_gradient(
    lk_dtype type, const float *logits, const int32_t *targets, const float *lse, float weight,
    void *d, size_t rows, size_t n);

// --- Optimizer ---------------------------------------------------------------------------------

typedef struct {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  float bias_correction1, bias_correction2;  // 1 - beta^step
  float gradient_scale;                      // multiplies the gradient first: clipping
} lk_adamw_options;
void lk_adamw(
    float *w, const float *g, float *m, float *v, const lk_adamw_options *options, size_t count);

// lk_convert by the kernels of one instruction set ("baseline", "v3", "v4") in the calling thread,
// for tests that compare them all in one process. Returns 0, having done nothing, where the
// processor lacks it.
int lk_convert_with_isa(
    const char *isa, lk_dtype src_type, const void *src, lk_dtype dst_type, void *dst,
    size_t count);
// The same for lk_linear_rows, on all threads.
int lk_linear_rows_with_isa(
    const char *isa, lk_dtype type, const void *x, size_t rows, size_t in,
    const lk_row_layer *layers, size_t count);

#ifdef __cplusplus
}
#endif
