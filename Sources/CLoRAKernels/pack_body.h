// Weights in the order in which oneDNN's bf16 products read their second matrix.
//
// The products want B (k × n) in blocks of 64 columns, and within them pairs of rows: the element
// (k, n) is at ((n/64 · K + k/32)·16 + k%32/2)·128 + n%64·2 + k%2 with K = ⌈k/32⌉, which the library
// calls BA16a64b2a. A pair is one 32-bit word here. oneDNN would copy a plain B to this order for
// each product; from stored blocks one pass does it all.

typedef uint32_t words16 __attribute__((vector_size(64), aligned(4)));

// Exchanges the bit S of the row number with that of the lane, for the rows I and I + S. After all
// four bits the sixteen rows of sixteen words are transposed.
#define SWAP_LANES(I, S, L0, L1, L2, L3, L4, L5, L6, L7, L8, L9, LA, LB, LC, LD_, LE, LF)         \
  {                                                                                               \
    words16 a = v[I], b = v[I + S];                                                               \
    v[I] = __builtin_shufflevector(a, b, L0, L1, L2, L3, L4, L5, L6, L7, L8, L9, LA, LB, LC, LD_, \
                                   LE, LF);                                                       \
    v[I + S] = __builtin_shufflevector(a, b, L0 + S, L1 + S, L2 + S, L3 + S, L4 + S, L5 + S,      \
                                       L6 + S, L7 + S, L8 + S, L9 + S, LA + S, LB + S, LC + S,    \
                                       LD_ + S, LE + S, LF + S);                                  \
  }

// Sixteen rows of `src`, sixteen words of each, become sixteen rows of `dst`; strides in words.
static inline void transpose_words(
    const uint32_t *src, size_t src_stride, uint32_t *dst, size_t dst_stride) {
  words16 v[16];
  for (int i = 0; i < 16; ++i) v[i] = *(const words16 *)(src + (size_t)i * src_stride);
  for (int i = 0; i < 8; ++i)
    SWAP_LANES(i, 8, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
  for (int i = 0; i < 16; i += 8)
    for (int j = i; j < i + 4; ++j)
      SWAP_LANES(j, 4, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
  for (int i = 0; i < 16; i += 4)
    for (int j = i; j < i + 2; ++j)
      SWAP_LANES(j, 2, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
  for (int i = 0; i < 16; i += 2)
    SWAP_LANES(i, 1, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
  for (int i = 0; i < 16; ++i) *(words16 *)(dst + (size_t)i * dst_stride) = v[i];
}
#undef SWAP_LANES

// One row of [W | beside] as bf16, `width` elements, zeros at its end and past the last row.
static void packing_row(const lk_packing *p, size_t row, uint16_t *out, size_t width) {
  size_t at = 0;
  if (row < p->rows) {
    convert(
        p->type, (const char *)p->weight + lk_bytes_of(p->type, row * p->columns), LK_BF16, out,
        p->columns);
    at = p->columns;
    if (p->beside_columns > 0) {
      memcpy(out + at, p->beside + row * p->beside_columns, p->beside_columns * 2);
      at += p->beside_columns;
    }
  }
  memset(out + at, 0, (width - at) * 2);
}

// B = [W | beside]ᵀ: the rows of W, in groups of sixteen, are columns of B.
static void pack_transposed(const lk_packing *p, uint16_t *scratch, size_t begin, size_t end) {
  const size_t blocks = (p->columns + p->beside_columns + 31) / 32, words = blocks * 16;
  for (size_t group = begin; group < end; ++group) {
    for (size_t i = 0; i < 16; ++i) packing_row(p, group * 16 + i, scratch + i * words * 2, words * 2);
    uint32_t *out = (uint32_t *)p->packed + group / 4 * blocks * 1024 + group % 4 * 16;
    for (size_t block = 0; block < blocks; ++block) {
      transpose_words((const uint32_t *)scratch + block * 16, words, out + block * 1024, 64);
    }
  }
}

// B = W: the rows of W are rows of B; two of them make a row of words.
static void pack_straight(const lk_packing *p, uint16_t *scratch, size_t begin, size_t end) {
  const size_t blocks = (p->rows + 31) / 32, width = (p->columns + 63) / 64 * 64;
  for (size_t pair = begin; pair < end; ++pair) {
    uint16_t *restrict low = scratch, *restrict high = scratch + width;
    packing_row(p, 2 * pair, low, width);
    packing_row(p, 2 * pair + 1, high, width);
    uint32_t *out = (uint32_t *)p->packed + pair * 64;
    for (size_t at = 0; at < width; at += 64, out += blocks * 1024) {
      for (size_t j = 0; j < 64; ++j) out[j] = low[at + j] | (uint32_t)high[at + j] << 16;
    }
  }
}
