// Memory that a thread keeps from one call to the next, for the same sizes come in every layer, until
// it ends. Every lk_scratch is a `static __thread` variable.
#pragma once
#include <stddef.h>

typedef struct lk_scratch {
  char *memory;
  size_t capacity;
  struct lk_scratch *next;  // the thread's others
} lk_scratch;

// At least `bytes`, aligned to a page, their content undefined: what was there may be lost. From
// 2 MB on they lie on huge pages; why, says BufferPool.swift. Without memory the process ends.
char *lk_scratch_of(lk_scratch *scratch, size_t bytes);
