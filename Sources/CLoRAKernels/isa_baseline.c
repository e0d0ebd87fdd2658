// Kernels for any processor of the architecture (SSE2 on x86-64, NEON on arm64).
#define LK_TABLE lk_table_baseline
#define LK_ISA_NAME "baseline"
#define LK_ISA_LEVEL 1
#include "isa_bodies.h"
