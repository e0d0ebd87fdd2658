// The element-wise kernels of one instruction set, each over a range that one thread owns.
// The bodies (*_body.h) are compiled once per instruction set by isa_*.c; dispatch.c picks the
// table at the first call. Drivers (the lk_ functions) split the work over the threads.
#pragma once
#include "lora_kernels.h"

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
