// Kernels for processors with AVX2 and FMA (x86-64-v3).
#if defined(__x86_64__)
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#define LK_TABLE lk_table_v3
#define LK_ISA_NAME "x86-64-v3"
#define LK_ISA_LEVEL 3
#include "isa_bodies.h"
#pragma clang attribute pop
#endif
