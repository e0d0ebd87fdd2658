// Variable-length causal attention without a T×T buffer.
//
// Work is cut into blocks of QUERY_BLOCK rows of one sequence and one key/value head; the query
// heads that share that head are stacked into one matrix. A block sees all its keys at once:
//   S = Q·Kᵀ (rows × visible keys, f32), P = softmax(scale·S) with the future cut off, O = P·V.
// Only lse = log Σ e^{scale·S} is kept per row. Backward recomputes S and P and forms
//   dP = dO·Vᵀ, dS = scale·P∘(dP - rowsum(dO∘O)), dQ = dS·K, dK += dSᵀ·Q, dV += Pᵀ·dO
// (FlashAttention's identities, Dao et al. 2022). Scratch grows linearly with the length.
#include <stdlib.h>
#include <string.h>

#include "kernel_table.h"
#include "parallel.h"
#include "scratch.h"

// KEY_TILE: the backward step's five tiles of rows × KEY_TILE stay in the second-level cache.
enum { QUERY_BLOCK = 64, KEY_TILE = 256, PARTS = 2 };

typedef struct {
  const lk_attention *a;
  const char *out, *dout;
  char *result, *dq, *dk, *dv;
  float *lse;
  const float *kept_lse;
  float *sums;             // dK and dV of each part, f32
  const size_t *part_base;  // where a sequence's sums begin, in rows
  const int32_t (*blocks)[2];  // (sequence, block) of each task, costly ones first
} attention_job;

static __thread lk_scratch scratch;

// The sums of dK and dV, owned by the thread that calls the backward step.
static __thread lk_scratch kept_sums;

static size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

// Keys that the last row of a block sees, rounded up so that few matrix shapes occur; the surplus
// belongs to the next sequence and is masked. Never past the end of the tokens.
static size_t visible_keys(const lk_attention *a, size_t sequence, size_t block) {
  size_t start = (size_t)a->starts[sequence], length = (size_t)a->starts[sequence + 1] - start;
  size_t tokens = (size_t)a->starts[a->sequences];
  size_t end = (block + 1) * QUERY_BLOCK;
  if (end > length) end = length;
  size_t padded = round_up(end, QUERY_BLOCK);
  return start + padded <= tokens ? padded : end;
}

// Gathers the block's rows of the group's query heads: row (head in group)·QUERY_BLOCK + i.
static void gather(
    const lk_attention *a, const char *from, char *to, size_t first, size_t rows, size_t kv_head) {
  size_t size = lk_element_size(a->type), group = a->heads / a->kv_heads;
  for (size_t h = 0; h < group; ++h) {
    for (size_t i = 0; i < QUERY_BLOCK; ++i) {
      char *row = to + (h * QUERY_BLOCK + i) * a->d * size;
      if (i < rows) {
        size_t at = ((first + i) * a->heads + kv_head * group + h) * a->d;
        memcpy(row, from + at * size, a->d * size);
      } else {
        memset(row, 0, a->d * size);
      }
    }
  }
}

static void product(
    lk_dtype type, size_t m, size_t n, size_t k, const void *a, size_t lda, int ta, const void *b,
    size_t ldb, int tb, float *c, size_t ldc, int accumulate) {
  lk_gemm_arguments g = {
      .m = (int64_t)m, .n = (int64_t)n, .k = (int64_t)k, .a = a, .b = b, .c = c,
      .lda = (int64_t)lda, .ldb = (int64_t)ldb, .ldc = (int64_t)ldc, .ab_type = type,
      .c_type = LK_F32, .transpose_a = ta, .transpose_b = tb, .accumulate = accumulate};
  lk_gemm_alone(&g);
}

static void store_row(lk_dtype type, const float *from, char *to, size_t n) {
  lk_kernels()->convert(LK_F32, from, type == LK_BF16 ? LK_BF16 : LK_F32, to, n);
}

