// Picks the instruction set at the first call.
#include <stdlib.h>
#include <string.h>

#include "kernel_table.h"

const lk_table *lk_table_named(const char *isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (strcmp(isa, "v4") == 0) return __builtin_cpu_supports("x86-64-v4") ? &lk_table_v4 : NULL;
  if (strcmp(isa, "v3") == 0) return __builtin_cpu_supports("x86-64-v3") ? &lk_table_v3 : NULL;
#endif
  return strcmp(isa, "baseline") == 0 ? &lk_table_baseline : NULL;
}

static const lk_table *choose(void) {
  const char *limit = getenv("LORA_CPU_ISA");
  int level = 4;
  if (limit != NULL && strcmp(limit, "baseline") == 0) level = 2;
  if (limit != NULL && strcmp(limit, "v3") == 0) level = 3;
  const lk_table *table = level >= 4 ? lk_table_named("v4") : NULL;
  if (table == NULL && level >= 3) table = lk_table_named("v3");
  return table != NULL ? table : &lk_table_baseline;
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

int lk_has_bf16_kernels(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return lk_kernels() == &lk_table_v4 && __builtin_cpu_supports("avx512bf16");
#else
  return 0;
#endif
}

const char *lk_isa_name(void) { return lk_kernels()->name; }
