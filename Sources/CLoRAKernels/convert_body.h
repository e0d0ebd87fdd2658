// Conversion of dense types and dequantisation of GGUF's 32-element blocks.
//
// Each source type has one decoder to f32; bf16 and f16 results are that f32 value, rounded once to
// nearest even, over a tile that stays in the L1 cache. A block starts with its f16 scale `d`; byte
// j of the nibbles `qs` holds the elements j (low) and j + 16 (high). The product of d (11 bits)
// and q (at most 8 bits) is exact in f32, so d * q + m has one rounding, fused or not: every
// instruction set gives the same bits.

static inline float load_f16(const uint8_t *bytes) {
  uint16_t half;
  memcpy(&half, bytes, 2);
  return f16_to_f32(half);
}

static void decode_f16(const uint8_t *src, float *dst, size_t count) {
  const uint16_t *in = (const uint16_t *)src;
  for (size_t i = 0; i < count; ++i) dst[i] = f16_to_f32(in[i]);
}

static void decode_bf16(const uint8_t *src, float *dst, size_t count) {
  const uint16_t *in = (const uint16_t *)src;
  for (size_t i = 0; i < count; ++i) dst[i] = bf16_to_f32(in[i]);
}

// The 4-bit numbers of a block as bytes, in the order of the elements. Splitting them before the
// conversion to float keeps each loop one plain vector operation.
static inline void low_bits(const uint8_t *restrict qs, uint8_t *restrict q) {
  for (int j = 0; j < 16; ++j) q[j] = qs[j] & 15;
  for (int j = 0; j < 16; ++j) q[j + 16] = qs[j] >> 4;
}

// The fifth bits of a block, as 0 or 16 for each element. Bytes and constant masks, because SSE2
// has no shift by another amount in every lane.
static inline void fifth_bits(const uint8_t *restrict qh, uint8_t *restrict high) {
  for (int byte = 0; byte < 4; ++byte)
    for (int bit = 0; bit < 8; ++bit)
      high[8 * byte + bit] = (qh[byte] & (1 << bit)) != 0 ? 16 : 0;
}

static void decode_q4_0(const uint8_t *restrict src, float *restrict dst, size_t count) {
  for (size_t b = 0; b < count / 32; ++b, src += 18, dst += 32) {
    const float d = load_f16(src);
    uint8_t q[32];
    low_bits(src + 2, q);
    for (int j = 0; j < 32; ++j) dst[j] = d * (float)(q[j] - 8);
  }
}

static void decode_q4_1(const uint8_t *restrict src, float *restrict dst, size_t count) {
  for (size_t b = 0; b < count / 32; ++b, src += 20, dst += 32) {
    const float d = load_f16(src), m = load_f16(src + 2);
    uint8_t q[32];
    low_bits(src + 4, q);
    for (int j = 0; j < 32; ++j) dst[j] = d * (float)q[j] + m;
  }
}

static void decode_q5_0(const uint8_t *restrict src, float *restrict dst, size_t count) {
  for (size_t b = 0; b < count / 32; ++b, src += 22, dst += 32) {
    const float d = load_f16(src);
    uint8_t q[32], high[32];
    low_bits(src + 6, q);
    fifth_bits(src + 2, high);
    for (int j = 0; j < 32; ++j) dst[j] = d * (float)((q[j] | high[j]) - 16);
  }
}

static void decode_q5_1(const uint8_t *restrict src, float *restrict dst, size_t count) {
  for (size_t b = 0; b < count / 32; ++b, src += 24, dst += 32) {
    const float d = load_f16(src), m = load_f16(src + 2);
    uint8_t q[32], high[32];
    low_bits(src + 8, q);
    fifth_bits(src + 4, high);
    for (int j = 0; j < 32; ++j) dst[j] = d * (float)(q[j] | high[j]) + m;
  }
}

static void decode_q8_0(const uint8_t *restrict src, float *restrict dst, size_t count) {
  for (size_t b = 0; b < count / 32; ++b, src += 34, dst += 32) {
    const float d = load_f16(src);
    const int8_t *q = (const int8_t *)(src + 2);
    for (int j = 0; j < 32; ++j) dst[j] = d * (float)q[j];
  }
}

