// Splits the transformer's element-wise operations over the threads.
#include <string.h>

#include "kernel_table.h"
#include "parallel.h"

enum { GRAIN = 1 << 15 };  // elements below which a second thread costs more than it brings

typedef struct {
  lk_dtype type;
  int kind;
  const char *in, *in2, *in3;
  char *out, *out2;
  const float *x, *w, *rstd, *dy, *cosine, *sine;
  float *dx, *dw, *stats;
  const int32_t *indices;
  const uint64_t *row_keys;
  float scalar;
  uint64_t seed;
  uint32_t stream;
  size_t n, heads, rows;
} job;

static size_t row_grain(size_t n) { return n >= GRAIN ? 1 : GRAIN / (n ? n : 1); }

static void rms_norm_rows(void *context, size_t begin, size_t end) {
  job *j = context;
  size_t at = begin * j->n * lk_element_size(j->type);
  lk_activations(j->type)->rms_norm(
      j->x + begin * j->n, j->w, j->scalar, j->out + at, j->out2 ? j->out2 + at : NULL,
      j->stats ? j->stats + begin : NULL, end - begin, j->n);
}
void lk_rms_norm(
    lk_dtype type, const float *x, const float *w, float eps, void *y, void *unit, float *rstd,
    size_t rows, size_t n) {
  job j = {.type = type, .x = x, .w = w, .scalar = eps, .out = y, .out2 = unit, .stats = rstd,
           .n = n};
  lk_parallel_for(rows, row_grain(n), rms_norm_rows, &j);
}

static void rms_norm_backward_rows(void *context, size_t begin, size_t end) {
  job *j = context;
  size_t at = begin * j->n;
  lk_activations(j->type)->rms_norm_backward(
      j->in + at * lk_element_size(j->type), j->w, j->rstd + begin, j->dy + at,
      j->dx ? j->dx + at : NULL, j->dw, end - begin, j->n);
}
void lk_rms_norm_backward(
    lk_dtype type, const void *unit, const float *w, const float *rstd, const float *dy, float *dx,
    float *dw, size_t rows, size_t n) {
  job j = {.type = type, .in = unit, .w = w, .rstd = rstd, .dy = dy, .dx = dx, .n = n};
  if (dx) lk_parallel_for(rows, row_grain(n), rms_norm_backward_rows, &j);
  // dw sums over rows: one thread, in order (norm weights are trained in small networks only).
  if (dw) lk_activations(type)->rms_norm_backward(unit, w, rstd, dy, NULL, dw, rows, n);
}

static void gated_range(void *context, size_t begin, size_t end) {
  job *j = context;
  size_t at = begin * lk_element_size(j->type);
  lk_activations(j->type)->gated(j->kind, j->in + at, j->in2 + at, j->out + at, end - begin);
}
void lk_gated(int kind, lk_dtype type, const void *gate, const void *up, void *h, size_t count) {
  job j = {.kind = kind, .type = type, .in = gate, .in2 = up, .out = h};
  lk_parallel_for(count, GRAIN, gated_range, &j);
}

static void gated_backward_range(void *context, size_t begin, size_t end) {
  job *j = context;
  size_t at = begin * lk_element_size(j->type);
  lk_activations(j->type)->gated_backward(
      j->kind, j->in + at, j->in2 + at, j->in3 + at, j->out + at, j->out2 + at, end - begin);
}
void lk_gated_backward(
    int kind, lk_dtype type, const void *gate, const void *up, const void *dh, void *dgate,
    void *dup, size_t count) {
  job j = {
      .kind = kind, .type = type, .in = gate, .in2 = up, .in3 = dh, .out = dgate, .out2 = dup};
  lk_parallel_for(count, GRAIN, gated_backward_range, &j);
}

static void rope_rows(void *context, size_t begin, size_t end) {
  job *j = context;
  size_t stride = j->heads * j->n;
  lk_activations(j->type)->rope(
      j->out + begin * stride * lk_element_size(j->type), stride, j->indices + begin, j->cosine,
      j->sine, j->scalar, end - begin, j->heads, j->n);
}
void lk_rope(
    lk_dtype type, void *x, const int32_t *positions, const float *cosine, const float *sine,
    float sign, size_t rows, size_t heads, size_t d) {
  job j = {
      .type = type, .out = x, .indices = positions, .cosine = cosine, .sine = sine,
      .scalar = sign, .heads = heads, .n = d};
  lk_parallel_for(rows, row_grain(heads * d), rope_rows, &j);
}

static void add_bias_rows(void *context, size_t begin, size_t end) {
  job *j = context;
  lk_activations(j->type)->add_bias(
      j->out + begin * j->n * lk_element_size(j->type), j->w, end - begin, j->n);
}
void lk_add_bias(lk_dtype type, void *y, const float *bias, size_t rows, size_t n) {
  job j = {.type = type, .out = y, .w = bias, .n = n};
  lk_parallel_for(rows, row_grain(n), add_bias_rows, &j);
}

