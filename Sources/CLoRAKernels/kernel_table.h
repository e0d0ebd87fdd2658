// The element-wise kernels of one instruction set, each over a range that one thread owns.
// The bodies (*_body.h) are compiled once per instruction set by isa_*.c; dispatch.c picks the
// table at the first call. Drivers (the lk_ functions) split the work over the threads.
#pragma once
#include "lora_kernels.h"

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

typedef struct {
  const char *name;
  // Dequantises or converts `count` elements (whole blocks) of one thread's range.
  void (*convert)(lk_dtype src_type, const void *src, lk_dtype dst_type, void *dst, size_t count);
} lk_table;

extern const lk_table lk_table_baseline;
#if defined(__x86_64__)
extern const lk_table lk_table_v3;
extern const lk_table lk_table_v4;
#endif

const lk_table *lk_kernels(void);

// The table of "baseline", "v3" or "v4"; NULL where the processor lacks it.
const lk_table *lk_table_named(const char *isa);
