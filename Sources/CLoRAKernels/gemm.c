// Matrix products through oneDNN, for its 2.x and 3.x C API.
//
// oneDNN compiles a kernel per shape ("primitive"); making one costs from 0.1 to some milliseconds,
// so they are kept in a table keyed by everything that decides about the code.
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_thread.h"
#include "lora_kernels.h"
#include "kernel_table.h"
#include "parallel.h"
#include "scratch.h"

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t lk_memory_desc;  // an opaque pointer
typedef const_dnnl_memory_desc_t lk_const_memory_desc;
#else
typedef dnnl_memory_desc_t lk_memory_desc;  // a struct
typedef const dnnl_memory_desc_t *lk_const_memory_desc;
#endif

typedef struct {
  int64_t m, n, k, lda, ldb, ldc;
  int32_t transpose_a, transpose_b, ab_type, c_type, accumulate, b_packed;
} product_key;

typedef struct product {
  product_key key;
  dnnl_primitive_t primitive;  // NULL: this processor has no such product
  lk_memory_desc a, b, c, scratchpad;
  size_t scratchpad_bytes;
  int is_fast;  // by the library's kernels for matrix units, not its reference
  struct product *next;
} product;

enum { BUCKETS = 1024, MAX_PRODUCTS = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static product *buckets[BUCKETS];
static size_t product_count;
static dnnl_engine_t engine;

// A stream carries no state on the CPU, but its calls are not documented as safe to share.
static __thread dnnl_stream_t stream;
static __thread lk_scratch scratchpad;

static void check(dnnl_status_t status, const char *call) {
  if (status == dnnl_success) return;
  // Shapes were checked in Swift; what is left (out of memory, a broken library) cannot go on.
  fprintf(stderr, "lora: oneDNN %s failed with status %d\n", call, (int)status);
  abort();
}

static dnnl_data_type_t data_type(int32_t type) { return type == LK_BF16 ? dnnl_bf16 : dnnl_f32; }

static lk_memory_desc matrix_desc(
    int64_t rows, int64_t columns, int64_t leading, int transpose, int32_t type) {
  dnnl_dims_t dims = {rows, columns};
  dnnl_dims_t strides = {transpose ? 1 : leading, transpose ? leading : 1};
  lk_memory_desc desc;
#if DNNL_VERSION_MAJOR >= 3
  check(dnnl_memory_desc_create_with_strides(&desc, 2, dims, data_type(type), strides), "memory desc");
#else
  check(dnnl_memory_desc_init_by_strides(&desc, 2, dims, data_type(type), strides), "memory desc");
#endif
  return desc;
}

// B as lk_pack writes it.
static lk_memory_desc packed_desc(int64_t rows, int64_t columns) {
  dnnl_dims_t dims = {rows, columns};
  lk_memory_desc desc;
#if DNNL_VERSION_MAJOR >= 3
  check(dnnl_memory_desc_create_with_tag(&desc, 2, dims, dnnl_bf16, dnnl_BA16a64b2a), "memory desc");
#else
  check(dnnl_memory_desc_init_by_tag(&desc, 2, dims, dnnl_bf16, dnnl_BA16a64b2a), "memory desc");
#endif
  return desc;
}

#if DNNL_VERSION_MAJOR >= 3
static lk_const_memory_desc reference(const lk_memory_desc *desc) { return *desc; }
#else
static lk_const_memory_desc reference(const lk_memory_desc *desc) { return desc; }
#endif

static void make_primitive(product *p) {
  const product_key *key = &p->key;
  p->a = matrix_desc(key->m, key->k, key->lda, key->transpose_a, key->ab_type);
  p->b = key->b_packed ? packed_desc(key->k, key->n)
                       : matrix_desc(key->k, key->n, key->ldb, key->transpose_b, key->ab_type);
  p->c = matrix_desc(key->m, key->n, key->ldc, 0, key->c_type);

  dnnl_primitive_attr_t attributes;
  check(dnnl_primitive_attr_create(&attributes), "attributes");
  // Scratch memory per thread: the library's own would be shared by threads that run one product.
  check(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user), "scratchpad");
  if (key->accumulate) {
    dnnl_post_ops_t post_ops;
    check(dnnl_post_ops_create(&post_ops), "post ops");
#if DNNL_VERSION_MAJOR >= 3
    check(dnnl_post_ops_append_sum(post_ops, 1.0f, 0, dnnl_data_type_undef), "sum");
#else
    check(dnnl_post_ops_append_sum(post_ops, 1.0f), "sum");
#endif
    check(dnnl_primitive_attr_set_post_ops(attributes, post_ops), "post ops");
    check(dnnl_post_ops_destroy(post_ops), "post ops");
  }

