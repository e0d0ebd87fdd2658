// The one thread that begins every parallel loop: a queue of jobs and who waits for them.
#include "engine_thread.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "lora_kernels.h"

extern int omp_in_parallel(void);

typedef struct job {
  void (*body)(void *);
  void *context;
  int is_awaited, is_done;
  struct job *next;
} job;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
static job *first, *last;
static __thread int is_engine;

static void *work(void *unused) {
  (void)unused;
  is_engine = 1;
  pthread_mutex_lock(&lock);
  for (;;) {
    while (first == NULL) pthread_cond_wait(&arrived, &lock);
    job *next = first;
    first = next->next;
    if (first == NULL) last = NULL;
    pthread_mutex_unlock(&lock);
    next->body(next->context);
    pthread_mutex_lock(&lock);
    if (next->is_awaited) {
      next->is_done = 1;  // from here on the job, on its caller's stack, may be gone
      pthread_cond_broadcast(&done);
    } else {
      free(next);
    }
  }
  return NULL;
}

static void start(void) {
  pthread_t thread;
  pthread_attr_t attributes;
  // As deep as the main thread's, which programs were written for.
  if (pthread_attr_init(&attributes) != 0 || pthread_attr_setstacksize(&attributes, 8 << 20) != 0 ||
      pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) != 0 ||
      pthread_create(&thread, &attributes, work, NULL) != 0) {
    fprintf(stderr, "lora: the engine's thread cannot be started\n");
    abort();
  }
  pthread_attr_destroy(&attributes);
}

static void enqueue(job *added) {
  pthread_once(&once, start);
  pthread_mutex_lock(&lock);
  if (last == NULL) {
    first = added;
  } else {
    last->next = added;
  }
  last = added;
  pthread_cond_signal(&arrived);
}

int lk_is_engine_thread(void) { return is_engine; }

int lk_may_compute(void) { return is_engine || omp_in_parallel(); }

void lk_run_on_engine(void (*body)(void *), void *context) {
  if (lk_may_compute()) {
    body(context);
    return;
  }
  job waiting = {body, context, 1, 0, NULL};
  enqueue(&waiting);
  while (!waiting.is_done) pthread_cond_wait(&done, &lock);
  pthread_mutex_unlock(&lock);
}

void lk_post_to_engine(void (*body)(void *), void *context) {
  job *posted = calloc(1, sizeof *posted);
  if (posted == NULL) {
    fprintf(stderr, "lora: out of memory for a job of the engine's thread\n");
    abort();
  }
  posted->body = body;
  posted->context = context;
  enqueue(posted);
  pthread_mutex_unlock(&lock);
}
