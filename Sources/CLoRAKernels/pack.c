// Splits the packing of a weight over the threads.
#include "kernel_table.h"
#include "parallel.h"
#include "scratch.h"

typedef struct {
  const lk_packing *packing;
  size_t scratch_bytes;
  void (*pack)(const lk_packing *p, uint16_t *scratch, size_t begin, size_t end);
} packing_job;

static __thread lk_scratch scratch;

static void pack_range(void *context, size_t begin, size_t end) {
  const packing_job *job = context;
  uint16_t *memory = (uint16_t *)lk_scratch_of(&scratch, job->scratch_bytes);
  job->pack(job->packing, memory, begin, end);
}

void lk_pack(const lk_packing *p) {
  packing_job job = {.packing = p};
  if (p->transpose) {
    const size_t width = (p->columns + p->beside_columns + 31) / 32 * 32;
    job.scratch_bytes = 16 * width * 2;
    job.pack = lk_kernels()->pack_transposed;
    lk_parallel_for((p->rows + 63) / 64 * 4, 1, pack_range, &job);
  } else {
    job.scratch_bytes = 2 * ((p->columns + 63) / 64 * 64) * 2;
    job.pack = lk_kernels()->pack_straight;
    lk_parallel_for((p->rows + 31) / 32 * 16, 16, pack_range, &job);
  }
}

size_t lk_packed_count(size_t k, size_t n) { return (k + 31) / 32 * 32 * ((n + 63) / 64 * 64); }
