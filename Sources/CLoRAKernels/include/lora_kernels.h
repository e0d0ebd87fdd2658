// SPDX-License-Identifier: Apache-2.0
// The C side of the engine, as Swift sees it: element-wise kernels, quantised blocks, matrix
// products through oneDNN, and the one thread pool that all of them share.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// How elements are stored. The numbers are GGUF's ggml_type where it has one.
typedef enum {
  LK_F32 = 0,
  LK_F16 = 1,
  LK_Q4_0 = 2,
  LK_Q4_1 = 3,
  LK_Q5_0 = 6,
  LK_Q5_1 = 7,
  LK_Q8_0 = 8,
  LK_BF16 = 30,
} lk_dtype;

// --- Processor and threads -------------------------------------------------------------------

// The instruction set in use: "x86-64-v4", "x86-64-v3" or "baseline". LORA_CPU_ISA=baseline|v3|v4
// lowers it (never raises it above what the processor has); read once, at the first call.
const char *lk_isa_name(void);

// Threads for every kernel and for oneDNN; 0 asks for the default (OMP_NUM_THREADS or all cores).
void lk_set_threads(int count);
int lk_get_threads(void);

// --- Conversion ------------------------------------------------------------------------------

// dst[i] = src[i] for `count` elements, for any src_type; dst_type is LK_F32, LK_BF16 or LK_F16.
// Quantised blocks are exact in f32: the same bits as the `gguf` package. The 16-bit types are
// that value rounded to nearest, ties to even. Runs on all threads. count is a multiple of the
// block length.
void lk_convert(lk_dtype src_type, const void *src, lk_dtype dst_type, void *dst, size_t count);

// lk_convert by the kernels of one instruction set ("baseline", "v3", "v4") in the calling thread,
// for tests that compare them all in one process. Returns 0, having done nothing, where the
// processor lacks it.
int lk_convert_with_isa(
    const char *isa, lk_dtype src_type, const void *src, lk_dtype dst_type, void *dst,
    size_t count);

#ifdef __cplusplus
}
#endif
