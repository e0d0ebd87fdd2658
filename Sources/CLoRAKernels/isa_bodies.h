// Includes every kernel body for one instruction set and gathers them in its table.
// The including file defines LK_TABLE (the table's symbol), LK_ISA_NAME and LK_ISA_LEVEL (x86-64's,
// 1 elsewhere): target attributes do not set the compiler's own macros.
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernel_table.h"
#include "float_types_body.h"
#include "math_body.h"
#include "convert_body.h"
#include "pack_body.h"
#include "elementwise_body.h"
#define LK_ROW_PRODUCT static void row_product
#include "quantized_product_body.h"

#define ACT float
#define LD(x) (x)
#define ST(x) (x)
#define NAME(x) x##_f32
#include "activation_body.h"
#undef ACT
#undef LD
#undef ST
#undef NAME

#define ACT uint16_t
#define LD(x) bf16_to_f32(x)
#define ST(x) computed_to_bf16(x)
#define NAME(x) x##_bf16
#include "activation_body.h"
#undef ACT
#undef LD
#undef ST
#undef NAME

const lk_table LK_TABLE = {
    .name = LK_ISA_NAME,
    .convert = convert,
    .unary = unary,
    .unary_backward = unary_backward,
    .binary = binary,
    .axpy = axpy,
    .sum = sum,
    .exponential_sum = exponential_sum,
    .softmax = softmax,
    .softmax_backward = softmax_backward,
    .adamw = adamw,
    .random_fill = random_fill,
    .row_product = row_product,
    .pack_transposed = pack_transposed,
    .pack_straight = pack_straight,
    .f32 = ACTIVATION_KERNELS(f32),
    .bf16 = ACTIVATION_KERNELS(bf16),
};
