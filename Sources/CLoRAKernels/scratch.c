// A thread's memory from call to call: it only grows.
#include "scratch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 4 << 10, HUGE_PAGE = 2 << 20 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

static void free_all(void *list) {
  for (lk_scratch *scratch = list; scratch != NULL; scratch = scratch->next) free(scratch->memory);
}

static void make_key(void) { pthread_key_create(&key, free_all); }

char *lk_scratch_of(lk_scratch *scratch, size_t bytes) {
  if (bytes <= scratch->capacity) return scratch->memory;
  if (scratch->capacity == 0) {
    pthread_once(&once, make_key);
    scratch->next = pthread_getspecific(key);
    pthread_setspecific(key, scratch);
  }
  const size_t page = bytes < HUGE_PAGE ? PAGE : HUGE_PAGE;
  free(scratch->memory);
  scratch->capacity = (bytes + page - 1) / page * page;
  if (posix_memalign((void **)&scratch->memory, page, scratch->capacity) != 0) {
    // Memory is predicted before a run begins; a kernel has no way to go on without.
    fprintf(stderr, "lora: out of memory: %zu bytes more are not to be had\n", scratch->capacity);
    abort();
  }
#ifdef MADV_HUGEPAGE
  if (page == HUGE_PAGE) madvise(scratch->memory, scratch->capacity, MADV_HUGEPAGE);
#endif
  return scratch->memory;
}
