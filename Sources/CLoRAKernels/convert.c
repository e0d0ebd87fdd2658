// Splits conversions over the threads.
#include <string.h>

#include "kernel_table.h"
#include "parallel.h"

typedef struct {
  lk_dtype src_type, dst_type;
  const char *src;
  char *dst;
} conversion;

static void convert_range(void *context, size_t begin, size_t end) {
  conversion *c = context;
  lk_kernels()->convert(
      c->src_type, c->src + lk_bytes_of(c->src_type, begin), c->dst_type,
      c->dst + lk_bytes_of(c->dst_type, begin), end - begin);
}

void lk_convert(lk_dtype src_type, const void *src, lk_dtype dst_type, void *dst, size_t count) {
  conversion c = {src_type, dst_type, src, dst};
  lk_parallel_for(count, 1 << 14, convert_range, &c);
}

typedef struct {
  const char *src;
  char *dst;
  size_t src_stride, dst_stride, bytes;
} row_copy;

static void copy_range(void *context, size_t begin, size_t end) {
  row_copy *c = context;
  for (size_t i = begin; i < end; ++i) {
    memcpy(c->dst + i * c->dst_stride, c->src + i * c->src_stride, c->bytes);
  }
}

void lk_copy_rows(
    const void *src, size_t src_stride, void *dst, size_t dst_stride, size_t bytes, size_t rows) {
  row_copy c = {src, dst, src_stride, dst_stride, bytes};
  lk_parallel_for(rows, 1 + (1 << 16) / (bytes + 1), copy_range, &c);
}

int lk_convert_with_isa(
    const char *isa, lk_dtype src_type, const void *src, lk_dtype dst_type, void *dst,
    size_t count) {
  const lk_table *table = lk_table_named(isa);
  if (table == NULL) return 0;
  table->convert(src_type, src, dst_type, dst, count);
  return 1;
}
