// Picks the instruction set at the first call.
#include <stdlib.h>
#include <string.h>

#include "kernel_table.h"

static const lk_table *choose(void) {
#if defined(__x86_64__)
  const char *limit = getenv("LORA_CPU_ISA");
  int level = 4;
  if (limit != NULL) {
    if (strcmp(limit, "baseline") == 0) level = 2;
    if (strcmp(limit, "v3") == 0) level = 3;
  }
  __builtin_cpu_init();
  if (level >= 4 && __builtin_cpu_supports("x86-64-v4")) return &lk_table_v4;
  if (level >= 3 && __builtin_cpu_supports("x86-64-v3")) return &lk_table_v3;
#endif
  return &lk_table_baseline;
}

const lk_table *lk_kernels(void) {
  static const lk_table *table = NULL;
  const lk_table *current = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
  if (current == NULL) {
    current = choose();  // every thread chooses the same, so a race is harmless
    __atomic_store_n(&table, current, __ATOMIC_RELEASE);
  }
  return current;
}

const char *lk_isa_name(void) { return lk_kernels()->name; }