static void forward_task(void *context, size_t index) {
  attention_job *job = context;
  const lk_attention *a = job->a;
  const lk_activation_table *kernels = lk_activations(a->type);
  size_t size = lk_element_size(a->type), group = a->heads / a->kv_heads, d = a->d;
  size_t kv_head = index % a->kv_heads;
  size_t sequence = (size_t)job->blocks[index / a->kv_heads][0];
  size_t block = (size_t)job->blocks[index / a->kv_heads][1];
  size_t start = (size_t)a->starts[sequence], end = (size_t)a->starts[sequence + 1];
  size_t first = start + block * QUERY_BLOCK;
  size_t rows = end - first < QUERY_BLOCK ? end - first : QUERY_BLOCK;
  size_t keys = visible_keys(a, sequence, block), stacked = group * QUERY_BLOCK;
  size_t ldk = a->kv_heads * d;

  char *memory = lk_scratch_of(&scratch, stacked * (d * (size + 4) + keys * (4 + size)) + 256);
  float *s = (float *)memory;
  float *o = s + stacked * keys;
  char *q = (char *)(o + stacked * d);
  char *p = q + stacked * d * size;

  gather(a, a->q, q, first, rows, kv_head);
  const char *k = (const char *)a->k + (start * ldk + kv_head * d) * size;
  const char *v = (const char *)a->v + (start * ldk + kv_head * d) * size;
  product(a->type, stacked, keys, d, q, d, 0, k, ldk, 1, s, keys, 0);
  for (size_t h = 0; h < group; ++h) {
    for (size_t i = 0; i < QUERY_BLOCK; ++i) {
      size_t row = h * QUERY_BLOCK + i;
      size_t visible = i < rows ? block * QUERY_BLOCK + i + 1 : 0;
      float lse = kernels->softmax_row(
          s + row * keys, p + row * keys * size, a->scale, visible, keys);
      if (job->lse && i < rows) job->lse[(first + i) * a->heads + kv_head * group + h] = lse;
    }
  }
  product(a->type, stacked, d, keys, p, keys, 0, v, ldk, 0, o, d, 0);
  for (size_t h = 0; h < group; ++h) {
    for (size_t i = 0; i < rows; ++i) {
      size_t at = ((first + i) * a->heads + kv_head * group + h) * d;
      store_row(a->type, o + (h * QUERY_BLOCK + i) * d, job->result + at * size, d);
    }
  }
}

static size_t block_count(const lk_attention *a, size_t sequence) {
  return ((size_t)(a->starts[sequence + 1] - a->starts[sequence]) + QUERY_BLOCK - 1) / QUERY_BLOCK;
}

static int costlier(const void *left, const void *right) {
  const int32_t *l = left, *r = right;
  if (l[1] != r[1]) return l[1] > r[1] ? -1 : 1;
  return l[0] < r[0] ? -1 : l[0] > r[0];
}

void lk_attention_forward(const lk_attention *a, void *out, float *lse) {
  size_t count = 0;
  for (size_t i = 0; i < a->sequences; ++i) count += block_count(a, i);
  int32_t(*blocks)[2] = malloc((count + 1) * sizeof *blocks);
  if (blocks == NULL) abort();
  size_t at = 0;
  for (size_t i = 0; i < a->sequences; ++i) {
    for (size_t j = 0; j < block_count(a, i); ++j, ++at) {
      blocks[at][0] = (int32_t)i;
      blocks[at][1] = (int32_t)j;
    }
  }
  qsort(blocks, count, sizeof *blocks, costlier);
  attention_job job = {
      .a = a, .result = out, .lse = lse, .blocks = (const int32_t(*)[2])blocks};
  lk_parallel_tasks(count * a->kv_heads, forward_task, &job);
  free(blocks);
}

// The part that works a query block: 0 1 1 0 0 1 1 0 …, because a block costs as much as it has keys
// before it, and so both parts cost the same.
static size_t part_of(size_t block) { return (block + 1) / 2 % PARTS; }

