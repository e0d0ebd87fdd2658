// Kernels for processors with AVX-512 F, BW, CD, DQ and VL (x86-64-v4). Tuned for Zen 4 because the
// compiler's generic tuning keeps to 256-bit registers, a precaution for the first Xeons of the kind.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4,tune=znver4"))), apply_to = function)
#define LK_TABLE lk_table_v4
#define LK_ISA_NAME "x86-64-v4"
#define LK_ISA_LEVEL 4
#include "isa_bodies.h"
#pragma clang attribute pop
#endif
