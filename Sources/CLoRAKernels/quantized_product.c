// Linear layers on few rows: the low-rank inner products first, then every layer's outputs, both
// dealt out to the threads in pieces of some microseconds.
#include <string.h>

#include "kernel_table.h"
#include "parallel.h"
#include "scratch.h"

enum {
  TASK_WEIGHTS = 1 << 14,  // weights that one task reads: some microseconds at one row
  MAX_SHARES = 64,
  LANES = 16,
  BLOCK = 32,
};

typedef void (*row_product_kernel)(const lk_row_product *p, size_t begin, size_t end);

static row_product_kernel kernel_of(const lk_table *kernels) {
#if defined(__x86_64__)
  if (kernels == &lk_table_v4 && lk_has_bf16_kernels()) return lk_row_product_v4_bf16;
#endif
  return kernels->row_product;
}

// A thread's own part of the tasks, on a cache line of its own.
typedef struct {
  size_t next, end;
  char padding[48];
} share;

typedef struct {
  row_product_kernel product;
  const lk_row_product *products;
  size_t count, shares;
  share share[MAX_SHARES];
} product_list;

static size_t task_outputs(const lk_row_product *p) {
  size_t outputs = TASK_WEIGHTS / (p->in ? p->in : 1) / 8 * 8;
  return outputs ? outputs : 8;
}

static size_t task_count(const lk_row_product *p) {
  return (p->out + task_outputs(p) - 1) / task_outputs(p);
}

static void run_task(const product_list *list, size_t index) {
  const lk_row_product *p = list->products;
  while (index >= task_count(p)) index -= task_count(p++);
  size_t begin = index * task_outputs(p), end = begin + task_outputs(p);
  list->product(p, begin, end < p->out ? end : p->out);
}

// A thread works off its own share, then what is left of the others': one counter for all would
// travel between the cores for every task, and fixed halves would wait for the slower core.
static void work_share(void *context, size_t index) {
  product_list *list = context;
  for (size_t i = 0; i < list->shares; ++i) {
    share *s = &list->share[(index + i) % list->shares];
    for (;;) {
      size_t task = __atomic_fetch_add(&s->next, 1, __ATOMIC_RELAXED);
      if (task >= s->end) break;
      run_task(list, task);
    }
  }
}

static void run(const lk_table *kernels, const lk_row_product *products, size_t count) {
  size_t tasks = 0, shares = (size_t)lk_get_threads();
  for (size_t i = 0; i < count; ++i) tasks += task_count(&products[i]);
  if (shares > MAX_SHARES) shares = MAX_SHARES;
  if (shares > tasks) shares = tasks;
  product_list list;
  list.product = kernel_of(kernels);
  list.products = products;
  list.count = count;
  list.shares = shares;
  for (size_t i = 0; i < shares; ++i) {
    list.share[i].next = tasks * i / shares;
    list.share[i].end = tasks * (i + 1) / shares;
  }
  lk_parallel_tasks(shares, work_share, &list);
}

static size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

static __thread lk_scratch scratch;

static void linear_rows(
    const lk_table *kernels, lk_dtype type, const void *x, size_t rows, size_t in,
    const lk_row_layer *layers, size_t count) {
  size_t pair_count = 0, inner = 0;
  for (size_t i = 0; i < count; ++i) {
    pair_count += layers[i].pair_count;
    for (size_t j = 0; j < layers[i].pair_count; ++j) {
      inner += round_up(layers[i].pairs[j].rank, LANES);
    }
  }
  // x as floats with whole blocks in every row, and P = x·Aᵀ with whole vectors in every row.
  const size_t x_stride = round_up(in, BLOCK), products = count + pair_count;
  const size_t list_bytes = round_up(products * sizeof(lk_row_product), 64);
  const size_t pair_bytes = round_up(pair_count * sizeof(lk_row_pair), 64);
  const size_t wide_bytes = round_up(rows * (x_stride + inner) * sizeof(float), 64);
  const size_t narrow_bytes = type == LK_BF16 ? rows * x_stride * sizeof(uint16_t) : 0;
  char *memory = lk_scratch_of(&scratch, list_bytes + pair_bytes + wide_bytes + narrow_bytes);
  lk_row_product *list = (lk_row_product *)memory;
  lk_row_pair *pairs = (lk_row_pair *)(memory + list_bytes);
  float *wide = (float *)(memory + list_bytes + pair_bytes), *p = wide + rows * x_stride;
  uint16_t *narrow = (uint16_t *)((char *)wide + wide_bytes);
  memset(wide, 0, wide_bytes + narrow_bytes);
  for (size_t i = 0; i < rows; ++i) {
    const void *row = (const char *)x + i * in * lk_element_size(type);
    kernels->convert(type, row, LK_F32, wide + i * x_stride, in);
    if (narrow_bytes > 0) memcpy(narrow + i * x_stride, row, in * sizeof(uint16_t));
  }

  const lk_row_product common = {
      .in = in, .rows = rows, .narrow = type == LK_BF16, .x = wide, .narrow_x = narrow,
      .x_stride = x_stride};
  for (size_t i = 0, next = 0; i < count; ++i) {
    const lk_row_layer *layer = &layers[i];
    lk_row_product product = common;
    product.type = layer->type;
    product.weight = layer->weight;
    product.out = layer->out;
    product.bias = layer->bias;
    product.residual = layer->residual;
    product.y = layer->y;
    product.y_type = layer->y_type;
    product.y_stride = layer->out;
    product.pairs = pairs + next;
    product.pair_count = layer->pair_count;
    list[pair_count + i] = product;
    for (size_t j = 0; j < layer->pair_count; ++j, ++next) {
      const lk_low_rank *pair = &layer->pairs[j];
      const size_t stride = round_up(pair->rank, LANES);
      pairs[next] = (lk_row_pair){pair->b, pair->rank, pair->scale, p, stride};
      lk_row_product shrink = common;
      shrink.type = LK_F32;
      shrink.weight = (const uint8_t *)pair->a;
      shrink.out = pair->rank;
      shrink.y = p;
      shrink.y_type = LK_F32;
      shrink.y_stride = stride;
      list[next] = shrink;
      p += rows * stride;
    }
  }
  if (pair_count > 0) run(kernels, list, pair_count);
  for (size_t i = 0, next = 0; i < count; ++i) {
    for (size_t j = 0; j < layers[i].pair_count; ++j, ++next) {
      const uint8_t *acts = layers[i].pairs[j].rows;
      for (size_t row = 0; acts != NULL && row < rows; ++row) {
        float *inner_row = (float *)list[next].y + row * list[next].y_stride;
        if (!acts[row]) memset(inner_row, 0, list[next].y_stride * sizeof(float));
      }
    }
  }
  run(kernels, list + pair_count, count);
}

void lk_linear_rows(
    lk_dtype type, const void *x, size_t rows, size_t in, const lk_row_layer *layers,
    size_t count) {
  linear_rows(lk_kernels(), type, x, rows, in, layers, count);
}

int lk_linear_rows_with_isa(
    const char *isa, lk_dtype type, const void *x, size_t rows, size_t in,
    const lk_row_layer *layers, size_t count) {
  const lk_table *kernels = lk_table_named(isa);
  if (kernels == NULL) return 0;
  linear_rows(kernels, type, x, rows, in, layers, count);
  return 1;
}
