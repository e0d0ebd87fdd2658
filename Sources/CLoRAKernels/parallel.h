// The one thread pool: libgomp's, which Debian's oneDNN runs on too. A second pool beside it would
// fight over the cores, so our own loops enter it through the compiler's entry point.
#pragma once
#include <stddef.h>

// Calls body(context, begin, end) on disjoint ranges that cover [0, count). Ranges start at
// multiples of `grain`. The split depends on the thread count only. Begins on the engine's thread; runs
// in the caller's when there is too little to share, or when already inside a parallel region.
void lk_parallel_for(
    size_t count, size_t grain, void (*body)(void *context, size_t begin, size_t end),
    void *context);

// Calls body(context, index) for each index in [0, count), dealt out dynamically: for tasks of
// uneven cost that write disjoint results.
void lk_parallel_tasks(size_t count, void (*body)(void *context, size_t index), void *context);

// How many threads oneDNN may use for what this thread asks of it; returns the number before.
int lk_use_own_threads(int count);
