// Products with a narrow matrix, at most NARROW_LIMIT columns: the low-rank pairs' G, dA and dB.
//
// oneDNN has its fast kernels for dense, untransposed A and C only; these products read columns of
// wider matrices or run down their rows, and got a third of the machine's rate. Each is a stream of
// one large matrix past a small one that is packed in words of two bf16, as AVX512-BF16's dot
// product takes them: word (k, j) = (S[2k][j], S[2k + 1][j]).

typedef __m512 floats16;
typedef __m512bh pairs16;

static inline pairs16 broadcast_pair(const void *pair) {
  int32_t word;
  memcpy(&word, pair, 4);
  return (pairs16)_mm512_set1_epi32(word);
}

// C [rows, n] = A [rows, k]·B for 16 rows and 16 columns: `b` holds k/2 (rounded up) rows of 16 words.
static void narrow_block(
    const uint16_t *a, size_t stride, size_t rows, const uint32_t *b, size_t k, floats16 *sum) {
  // Rows past the end are the last one again; nobody stores their sums.
  const uint16_t *row[16];
  for (size_t i = 0; i < 16; ++i) row[i] = a + (i < rows ? i : rows - 1) * stride;
  for (int i = 0; i < 16; ++i) sum[i] = _mm512_setzero_ps();
  floats16 s0 = sum[0], s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0, s8 = s0,
           s9 = s0, sa = s0, sb = s0, sc = s0, sd = s0, se = s0, sf = s0;
#define NARROW_STEP(S, I) S = _mm512_dpbf16_ps(S, w, broadcast_pair(row[I] + at));
#define NARROW_STEPS                                                                         \
  NARROW_STEP(s0, 0) NARROW_STEP(s1, 1) NARROW_STEP(s2, 2) NARROW_STEP(s3, 3)                \
  NARROW_STEP(s4, 4) NARROW_STEP(s5, 5) NARROW_STEP(s6, 6) NARROW_STEP(s7, 7)                \
  NARROW_STEP(s8, 8) NARROW_STEP(s9, 9) NARROW_STEP(sa, 10) NARROW_STEP(sb, 11)              \
  NARROW_STEP(sc, 12) NARROW_STEP(sd, 13) NARROW_STEP(se, 14) NARROW_STEP(sf, 15)
  size_t at = 0;
  for (; at + 1 < k; at += 2, b += 16) {
    const pairs16 w = (pairs16)_mm512_loadu_si512(b);
    NARROW_STEPS
  }
#undef NARROW_STEP
#define NARROW_STEP(S, I) S = _mm512_dpbf16_ps(S, w, (pairs16)_mm512_set1_epi32(row[I][at]));
  if (at < k) {
    const pairs16 w = (pairs16)_mm512_loadu_si512(b);
    NARROW_STEPS
  }
#undef NARROW_STEPS
#undef NARROW_STEP
  const floats16 all[16] = {s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, sa, sb, sc, sd, se, sf};
  memcpy(sum, all, sizeof all);
}

void lk_narrow_rows_v4_bf16(const lk_narrow_product *p, size_t begin, size_t end) {
  for (size_t first = begin; first < end; first += 16) {
    const size_t rows = end - first < 16 ? end - first : 16;
    for (size_t column = 0; column < p->narrow; column += 16) {
      const size_t left = p->narrow - column;
      const __mmask16 mask = left < 16 ? (__mmask16)((1u << left) - 1) : (__mmask16)0xFFFF;
      floats16 sum[16];
      narrow_block(
          p->wide + first * p->wide_stride, p->wide_stride, rows,
          p->words + column * ((p->depth + 1) / 2), p->depth, sum);
      for (size_t i = 0; i < rows; ++i) {
        const size_t at = (first + i) * p->c_stride + column;
        if (p->c_type == LK_BF16) {
          _mm256_mask_storeu_epi16(
              (uint16_t *)p->c + at, mask, (__m256i)_mm512_cvtneps_pbh(sum[i]));
        } else {
          _mm512_mask_storeu_ps((float *)p->c + at, mask, sum[i]);
        }
      }
    }
  }
}

