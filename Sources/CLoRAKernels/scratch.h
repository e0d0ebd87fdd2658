// Memory that a thread keeps from one call to the next: the same sizes come in every layer.
#pragma once
#include <stddef.h>

typedef struct {
  char *memory;
  size_t capacity;
} lk_scratch;

// At least `bytes`, aligned to a page, their content undefined: what was there may be lost. From
// 2 MB on they lie on huge pages; why, says BufferPool.swift. Without memory the process ends.
char *lk_scratch_of(lk_scratch *scratch, size_t bytes);
