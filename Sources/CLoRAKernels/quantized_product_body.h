// Products of few rows with a weight that is read as it is stored: y = x·Wᵀ, 32 inputs at a time.
//
// A block of W becomes two vectors of 16 floats, which exist in registers only and meet every row
// of x before the next block is read: at one row the time is that of reading W once. The weight's
// floats are the bits that lk_convert gives (with `narrow`, those of lk_convert to bf16), and each
// (row, output) pair has one accumulator that takes the blocks in order. So a row's result depends
// neither on the rows beside it nor on the threads.
//
// Vectors are Clang's portable ones; the instruction set makes one, two or four registers of each.
// With LK_BF16_DOT, bf16 weights and inputs meet in AVX512-BF16's dot products instead, which take
// subnormal numbers for 0. LK_ROW_PRODUCT is the beginning of the kernel's declaration.

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpsabi"  // how vectors are passed: everything here is inlined

typedef float lanes __attribute__((vector_size(64)));
typedef int32_t int_lanes __attribute__((vector_size(64)));
typedef uint32_t uint_lanes __attribute__((vector_size(64)));
typedef uint8_t byte_lanes __attribute__((vector_size(16)));
typedef int8_t sbyte_lanes __attribute__((vector_size(16)));
typedef uint16_t half_lanes __attribute__((vector_size(32)));
typedef float lanes8 __attribute__((vector_size(32)));
typedef float lanes4 __attribute__((vector_size(16)));

enum { PREFETCH_BYTES = 2048 };  // measured: 512 and less is worth half

#define LK_INLINE static inline __attribute__((always_inline))

LK_INLINE lanes load_lanes(const void *from) {
  lanes v;
  memcpy(&v, from, sizeof v);
  return v;
}

LK_INLINE lanes splat(float v) {
  return (lanes){v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v};
}

// Rounded to bf16 and widened again. Not for NaN with a full significand, which files do not hold.
LK_INLINE lanes narrowed(lanes w) {
  uint_lanes bits = (uint_lanes)w;
  bits += 0x7FFF + ((bits >> 16) & 1);
  return (lanes)(bits & 0xFFFF0000u);
}

LK_INLINE lanes rounded(lanes w, int narrow) { return narrow ? narrowed(w) : w; }

#if LK_BF16_DOT
// 32 weights rounded to bf16 meet 32 inputs in one instruction, which adds pairs of products in f32.
typedef __bf16 bf16_lanes __attribute__((vector_size(64)));

LK_INLINE bf16_lanes load_bf16_lanes(const uint16_t *from) {
  bf16_lanes v;
  memcpy(&v, from, sizeof v);
  return v;
}
#endif

LK_INLINE lanes from_bytes(byte_lanes q) {
  return __builtin_convertvector(__builtin_convertvector(q, int_lanes), lanes);
}

#if LK_ISA_LEVEL >= 3  // F16C
typedef _Float16 f16_lanes __attribute__((vector_size(32)));
#endif

// The two halves at `bytes`, each in every lane: a block's scale and minimum, or what follows.
LK_INLINE void load_scales(const uint8_t *bytes, lanes *first, lanes *second) {
#if LK_ISA_LEVEL >= 4
  // One load that repeats the pair and one conversion: shuffles are what this loop is short of.
  typedef uint32_t pair_lanes __attribute__((vector_size(32)));
  uint32_t pair;
  memcpy(&pair, bytes, 4);
  f16_lanes halves = (f16_lanes)(pair_lanes){pair, pair, pair, pair, pair, pair, pair, pair};
  lanes v = __builtin_convertvector(halves, lanes);
  *first = __builtin_shufflevector(v, v, 0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14);
  *second = __builtin_shufflevector(v, v, 1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15);
#elif LK_ISA_LEVEL >= 3
  _Float16 halves[2];
  memcpy(halves, bytes, 4);
  *first = splat((float)halves[0]);
  *second = splat((float)halves[1]);
#else
  *first = splat(load_f16(bytes));
  *second = splat(load_f16(bytes + 2));
#endif
}

