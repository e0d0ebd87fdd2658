// Products of few rows, and with few columns, for processors with AVX-512 and its bf16 dot products.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernel_table.h"
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4,avx512bf16"))), apply_to = function)
#define LK_ISA_LEVEL 4
#define LK_BF16_DOT 1
#define LK_ROW_PRODUCT void lk_row_product_v4_bf16
#include "float_types_body.h"
#include "quantized_product_body.h"
#include "narrow_product_body.h"
#pragma clang attribute pop
#endif
