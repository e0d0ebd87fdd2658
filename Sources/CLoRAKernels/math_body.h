// Scalar mathematics in a form that the compiler vectorises: no calls, no branches.

// e^x, relative error below 2e-7 on [-87, 88]; x is clamped to that range first.
// x = n·ln2 + r with |r| ≤ ln2/2; e^x = 2^n·(1 + r + r²·P(r)), P minimax (Cephes expf).
static inline float fast_exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  // Adding 1.5·2^23 leaves the nearest integer in the low bits.
  float shifted = x * 1.44269504088896341f + 12582912.0f;
  float n = shifted - 12582912.0f;
  float r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;  // ln2 = 0.693359375 - 2.12194440e-4, the first part exact times n
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  float e = p * r * r + r + 1.0f;
  int32_t exponent = ((int32_t)n + 127) << 23;
  float scale;
  memcpy(&scale, &exponent, 4);
  return e * scale;
}

static inline float fast_sigmoid(float x) { return 1.0f / (1.0f + fast_exp(-x)); }

// tanh x = 1 - 2/(e^{2x} + 1), and its odd Taylor polynomial near 0 where that cancels.
static inline float fast_tanh(float x) {
  float bounded = x > 20.0f ? 20.0f : (x < -20.0f ? -20.0f : x);
  float direct = 1.0f - 2.0f / (fast_exp(2.0f * bounded) + 1.0f);
  float x2 = x * x;
  float series = x * (1.0f + x2 * (-1.0f / 3 + x2 * (2.0f / 15 + x2 * (-17.0f / 315))));
  return x2 < 0.0625f ? series : direct;
}

// The largest of n ≥ 1 numbers. Sixteen running maxima, because one alone is a chain of n dependent
// comparisons that the compiler may not reorder (it must keep what a NaN does).
static inline float row_max(const float *x, size_t n) {
  enum { LANES = 16 };
  float lanes[LANES], max = x[0];
  size_t whole = n / LANES * LANES;
  for (size_t l = 0; l < LANES; ++l) lanes[l] = x[0];
  for (size_t i = 0; i < whole; i += LANES) {
    for (size_t l = 0; l < LANES; ++l) lanes[l] = x[i + l] > lanes[l] ? x[i + l] : lanes[l];
  }
  for (size_t l = 0; l < LANES; ++l) max = lanes[l] > max ? lanes[l] : max;
  for (size_t i = whole; i < n; ++i) max = x[i] > max ? x[i] : max;
  return max;
}

// A number of each of eight counters, in the lower half of 64 bits: from there the processors'
// multiply instructions take it, and what is in the upper half does not count.
typedef uint64_t eight __attribute__((vector_size(64)));

enum { DRAWN = 32 };

// Philox4x32-10 (Salmon et al., SC 2011): a counter-based generator, so that the random number at
// a place depends on the place alone and not on what was drawn before. c is the counters' four
// words; drawn[4·l + w] becomes word w of the result of counter l.
static inline void philox(eight c[4], uint32_t key0, uint32_t key1, uint32_t drawn[DRAWN]) {
  for (int round = 0; round < 10; ++round, key0 += 0x9E3779B9, key1 += 0xBB67AE85) {
    const eight product0 = (c[0] & 0xFFFFFFFF) * 0xD2511F53;
    const eight product1 = (c[2] & 0xFFFFFFFF) * 0xCD9E8D57;
    c[0] = (product1 >> 32) ^ c[1] ^ key0;
    c[1] = product1;
    c[2] = (product0 >> 32) ^ c[3] ^ key1;
    c[3] = product0;
  }
  const eight left = (c[0] & 0xFFFFFFFF) | c[1] << 32, right = (c[2] & 0xFFFFFFFF) | c[3] << 32;
  const eight first = __builtin_shufflevector(left, right, 0, 8, 1, 9, 2, 10, 3, 11);
  const eight second = __builtin_shufflevector(left, right, 4, 12, 5, 13, 6, 14, 7, 15);
  memcpy(drawn, &first, sizeof first);
  memcpy(drawn + DRAWN / 2, &second, sizeof second);
}

static const eight counting = {0, 1, 2, 3, 4, 5, 6, 7};
