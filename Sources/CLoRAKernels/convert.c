// Splits conversions over the threads.
#include "kernel_table.h"
#include "parallel.h"

static size_t bytes_of(lk_dtype type, size_t count) {
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

typedef struct {
  lk_dtype src_type, dst_type;
  const char *src;
  char *dst;
} conversion;

static void convert_range(void *context, size_t begin, size_t end) {
  conversion *c = context;
  lk_kernels()->convert(
      c->src_type, c->src + bytes_of(c->src_type, begin), c->dst_type,
      c->dst + bytes_of(c->dst_type, begin), end - begin);
}

void lk_convert(lk_dtype src_type, const void *src, lk_dtype dst_type, void *dst, size_t count) {
  conversion c = {src_type, dst_type, src, dst};
  lk_parallel_for(count, 1 << 14, convert_range, &c);
}