  dnnl_primitive_desc_t desc;
#if DNNL_VERSION_MAJOR >= 3
  dnnl_status_t status =
      dnnl_matmul_primitive_desc_create(&desc, engine, p->a, p->b, NULL, p->c, attributes);
#else
  dnnl_matmul_desc_t operation;
  check(dnnl_matmul_desc_init(&operation, &p->a, &p->b, NULL, &p->c), "matmul desc");
  dnnl_status_t status = dnnl_primitive_desc_create(&desc, &operation, attributes, engine, NULL);
#endif
  check(dnnl_primitive_attr_destroy(attributes), "attributes");
  p->primitive = NULL;
  if (status == dnnl_unimplemented) return;
  check(status, "matmul");
  check(dnnl_primitive_create(&p->primitive, desc), "primitive");
  const char *name = "";
  dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &name);
  p->is_fast = strncmp(name, "brg", 3) == 0;
  lk_const_memory_desc pad = dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
#if DNNL_VERSION_MAJOR >= 3
  check(dnnl_memory_desc_clone(&p->scratchpad, pad), "scratchpad");
  p->scratchpad_bytes = dnnl_memory_desc_get_size(p->scratchpad);
#else
  p->scratchpad = *pad;
  p->scratchpad_bytes = dnnl_memory_desc_get_size(&p->scratchpad);
#endif
  check(dnnl_primitive_desc_destroy(desc), "primitive desc");
}

static uint64_t hash_of(const product_key *key) {
  uint64_t words[sizeof *key / 8], hash = 14695981039346656037u;
  memcpy(words, key, sizeof words);
  for (size_t i = 0; i < sizeof words / 8; ++i) hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 32);
}