// 32 columns of two rows each as words, `words` of both halves: interleaving leaves the columns 0–3,
// 8–11, … in the first sixteen words and 4–7, 12–15, … in the others.
static inline void narrow_interleave(
    const uint16_t *w, size_t stride, size_t columns, size_t rows, uint32_t *words) {
  const __mmask32 mask = columns < 32 ? ((__mmask32)1 << columns) - 1 : ~(__mmask32)0;
  for (size_t i = 0; i < rows; i += 2, w += 2 * stride, words += 32) {
    const __m512i first = _mm512_maskz_loadu_epi16(mask, w);
    const __m512i second = _mm512_maskz_loadu_epi16(i + 1 < rows ? mask : 0, w + stride);
    _mm512_store_si512(words, _mm512_unpacklo_epi16(first, second));
    _mm512_store_si512(words + 16, _mm512_unpackhi_epi16(first, second));
  }
}

// sum [8][32] += Sᵀ·W for 8 columns of S and 32 of W, both in words. The processor does not foresee a
// walk down the rows of a matrix, so meanwhile two rows of `next` are fetched for each pair.
static inline void narrow_tile(
    const uint32_t *w, const uint32_t *s, size_t pairs, float *sum, const uint16_t *next,
    size_t stride) {
  floats16 low[8], high[8];
  for (int j = 0; j < 8; ++j) {
    low[j] = _mm512_load_ps(sum + 32 * j);
    high[j] = _mm512_load_ps(sum + 32 * j + 16);
  }
  for (size_t i = 0; i < pairs; ++i, w += 32, s += 8, next += 2 * stride) {
    __builtin_prefetch(next);
    __builtin_prefetch(next + stride);
    const pairs16 a = (pairs16)_mm512_load_si512(w), b = (pairs16)_mm512_load_si512(w + 16);
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; ++j) {
      const pairs16 word = broadcast_pair(s + j);
      low[j] = _mm512_dpbf16_ps(low[j], a, word);
      high[j] = _mm512_dpbf16_ps(high[j], b, word);
    }
  }
  for (int j = 0; j < 8; ++j) {
    _mm512_store_ps(sum + 32 * j, low[j]);
    _mm512_store_ps(sum + 32 * j + 16, high[j]);
  }
}

static inline void narrow_store(
    const lk_narrow_product *p, size_t column, size_t columns, float *sum) {
  const __m512i left = _mm512_set_epi32(23, 22, 21, 20, 7, 6, 5, 4, 19, 18, 17, 16, 3, 2, 1, 0);
  const __m512i right = _mm512_add_epi32(left, _mm512_set1_epi32(8));
  for (size_t j = 0; j < p->narrow; ++j) {
    const floats16 a = _mm512_load_ps(sum + 32 * j), b = _mm512_load_ps(sum + 32 * j + 16);
    _mm512_store_ps(sum + 32 * j, _mm512_permutex2var_ps(a, left, b));
    _mm512_store_ps(sum + 32 * j + 16, _mm512_permutex2var_ps(a, right, b));
  }
  float *c = p->c;
  if (p->narrow_first) {
    for (size_t j = 0; j < p->narrow; ++j) {
      memcpy(c + j * p->c_stride + column, sum + 32 * j, columns * sizeof(float));
    }
  } else {
    for (size_t i = 0; i < columns; ++i) {
      for (size_t j = 0; j < p->narrow; ++j) c[(column + i) * p->c_stride + j] = sum[32 * j + i];
    }
  }
}

void lk_narrow_columns_v4_bf16(const lk_narrow_product *p, size_t begin, size_t end) {
  enum { DEPTH = 128 };  // rows of a tile: its 8 KB stay in the L1 cache for every group of 8
  _Alignas(64) float sum[NARROW_LIMIT * 32];
  _Alignas(64) uint32_t tile[DEPTH / 2 * 32];
  const size_t groups = (p->narrow + 7) / 8, pairs = (p->depth + 1) / 2;
  for (size_t column = begin; column < end; column += 32) {
    const size_t columns = end - column < 32 ? end - column : 32;
    memset(sum, 0, groups * 8 * 32 * sizeof(float));
    for (size_t row = 0; row < p->depth; row += DEPTH) {
      const size_t rows = p->depth - row < DEPTH ? p->depth - row : DEPTH;
      narrow_interleave(
          p->wide + row * p->wide_stride + column, p->wide_stride, columns, rows, tile);
      const size_t next_row = row + rows < p->depth ? row + rows : 0;
      const uint16_t *next = p->wide + next_row * p->wide_stride + column + (next_row ? 0 : 32);
      for (size_t group = 0; group < groups; ++group) {
        narrow_tile(
            tile, p->words + (group * pairs + row / 2) * 8, (rows + 1) / 2, sum + group * 8 * 32,
            next, p->wide_stride);
      }
    }
    narrow_store(p, column, columns, sum);
  }
}
