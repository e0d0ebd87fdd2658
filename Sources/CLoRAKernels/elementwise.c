// Splits the general f32 operations, the random numbers and the optimizer over the threads.
#include "kernel_table.h"
#include <string.h>

#include "math_body.h"
#include "parallel.h"

enum { GRAIN = 1 << 15 };  // elements below which a second thread costs more than it brings

typedef struct {
  int op, flag;
  float alpha, beta;
  const float *a, *b, *c;
  float *out, *out2, *out3;
  size_t n, b_count;
  uint64_t seed, stream;
  const lk_adamw_options *options;
} job;

static size_t row_grain(size_t n) { return n >= GRAIN ? 1 : GRAIN / (n ? n : 1); }

static void unary_range(void *context, size_t begin, size_t end) {
  job *j = context;
  lk_kernels()->unary(j->op, j->a + begin, j->out + begin, end - begin);
}
void lk_unary(int op, const float *x, float *y, size_t count) {
  job j = {.op = op, .a = x, .out = y};
  lk_parallel_for(count, GRAIN, unary_range, &j);
}

static void unary_backward_range(void *context, size_t begin, size_t end) {
  job *j = context;
  lk_kernels()->unary_backward(
      j->op, j->a + begin, j->b + begin, j->c + begin, j->out + begin, end - begin);
}
void lk_unary_backward(
    int op, const float *x, const float *y, const float *dy, float *dx, size_t count) {
  job j = {.op = op, .a = x, .b = y, .c = dy, .out = dx};
  lk_parallel_for(count, GRAIN, unary_backward_range, &j);
}

static void binary_rows(void *context, size_t begin, size_t end) {
  job *j = context;
  for (size_t i = begin; i < end; ++i) {
    const float *b = j->b_count == j->n || j->b_count == 1 ? j->b : j->b + i * j->n;
    lk_kernels()->binary(j->op, j->a + i * j->n, b, j->b_count == 1, j->out + i * j->n, j->n);
  }
}
void lk_binary(
    int op, const float *a, const float *b, size_t b_count, float *c, size_t rows, size_t n) {
  if (b_count == rows * n && rows > 1) {  // same shape: one long row
    n *= rows;
    rows = 1;
    b_count = n;
  }
  if (rows == 1 && n > GRAIN && b_count == n) {
    // Cut the one row into rows of GRAIN, and the rest after them.
    size_t whole = n / GRAIN;
    job j = {.op = op, .a = a, .b = b, .out = c, .n = GRAIN, .b_count = 0};
    lk_parallel_for(whole, 1, binary_rows, &j);
    size_t done = whole * GRAIN;
    if (done < n) lk_kernels()->binary(op, a + done, b + done, 0, c + done, n - done);
    return;
  }
  job j = {.op = op, .a = a, .b = b, .out = c, .n = n, .b_count = b_count};
  lk_parallel_for(rows, row_grain(n), binary_rows, &j);
}

static void axpy_range(void *context, size_t begin, size_t end) {
  job *j = context;
  lk_kernels()->axpy(j->alpha, j->a + begin, j->out + begin, end - begin);
}
void lk_axpy(float alpha, const float *x, float *y, size_t count) {
  job j = {.alpha = alpha, .a = x, .out = y};
  lk_parallel_for(count, GRAIN, axpy_range, &j);
}

double lk_sum(const float *x, size_t count) { return lk_kernels()->sum(x, count, 0); }
double lk_sum_of_squares(const float *x, size_t count) { return lk_kernels()->sum(x, count, 1); }

static void softmax_rows(void *context, size_t begin, size_t end) {
  job *j = context;
  for (size_t i = begin; i < end; ++i) {
    lk_kernels()->softmax(j->a + i * j->n, j->out + i * j->n, j->n, j->flag);
  }
}
void lk_softmax(const float *x, float *y, size_t rows, size_t n, int logarithm) {
  job j = {.a = x, .out = y, .n = n, .flag = logarithm};
  lk_parallel_for(rows, row_grain(n), softmax_rows, &j);
}

static void softmax_backward_rows(void *context, size_t begin, size_t end) {
  job *j = context;
  for (size_t i = begin * j->n; i < end * j->n; i += j->n) {
    lk_kernels()->softmax_backward(j->a + i, j->b + i, j->out + i, j->n, j->flag);
  }
}
void lk_softmax_backward(
    const float *y, const float *dy, float *dx, size_t rows, size_t n, int logarithm) {
  job j = {.a = y, .b = dy, .out = dx, .n = n, .flag = logarithm};
  lk_parallel_for(rows, row_grain(n), softmax_backward_rows, &j);
}

static void random_range(void *context, size_t begin, size_t end) {
  job *j = context;
  lk_kernels()->random_fill(j->out, j->flag, j->alpha, j->beta, j->seed, j->stream, begin, end);
}
void lk_random_normal(
    float *out, float mean, float deviation, uint64_t seed, uint64_t stream, size_t count) {
  job j = {.out = out, .flag = 1, .alpha = mean, .beta = deviation, .seed = seed, .stream = stream};
  lk_parallel_for(count, GRAIN, random_range, &j);
}
void lk_random_uniform(
    float *out, float low, float high, uint64_t seed, uint64_t stream, size_t count) {
  job j = {.out = out, .flag = 0, .alpha = low, .beta = high, .seed = seed, .stream = stream};
  lk_parallel_for(count, GRAIN, random_range, &j);
}
void lk_philox(uint32_t counter[4], uint32_t key0, uint32_t key1) {
  eight counters[4] = {{counter[0]}, {counter[1]}, {counter[2]}, {counter[3]}};
  uint32_t drawn[DRAWN];
  philox(counters, key0, key1, drawn);
  memcpy(counter, drawn, 4 * sizeof *counter);
}

static void adamw_range(void *context, size_t begin, size_t end) {
  job *j = context;
  lk_kernels()->adamw(
      j->out + begin, j->a + begin, j->out2 + begin, j->out3 + begin, j->options, end - begin);
}
void lk_adamw(
    float *w, const float *g, float *m, float *v, const lk_adamw_options *options, size_t count) {
  job j = {.a = g, .out = w, .out2 = m, .out3 = v, .options = options};
  lk_parallel_for(count, GRAIN, adamw_range, &j);
}