// Kept for the life of the process: a shape that came once comes again. Past MAX_PRODUCTS (data
// with a new length in every pass) a product is made, used and thrown away by its caller.
static product *find_product(const product_key *key, int *owned) {
  *owned = 0;
  pthread_mutex_lock(&lock);
  if (engine == NULL) check(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
  product **bucket = &buckets[hash_of(key) % BUCKETS];
  product *p = *bucket;
  while (p != NULL && memcmp(&p->key, key, sizeof *key) != 0) p = p->next;
  if (p == NULL) {
    p = calloc(1, sizeof *p);
    if (p == NULL) check(dnnl_out_of_memory, "cache");
    p->key = *key;
    make_primitive(p);
    if (product_count < MAX_PRODUCTS) {
      p->next = *bucket;
      *bucket = p;
      ++product_count;
    } else {
      *owned = 1;
    }
  }
  pthread_mutex_unlock(&lock);
  return p;
}

static void discard(product *p) {
  if (p->primitive != NULL) dnnl_primitive_destroy(p->primitive);
#if DNNL_VERSION_MAJOR >= 3
  dnnl_memory_desc_destroy(p->a);
  dnnl_memory_desc_destroy(p->b);
  dnnl_memory_desc_destroy(p->c);
  if (p->primitive != NULL) dnnl_memory_desc_destroy(p->scratchpad);
#endif
  free(p);
}

// A product with the memory objects that a thread runs it with. Attention runs thousands of small
// products a step, for which the table's lock and four new objects each time cost as much as
// a tenth of the product.
typedef struct {
  product_key key;
  product *product;
  dnnl_memory_t a, b, c, scratchpad;
} bound_product;

enum { BOUND = 64 };
static __thread bound_product bound[BOUND];

static dnnl_memory_t memory_at(const lk_memory_desc *desc, void *pointer) {
  dnnl_memory_t memory;
  check(dnnl_memory_create(&memory, reference(desc), engine, pointer), "memory");
  return memory;
}

static void unbind(bound_product *it) {
  if (it->product == NULL) return;
  dnnl_memory_destroy(it->a);
  dnnl_memory_destroy(it->b);
  dnnl_memory_destroy(it->c);
  dnnl_memory_destroy(it->scratchpad);
  it->product = NULL;
}

static void bind(bound_product *it, const product_key *key, product *p) {
  unbind(it);
  it->key = *key;
  it->product = p;
  it->a = memory_at(&p->a, NULL);
  it->b = memory_at(&p->b, NULL);
  it->c = memory_at(&p->c, NULL);
  it->scratchpad = memory_at(&p->scratchpad, NULL);
}

static int execute(const product_key *key, const void *a, const void *b, void *c) {
  if (!lk_may_compute()) {
    // The library would begin a team of threads for the caller, and never end it.
    fprintf(stderr, "lora: a product was begun outside the engine's thread\n");
    abort();
  }
  bound_product *it = &bound[hash_of(key) % BOUND];
  int owned = 0;
  if (it->product == NULL || memcmp(&it->key, key, sizeof *key) != 0) {
    product *found = find_product(key, &owned);
    if (found->primitive == NULL) {
      if (owned) discard(found);
      return 0;
    }
    bind(it, key, found);
  }
  product *p = it->product;
  if (stream == NULL) {
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
  }
  check(dnnl_memory_set_data_handle(it->a, (void *)a), "memory");
  check(dnnl_memory_set_data_handle(it->b, (void *)b), "memory");
  check(dnnl_memory_set_data_handle(it->c, c), "memory");
  void *pad = lk_scratch_of(&scratchpad, p->scratchpad_bytes);
  check(dnnl_memory_set_data_handle(it->scratchpad, pad), "memory");
  dnnl_exec_arg_t arguments[] = {
      {DNNL_ARG_SRC, it->a},
      {DNNL_ARG_WEIGHTS, it->b},
      {DNNL_ARG_DST, it->c},
      {DNNL_ARG_SCRATCHPAD, it->scratchpad},
  };
  check(dnnl_primitive_execute(p->primitive, stream, 4, arguments), "execute");
  check(dnnl_stream_wait(stream), "wait");
  if (owned) {
    unbind(it);
    discard(p);
  }
  return 1;
}

// Converts a stored (untransposed) matrix; one without gaps as a whole, which all threads share.
static void convert_matrix(
    lk_dtype from, const void *matrix, int64_t leading, lk_dtype to, void *result,
    int64_t result_leading, int64_t rows, int64_t columns) {
  if (leading == columns && result_leading == columns) {
    columns *= rows;
    rows = 1;
  }
  const size_t step = lk_element_size(from), result_step = lk_element_size(to);
  for (int64_t i = 0; i < rows; ++i) {
    lk_convert(
        from, (const char *)matrix + (size_t)(i * leading) * step, to,
        (char *)result + (size_t)(i * result_leading) * result_step, (size_t)columns);
  }
}

static void widen(const void *matrix, int64_t rows, int64_t columns, int64_t leading, float *to) {
  convert_matrix(LK_BF16, matrix, leading, LK_F32, to, columns, rows, columns);
}

// oneDNN has no bf16 below AVX-512: the same product in f32, result rounded once.
static void gemm_by_widening(const lk_gemm_arguments *g) {
  int64_t a_rows = g->transpose_a ? g->k : g->m, a_columns = g->transpose_a ? g->m : g->k;
  int64_t b_rows = g->transpose_b ? g->n : g->k, b_columns = g->transpose_b ? g->k : g->n;
  static __thread lk_scratch copies;
  const size_t count = (size_t)(g->m * g->k + g->k * g->n + g->m * g->n);
  float *a = (float *)lk_scratch_of(&copies, count * sizeof(float));
  float *b = a + g->m * g->k, *c = b + g->k * g->n;
  widen(g->a, a_rows, a_columns, g->lda, a);
  widen(g->b, b_rows, b_columns, g->ldb, b);
  lk_gemm_arguments wide = *g;
  wide.ab_type = wide.c_type = LK_F32;
  wide.a = a;
  wide.b = b;
  wide.lda = a_columns;
  wide.ldb = b_columns;
  if (g->c_type == LK_F32) {
    lk_gemm(&wide);
    return;
  }
  if (g->accumulate) widen(g->c, g->m, g->n, g->ldc, c);
  wide.c = c;
  wide.ldc = g->n;
  lk_gemm(&wide);
  convert_matrix(LK_F32, c, g->n, LK_BF16, g->c, g->ldc, g->m, g->n);
}

void lk_gemm_by_library(const lk_gemm_arguments *g) {
  product_key key;
  memset(&key, 0, sizeof key);
  key.m = g->m;
  key.n = g->n;
  key.k = g->k;
  key.transpose_a = g->transpose_a;
  key.transpose_b = g->transpose_b;
  // A matrix of one stored row has no meaningful stride; oneDNN wants at least the row's length.
  int64_t a_columns = g->transpose_a ? g->m : g->k, b_columns = g->transpose_b ? g->k : g->n;
  key.lda = g->lda < a_columns ? a_columns : g->lda;
  key.ldb = g->ldb < b_columns ? b_columns : g->ldb;
  key.ldc = g->ldc < g->n ? g->n : g->ldc;
  key.ab_type = g->ab_type;
  key.c_type = g->c_type;
  key.accumulate = g->accumulate;
  if (g->b_packed) {
    key.b_packed = 1;
    key.ldb = key.transpose_b = 0;
  }
  if (!execute(&key, g->a, g->b, g->c)) gemm_by_widening(g);
}

// oneDNN's own judgement, so that DNNL_MAX_CPU_ISA counts too. The value is a set of bits, and every
// later instruction set (AMX, AVX10) has those of the earlier ones.
static int library_has(unsigned isa) {
  return ((unsigned)dnnl_get_effective_cpu_isa() & isa) == isa;
}

int lk_multiplies_packed(void) {
  static int answer = -1;  // every thread finds the same, so a race is harmless
  int known = __atomic_load_n(&answer, __ATOMIC_ACQUIRE);
  if (known >= 0) return known;
  product_key key;
  memset(&key, 0, sizeof key);
  key.m = key.n = key.k = key.lda = key.ldc = 64;
  key.ab_type = LK_BF16;
  key.c_type = LK_BF16;
  key.b_packed = 1;
  int owned = 0;
  product *p = find_product(&key, &owned);
  known = p->primitive != NULL && p->is_fast;
  if (owned) discard(p);
  __atomic_store_n(&answer, known, __ATOMIC_RELEASE);
  return known;
}

const char *lk_onednn_version(void) {
  static char text[32];
  const dnnl_version_t *version = dnnl_version();
  snprintf(text, sizeof text, "%d.%d.%d", version->major, version->minor, version->patch);
  return text;
}

int lk_library_has_avx512(void) { return library_has(dnnl_cpu_isa_avx512_core); }

int lk_has_fast_bf16(void) { return library_has(dnnl_cpu_isa_avx512_core_bf16); }