static void column_sum_range(void *context, size_t begin, size_t end) {
  job *j = context;
  lk_activations(j->type)->column_sums(j->in, j->dw, j->rows, j->n, begin, end);
}
void lk_column_sums(lk_dtype type, const void *x, float *sums, size_t rows, size_t n) {
  job j = {.type = type, .in = x, .dw = sums, .rows = rows, .n = n};
  lk_parallel_for(n, 64, column_sum_range, &j);  // columns are split: each sum runs in row order
}

static void scale_columns_rows(void *context, size_t begin, size_t end) {
  job *j = context;
  size_t offset = begin * j->n * lk_element_size(j->type);
  lk_activations(j->type)->scale_columns(
      j->in + offset, j->w, j->out + offset, end - begin, j->n);
}
void lk_scale_columns(
    lk_dtype type, const void *x, const float *factors, void *y, size_t rows, size_t n) {
  job j = {.type = type, .in = x, .w = factors, .out = y, .n = n};
  lk_parallel_for(rows, row_grain(n), scale_columns_rows, &j);
}

static void add_scaled_columns_rows(void *context, size_t begin, size_t end) {
  job *j = context;
  lk_activations(j->type)->add_scaled_columns(
      j->in + begin * j->n * lk_element_size(j->type), j->w, j->dw + begin * j->n, end - begin,
      j->n);
}
void lk_add_scaled_columns(
    lk_dtype type, const void *x, const float *factors, float *y, size_t rows, size_t n) {
  job j = {.type = type, .in = x, .w = factors, .dw = y, .n = n};
  lk_parallel_for(rows, row_grain(n), add_scaled_columns_rows, &j);
}

static void column_dots_range(void *context, size_t begin, size_t end) {
  job *j = context;
  lk_activations(j->type)->column_dots(j->in, j->in2, j->dw, j->rows, j->n, begin, end);
}
void lk_column_dots(
    lk_dtype type, const void *x, const void *y, float *sums, size_t rows, size_t n) {
  job j = {.type = type, .in = x, .in2 = y, .dw = sums, .rows = rows, .n = n};
  lk_parallel_for(n, 64, column_dots_range, &j);
}

static void dropout_rows(void *context, size_t begin, size_t end) {
  job *j = context;
  lk_activations(j->type)->dropout(
      j->in, j->out, j->scalar, j->seed, j->stream, j->row_keys, begin, end, j->n);
}
void lk_dropout(
    lk_dtype type, const void *x, void *y, float p, uint64_t seed, uint32_t stream,
    const uint64_t *row_keys, size_t rows, size_t n) {
  job j = {
      .type = type, .in = x, .out = y, .scalar = p, .seed = seed, .stream = stream,
      .row_keys = row_keys, .n = n};
  lk_parallel_for(rows, row_grain(n), dropout_rows, &j);
}

static void cross_entropy_rows(void *context, size_t begin, size_t end) {
  job *j = context;
  for (size_t i = begin; i < end; ++i) {
    char *d = j->out ? j->out + i * j->n * lk_element_size(j->type) : NULL;
    j->stats[i] = lk_activations(j->type)->cross_entropy_row(
        j->x + i * j->n, j->indices[i], j->scalar, d, j->n);
  }
}
void lk_cross_entropy(
    lk_dtype type, const float *logits, const int32_t *targets, float weight,
    float *log_probability, void *d, size_t rows, size_t n) {
  job j = {
      .type = type, .x = logits, .indices = targets, .scalar = weight, .stats = log_probability,
      .out = d, .n = n};
  lk_parallel_for(rows, 1, cross_entropy_rows, &j);
}

static void logit_sum_rows(void *context, size_t begin, size_t end) {
  job *j = context;
  for (size_t i = begin; i < end; ++i) {
    const float *row = j->x + i * j->n;
    lk_kernels()->exponential_sum(row, j->n, j->stats + i, j->dx + i);
    const int32_t target = j->indices[i];
    if (target >= 0 && (size_t)target < j->n) j->dw[i] = row[target];
  }
}
void lk_logit_sums(
    const float *logits, const int32_t *targets, float *max, float *sum, float *target_logit,
    size_t rows, size_t n) {
  job j = {.x = logits, .indices = targets, .stats = max, .dx = sum, .dw = target_logit, .n = n};
  lk_parallel_for(rows, row_grain(n), logit_sum_rows, &j);
}

static void logit_gradient_rows(void *context, size_t begin, size_t end) {
  job *j = context;
  for (size_t i = begin; i < end; ++i) {
    lk_activations(j->type)->logit_gradient_row(
        j->x + i * j->n, j->indices[i], j->rstd[i], j->scalar,
        j->out + i * j->n * lk_element_size(j->type), j->n);
  }
}
void lk_logit_gradient(
    lk_dtype type, const float *logits, const int32_t *targets, const float *lse, float weight,
    void *d, size_t rows, size_t n) {
  job j = {
      .type = type, .x = logits, .indices = targets, .rstd = lse, .scalar = weight, .out = d,
      .n = n};
  lk_parallel_for(rows, row_grain(n), logit_gradient_rows, &j);
}