// One part of the query blocks of one sequence and one key/value head. Two parts with sums of their
// own, added up afterwards in order, keep the threads busy on one long sequence without making the
// result depend on their number.
static void backward_task(void *context, size_t index) {
  attention_job *job = context;
  const lk_attention *a = job->a;
  const lk_activation_table *kernels = lk_activations(a->type);
  size_t size = lk_element_size(a->type), group = a->heads / a->kv_heads, d = a->d;
  size_t part = index % PARTS, kv_head = index / PARTS % a->kv_heads;
  size_t sequence = index / PARTS / a->kv_heads;
  size_t start = (size_t)a->starts[sequence], end = (size_t)a->starts[sequence + 1];
  size_t ldk = a->kv_heads * d, stacked = group * QUERY_BLOCK;
  size_t padded = round_up(end - start, QUERY_BLOCK);
  float *dk = job->sums + ((job->part_base[sequence] * a->kv_heads + kv_head * padded) * PARTS +
                           part * padded) * 2 * d;
  float *dv = dk + padded * d;
  memset(dk, 0, padded * 2 * d * sizeof(float));

  size_t tile = padded < KEY_TILE ? padded : KEY_TILE;
  const size_t row_bytes = d * (3 * size + 4) + tile * (8 + 2 * size) + 4;
  char *memory = lk_scratch_of(&scratch, stacked * row_bytes + 256);
  float *s = (float *)memory;
  float *dp = s + stacked * tile;
  float *dq = dp + stacked * tile;
  float *delta = dq + stacked * d;  // rowsum(dO∘O)
  char *q = (char *)(delta + stacked);
  char *o = q + stacked * d * size;
  char *dout = o + stacked * d * size;
  char *p = dout + stacked * d * size;
  char *ds = p + stacked * tile * size;

  for (size_t block = 0; block < block_count(a, sequence); ++block) {
    if (part_of(block) != part) continue;
    size_t first = start + block * QUERY_BLOCK;
    size_t rows = end - first < QUERY_BLOCK ? end - first : QUERY_BLOCK;
    size_t visible_to_last = visible_keys(a, sequence, block);
    gather(a, a->q, q, first, rows, kv_head);
    gather(a, job->out, o, first, rows, kv_head);
    gather(a, job->dout, dout, first, rows, kv_head);
    for (size_t row = 0; row < stacked; ++row) {
      delta[row] = kernels->dot(o + row * d * size, dout + row * d * size, d);
    }
    for (size_t key = 0; key < visible_to_last; key += tile) {
      size_t keys = visible_to_last - key < tile ? visible_to_last - key : tile;
      const char *k = (const char *)a->k + ((start + key) * ldk + kv_head * d) * size;
      const char *v = (const char *)a->v + ((start + key) * ldk + kv_head * d) * size;
      product(a->type, stacked, keys, d, q, d, 0, k, ldk, 1, s, keys, 0);
      product(a->type, stacked, keys, d, dout, d, 0, v, ldk, 1, dp, keys, 0);
      for (size_t h = 0; h < group; ++h) {
        for (size_t i = 0; i < QUERY_BLOCK; ++i) {
          size_t row = h * QUERY_BLOCK + i, seen = i < rows ? block * QUERY_BLOCK + i + 1 : 0;
          size_t visible = seen < key ? 0 : seen - key < keys ? seen - key : keys;
          float lse =
              i < rows ? job->kept_lse[(first + i) * a->heads + kv_head * group + h] : 0.0f;
          kernels->softmax_row_backward(
              s + row * keys, dp + row * keys, lse, delta[row], a->scale, p + row * keys * size,
              ds + row * keys * size, visible, keys);
        }
      }
      product(a->type, stacked, d, keys, ds, keys, 0, k, ldk, 0, dq, d, key > 0);
      product(a->type, keys, d, stacked, ds, keys, 1, q, d, 0, dk + key * d, d, 1);
      product(a->type, keys, d, stacked, p, keys, 1, dout, d, 0, dv + key * d, d, 1);
    }
    for (size_t h = 0; h < group; ++h) {
      for (size_t i = 0; i < rows; ++i) {
        size_t at = ((first + i) * a->heads + kv_head * group + h) * d;
        store_row(a->type, dq + (h * QUERY_BLOCK + i) * d, job->dq + at * size, d);
      }
    }
  }
}