LK_INLINE lanes count_up(void) {
  return (lanes){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
}

// d·q + m for the 4-bit numbers of a block. With AVX-512 the 16 possible values are one register,
// in which the numbers look theirs up: rounding and scaling then happen once a block.
LK_INLINE void decode_nibbles(
    const uint8_t *qs, lanes d, lanes m, float offset, int narrow, lanes *low, lanes *high) {
#if LK_ISA_LEVEL >= 4
  lanes table = rounded(d * (count_up() - offset) + m, narrow);
  byte_lanes bytes;
  memcpy(&bytes, qs, 16);
  int_lanes index = __builtin_convertvector(bytes, int_lanes);
  // The instruction reads the four low bits of an index.
  *low = (lanes)__builtin_ia32_permvarsf512(table, index);
  *high = (lanes)__builtin_ia32_permvarsf512(table, (int_lanes)((uint_lanes)index >> 4));
#else
  byte_lanes bytes;
  memcpy(&bytes, qs, 16);
  *low = rounded(d * (from_bytes(bytes & 15) - offset) + m, narrow);
  *high = rounded(d * (from_bytes(bytes >> 4) - offset) + m, narrow);
#endif
}

// The same with a fifth bit from qh.
LK_INLINE void decode_five_bits(
    const uint8_t *qh, const uint8_t *qs, lanes d, lanes m, float offset, int narrow, lanes *low,
    lanes *high) {
  byte_lanes bytes;
  memcpy(&bytes, qs, 16);
  uint32_t fifth;
  memcpy(&fifth, qh, 4);
  const uint_lanes place = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  uint_lanes bits = (uint_lanes){0} + fifth;
  uint_lanes q_low = __builtin_convertvector(bytes & 15, uint_lanes) | (((bits >> place) & 1) << 4);
  uint_lanes q_high =
      __builtin_convertvector(bytes >> 4, uint_lanes) | (((bits >> (place + 16)) & 1) << 4);
  *low = rounded(d * (__builtin_convertvector((int_lanes)q_low, lanes) - offset) + m, narrow);
  *high = rounded(d * (__builtin_convertvector((int_lanes)q_high, lanes) - offset) + m, narrow);
}

LK_INLINE lanes from_half(const uint8_t *bytes) {
  half_lanes h;
  memcpy(&h, bytes, sizeof h);
#if LK_ISA_LEVEL >= 3
  return __builtin_convertvector((f16_lanes)h, lanes);
#else
  lanes result;
  for (int i = 0; i < 16; ++i) result[i] = f16_to_f32(h[i]);
  return result;
#endif
}

LK_INLINE lanes from_bf16(const uint8_t *bytes) {
  half_lanes h;
  memcpy(&h, bytes, sizeof h);
  return (lanes)(__builtin_convertvector(h, uint_lanes) << 16);
}

// 32 weights from `w`, the block's or the dense type's.
LK_INLINE void decode_block(
    lk_dtype type, const uint8_t *w, int narrow, lanes *low, lanes *high) {
  const lanes zero = {0};
  lanes d = zero, m = zero;
  if (type != LK_F32 && type != LK_F16 && type != LK_BF16) load_scales(w, &d, &m);
  switch (type) {
    case LK_Q4_0: decode_nibbles(w + 2, d, zero, 8, narrow, low, high); break;
    case LK_Q4_1: decode_nibbles(w + 4, d, m, 0, narrow, low, high); break;
    case LK_Q5_0: decode_five_bits(w + 2, w + 6, d, zero, 16, narrow, low, high); break;
    case LK_Q5_1: decode_five_bits(w + 4, w + 8, d, m, 0, narrow, low, high); break;
    case LK_Q8_0: {
      sbyte_lanes q[2];
      memcpy(q, w + 2, 32);
      *low = rounded(d * __builtin_convertvector(__builtin_convertvector(q[0], int_lanes), lanes), narrow);
      *high = rounded(d * __builtin_convertvector(__builtin_convertvector(q[1], int_lanes), lanes), narrow);
      break;
    }
    case LK_F16:
      *low = rounded(from_half(w), narrow);
      *high = rounded(from_half(w + 32), narrow);
      break;
    case LK_BF16:
      *low = from_bf16(w);
      *high = from_bf16(w + 32);
      break;
    case LK_F32:
      *low = rounded(load_lanes(w), narrow);
      *high = rounded(load_lanes(w + 64), narrow);
      break;
  }
}

// The sum of the lanes, always in this order.
LK_INLINE float lane_sum(lanes v) {
  lanes8 a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
             __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  lanes4 b =
      __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
  return (b[0] + b[2]) + (b[1] + b[3]);
}

LK_INLINE void store_sum(const lk_row_product *p, size_t row, size_t out, float sum) {
  if (p->bias) sum += p->bias[out];
  if (p->residual) sum += p->residual[row * p->y_stride + out];
  if (p->y_type == LK_BF16) {
    ((uint16_t *)p->y)[row * p->y_stride + out] = f32_to_bf16(sum);
  } else {
    ((float *)p->y)[row * p->y_stride + out] = sum;
  }
}

// Adds 32 products to the sums of `rows` rows: w holds the stored weights, x begins at column k.
LK_INLINE void add_block(
    const lk_row_product *p, lk_dtype type, int narrow, const uint8_t *w, size_t row, size_t rows,
    size_t k, lanes *sums) {
#pragma clang fp contract(fast)
  lanes low, high;
#if LK_BF16_DOT
  if (narrow) {
    decode_block(type, w, 0, &low, &high);
    bf16_lanes weights = (bf16_lanes)__builtin_ia32_cvtne2ps2bf16_512(high, low);
#pragma clang loop unroll(full)
    for (size_t r = 0; r < rows; ++r) {
      bf16_lanes x = load_bf16_lanes(p->narrow_x + (row + r) * p->x_stride + k);
      sums[r] = (lanes)__builtin_ia32_dpbf16ps_512(sums[r], weights, x);
    }
    return;
  }
#endif
  decode_block(type, w, narrow, &low, &high);
#pragma clang loop unroll(full)
  for (size_t r = 0; r < rows; ++r) {
    const float *x = p->x + (row + r) * p->x_stride + k;
    sums[r] += low * load_lanes(x);
    sums[r] += high * load_lanes(x + 16);
  }
}

// `outs` outputs of `rows` rows; both are constants after inlining, so the accumulators are
// registers.
LK_INLINE void product_tile(
    const lk_row_product *p, lk_dtype type, int narrow, size_t out, size_t outs, size_t row,
    size_t rows) {
#pragma clang fp contract(fast)
  lanes sums[4][8];
#pragma clang loop unroll(full)
  for (size_t o = 0; o < outs; ++o) {
#pragma clang loop unroll(full)
    for (size_t r = 0; r < rows; ++r) sums[o][r] = (lanes){0};
  }
  const size_t row_bytes = lk_bytes_of(type, p->in), step = lk_bytes_of(type, 32);
  const uint8_t *w = p->weight + out * row_bytes;
  const size_t whole = p->in / 32 * 32;
  for (size_t k = 0; k < whole; k += 32, w += step) {
#pragma clang loop unroll(full)
    for (size_t o = 0; o < outs; ++o) {
      // The processor's own prefetching ends at every page of 4 KB, which is how files are mapped.
      __builtin_prefetch(w + o * row_bytes + PREFETCH_BYTES);
      add_block(p, type, narrow, w + o * row_bytes, row, rows, k, sums[o]);
    }
  }
  if (whole < p->in) {  // dense types only; x has zeros there
#pragma clang loop unroll(full)
    for (size_t o = 0; o < outs; ++o) {
      uint8_t padded[128] = {0};
      memcpy(padded, w + o * row_bytes, lk_bytes_of(type, p->in - whole));
      add_block(p, type, narrow, padded, row, rows, whole, sums[o]);
    }
  }
  // s·B·(A·x): B's row goes on where W's ended, A·x where x did.
  for (size_t i = 0; i < p->pair_count; ++i) {
    const lk_row_pair *pair = &p->pairs[i];
    for (size_t k = 0; k < pair->rank; k += 16) {
      const size_t count = pair->rank - k < 16 ? pair->rank - k : 16;
#pragma clang loop unroll(full)
      for (size_t o = 0; o < outs; ++o) {
        const float *b = pair->b + (out + o) * pair->rank + k;
        lanes v = {0};
        if (count == 16) {
          v = load_lanes(b);
        } else {
          memcpy(&v, b, count * sizeof(float));
        }
        v = rounded(v * pair->scale, narrow);
#pragma clang loop unroll(full)
        for (size_t r = 0; r < rows; ++r) {
          sums[o][r] += v * load_lanes(pair->p + (row + r) * pair->p_stride + k);
        }
      }
    }
  }
#pragma clang loop unroll(full)
  for (size_t o = 0; o < outs; ++o) {
#pragma clang loop unroll(full)
    for (size_t r = 0; r < rows; ++r) store_sum(p, row + r, out + o, lane_sum(sums[o][r]));
  }
}

// Outputs [begin, end) of all rows, in tiles as large as the registers hold.
LK_INLINE void product_of_type(
    const lk_row_product *p, lk_dtype type, int narrow, size_t begin, size_t end) {
  size_t row = 0;
#define LK_TILES(ROWS, OUTS)                                                                \
  for (; row + (ROWS) <= p->rows; row += (ROWS)) {                                          \
    size_t out = begin;                                                                     \
    for (; out + (OUTS) <= end; out += (OUTS)) {                                            \
      product_tile(p, type, narrow, out, (OUTS), row, (ROWS));                              \
    }                                                                                       \
    for (; out < end; ++out) product_tile(p, type, narrow, out, 1, row, (ROWS));            \
  }
#if LK_ISA_LEVEL >= 4
  LK_TILES(8, 2)
  LK_TILES(4, 2)
#else
  LK_TILES(4, 1)
#endif
  LK_TILES(1, 1)  // one stream through the weights: that is what bounds a single row
#undef LK_TILES
}

LK_ROW_PRODUCT(const lk_row_product *p, size_t begin, size_t end) {
#define LK_CASE(TYPE)                              \
  case TYPE:                                       \
    if (p->narrow) {                               \
      product_of_type(p, TYPE, 1, begin, end);     \
    } else {                                       \
      product_of_type(p, TYPE, 0, begin, end);     \
    }                                              \
    break;
  switch (p->type) {
    LK_CASE(LK_F32)
    LK_CASE(LK_F16)
    LK_CASE(LK_BF16)
    LK_CASE(LK_Q4_0)
    LK_CASE(LK_Q4_1)
    LK_CASE(LK_Q5_0)
    LK_CASE(LK_Q5_1)
    LK_CASE(LK_Q8_0)
  }
#undef LK_CASE
}
#undef LK_INLINE
#pragma clang diagnostic pop
