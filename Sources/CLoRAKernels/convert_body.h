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

static void convert(
    lk_dtype src_type, const void *src, lk_dtype dst_type, void *dst, size_t count) {
  if (dst_type == LK_F32) {
    to_f32(src_type, src, dst, count);
  } else if (src_type == dst_type) {
    memcpy(dst, src, lk_bytes_of(src_type, count));
  } else if (src_type == LK_F32) {
    from_f32(src, dst_type, dst, count);
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
