// Parallel loops on libgomp.
#include "parallel.h"

#include "engine_thread.h"
#include "lora_kernels.h"

// libgomp's ABI, stable since GCC 4.2: what `#pragma omp parallel` compiles to.
extern void GOMP_parallel(void (*fn)(void *), void *data, unsigned threads, unsigned flags);
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);
extern int omp_get_max_threads(void);
extern int omp_get_num_procs(void);
extern int omp_in_parallel(void);
extern void omp_set_num_threads(int);

// libgomp keeps the number for each thread; only that of the engine's thread counts.
static int thread_count;  // 0: not asked for yet

static void use_threads(void *count) { omp_set_num_threads(*(int *)count); }

void lk_set_threads(int count) {
  if (count <= 0) count = omp_get_num_procs();
  __atomic_store_n(&thread_count, count, __ATOMIC_RELAXED);
  lk_run_on_engine(use_threads, &count);
}

int lk_get_threads(void) {
  const int count = __atomic_load_n(&thread_count, __ATOMIC_RELAXED);
  // Before anybody has set it, every thread has what the process began with.
  return count > 0 ? count : omp_get_max_threads();
}

int lk_use_own_threads(int count) {
  const int before = omp_get_max_threads();
  if (before != count) omp_set_num_threads(count);
  return before;
}

typedef struct {
  size_t count, grain;
  void (*body)(void *, size_t, size_t);
  void *context;
} range_loop;

static void range_worker(void *data) {
  range_loop *loop = data;
  size_t threads = (size_t)omp_get_num_threads();
  size_t thread = (size_t)omp_get_thread_num();
  size_t chunks = (loop->count + loop->grain - 1) / loop->grain;
  size_t begin = chunks * thread / threads * loop->grain;
  size_t end = chunks * (thread + 1) / threads * loop->grain;
  if (end > loop->count) end = loop->count;
  if (begin < end) loop->body(loop->context, begin, end);
}

static void share_range(void *loop) { GOMP_parallel(range_worker, loop, 0, 0); }

void lk_parallel_for(
    size_t count, size_t grain, void (*body)(void *, size_t, size_t), void *context) {
  if (count == 0) return;
  if (count <= grain || lk_get_threads() == 1 || omp_in_parallel()) {
    body(context, 0, count);
    return;
  }
  range_loop loop = {count, grain, body, context};
  lk_run_on_engine(share_range, &loop);
}

typedef struct {
  size_t count, next;
  void (*body)(void *, size_t);
  void *context;
} task_loop;

static void task_worker(void *data) {
  task_loop *loop = data;
  for (;;) {
    size_t index = __atomic_fetch_add(&loop->next, 1, __ATOMIC_RELAXED);
    if (index >= loop->count) return;
    loop->body(loop->context, index);
  }
}

static void share_tasks(void *loop) { GOMP_parallel(task_worker, loop, 0, 0); }

void lk_parallel_tasks(size_t count, void (*body)(void *, size_t), void *context) {
  if (count == 0) return;
  task_loop loop = {count, 0, body, context};
  if (count == 1 || lk_get_threads() == 1 || omp_in_parallel()) {
    task_worker(&loop);
    return;
  }
  lk_run_on_engine(share_tasks, &loop);
}