static void to_f32(lk_dtype type, const uint8_t *src, float *dst, size_t count) {
  switch (type) {
    case LK_F32: memcpy(dst, src, count * 4); break;
    case LK_F16: decode_f16(src, dst, count); break;
    case LK_BF16: decode_bf16(src, dst, count); break;
    case LK_Q4_0: decode_q4_0(src, dst, count); break;
    case LK_Q4_1: decode_q4_1(src, dst, count); break;
    case LK_Q5_0: decode_q5_0(src, dst, count); break;
    case LK_Q5_1: decode_q5_1(src, dst, count); break;
    case LK_Q8_0: decode_q8_0(src, dst, count); break;
  }
}

// Rounds f32 to one of the two 16-bit types.
static void from_f32(const float *src, lk_dtype type, uint16_t *dst, size_t count) {
  if (type == LK_BF16) {
    for (size_t i = 0; i < count; ++i) dst[i] = f32_to_bf16(src[i]);
  } else if (type == LK_F16) {
    for (size_t i = 0; i < count; ++i) dst[i] = f32_to_f16(src[i]);
  }
}

#if LK_ISA_LEVEL >= 4
// 4-bit blocks straight to bf16. A block has sixteen values only: they are formed and rounded once,
// exactly as above, and the elements are looked up among them.
static void decode_4bit_to_bf16(
    const uint8_t *restrict src, int has_minimum, uint16_t *restrict dst, size_t count) {
  const size_t header = has_minimum ? 4 : 2;
  const __m512 numbers =
      _mm512_add_ps(_mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                    _mm512_set1_ps(has_minimum ? 0 : -8));
  const __m512i half = _mm512_set1_epi32(0x7FFF), one = _mm512_set1_epi32(1);
  const __m512i quiet = _mm512_set1_epi32(0x40);
  for (size_t b = 0; b < count / 32; ++b, src += header + 16, dst += 32) {
    const __m512 d = _mm512_set1_ps(load_f16(src));
    const __m512 values = has_minimum ? _mm512_fmadd_ps(d, numbers, _mm512_set1_ps(load_f16(src + 2)))
                                      : _mm512_mul_ps(d, numbers);
    // f32_to_bf16 in sixteen lanes.
    const __m512i bits = _mm512_castps_si512(values), top = _mm512_srli_epi32(bits, 16);
    const __m512i even = _mm512_add_epi32(half, _mm512_and_si512(top, one));
    const __m512i number = _mm512_srli_epi32(_mm512_add_epi32(bits, even), 16);
    const __m512i rounded = _mm512_mask_or_epi32(
        number, _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q), top, quiet);
    const __m512i table = _mm512_castsi256_si512(_mm512_cvtepi32_epi16(rounded));
    const __m128i nibbles = _mm_loadu_si128((const __m128i *)(src + header));
    const __m256i bytes = _mm256_set_m128i(_mm_srli_epi16(nibbles, 4), nibbles);
    const __m512i q = _mm512_cvtepu8_epi16(_mm256_and_si256(bytes, _mm256_set1_epi8(15)));
    _mm512_storeu_si512(dst, _mm512_permutexvar_epi16(q, table));
  }
}
#endif

static void convert(
    lk_dtype src_type, const void *src, lk_dtype dst_type, void *dst, size_t count) {
  if (dst_type == LK_F32) {
    to_f32(src_type, src, dst, count);
  } else if (src_type == dst_type) {
    memcpy(dst, src, lk_bytes_of(src_type, count));
  } else if (src_type == LK_F32) {
    from_f32(src, dst_type, dst, count);
#if LK_ISA_LEVEL >= 4
  } else if (dst_type == LK_BF16 && (src_type == LK_Q4_0 || src_type == LK_Q4_1)) {
    decode_4bit_to_bf16(src, src_type == LK_Q4_1, dst, count);
#endif
  } else {
    const uint8_t *in = src;
    uint16_t *out = dst;
    float tile[1024];
    while (count > 0) {
      const size_t part = count < 1024 ? count : 1024;
      to_f32(src_type, in, tile, part);
      from_f32(tile, dst_type, out, part);
      in += lk_bytes_of(src_type, part);
      out += part;
      count -= part;
    }
  }
}