static void reduce_task(void *context, size_t index) {
  attention_job *job = context;
  const lk_attention *a = job->a;
  size_t size = lk_element_size(a->type), d = a->d;
  size_t kv_head = index % a->kv_heads, sequence = index / a->kv_heads;
  size_t start = (size_t)a->starts[sequence], length = (size_t)a->starts[sequence + 1] - start;
  size_t padded = round_up(length, QUERY_BLOCK);
  float *base = job->sums + (job->part_base[sequence] + 0) * a->kv_heads * PARTS * 2 * d +
                kv_head * padded * PARTS * 2 * d;
  for (int which = 0; which < 2; ++which) {
    float *sum = base + (size_t)which * padded * d;
    for (size_t part = 1; part < PARTS; ++part) {
      lk_kernels()->axpy(1.0f, sum + part * padded * 2 * d, sum, length * d);
    }
    char *to = which == 0 ? job->dk : job->dv;
    for (size_t i = 0; i < length; ++i) {
      size_t at = ((start + i) * a->kv_heads + kv_head) * d;
      store_row(a->type, sum + i * d, to + at * size, d);
    }
  }
}

void lk_attention_backward(
    const lk_attention *a, const void *out, const float *lse, const void *dout, void *dq, void *dk,
    void *dv) {
  size_t *base = malloc((a->sequences + 1) * sizeof *base);
  if (base == NULL) abort();
  base[0] = 0;
  for (size_t i = 0; i < a->sequences; ++i) {
    base[i + 1] = base[i] + round_up((size_t)(a->starts[i + 1] - a->starts[i]), QUERY_BLOCK);
  }
  size_t rows = base[a->sequences] * a->kv_heads * PARTS;
  float *sums = (float *)lk_scratch_of(&kept_sums, rows * 2 * a->d * sizeof(float));
  attention_job job = {
      .a = a, .out = out, .dout = dout, .kept_lse = lse, .dq = dq, .dk = dk, .dv = dv,
      .sums = sums, .part_base = base};
  lk_parallel_tasks(a->sequences * a->kv_heads * PARTS, backward_task, &job);
  lk_parallel_tasks(a->sequences * a->kv_heads, reduce_task, &job);
  free(base);
}

typedef struct {
  lk_dtype type;
  const char *q;
  const void *const *keys, *const *values;
  const int32_t *lengths;
  size_t heads, kv_heads, d;
  float scale;
  char *out;
} decode_job;

static void decode_task(void *context, size_t index) {
  decode_job *job = context;
  size_t size = lk_element_size(job->type), group = job->heads / job->kv_heads;
  size_t head = index % job->heads, row = index / job->heads;
  size_t length = (size_t)job->lengths[row], stride = job->kv_heads * job->d;
  size_t offset = head / group * job->d * size, at = (row * job->heads + head) * job->d * size;
  float *weights = (float *)lk_scratch_of(&scratch, (length + job->d) * sizeof(float));
  lk_activations(job->type)->attend_one(
      job->q + at, (const char *)job->keys[row] + offset, (const char *)job->values[row] + offset,
      stride, length, job->d, job->scale, weights, weights + length, job->out + at);
}

void lk_attention_decode(
    lk_dtype type, const void *q, const void *const *keys, const void *const *values,
    const int32_t *lengths, size_t rows, size_t heads, size_t kv_heads, size_t d, float scale,
    void *out) {
  decode_job job = {type, q, keys, values, lengths, heads, kv_heads, d, scale, out};
  lk_parallel_tasks(rows * heads, decode_task, &job);
}
