// bf16 and f16 as integers: conversions that the compiler vectorises on every instruction set.
static inline float bf16_to_f32(uint16_t value) {
  uint32_t bits = (uint32_t)value << 16;
  float result;
  memcpy(&result, &bits, 4);
  return result;
}

// Round to nearest, ties to even; a NaN stays a NaN (quiet).
static inline uint16_t f32_to_bf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  uint32_t nan = (bits >> 16) | 0x40;
  return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? nan : rounded);
}

// The same for values that arithmetic made: its NaNs carry no bits that the rounding could carry out.
static inline uint16_t computed_to_bf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return (uint16_t)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// IEEE half to float, subnormals included: the exponent is rebased by a multiplication with 2^112.
static inline float f16_to_f32(uint16_t value) {
  uint32_t sign = (uint32_t)(value & 0x8000) << 16;
  uint32_t magnitude = (uint32_t)(value & 0x7FFF) << 13;
  float scaled;
  memcpy(&scaled, &magnitude, 4);
  scaled *= 0x1p112f;
  uint32_t bits;
  memcpy(&bits, &scaled, 4);
  // Infinity and NaN keep their exponent of all ones.
  bits = (value & 0x7C00) == 0x7C00 ? (magnitude | 0x7F800000) : bits;
  bits |= sign;
  float result;
  memcpy(&result, &bits, 4);
  return result;
}

// Round to nearest, ties to even; beyond 65504 + half a step infinity; a NaN stays a NaN (quiet).
static inline uint16_t f32_to_f16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  uint32_t sign = (bits >> 16) & 0x8000;
  uint32_t magnitude = bits & 0x7FFFFFFF;
  // Normal halves: rebase the exponent by -112, round away the 13 low bits.
  uint32_t normal = (magnitude + ((magnitude >> 13) & 1) + 0xFFF - (112u << 23)) >> 13;
  // Below 2^-14: the last place of 0.5 + x is the subnormals' step 2^-24, so the addition rounds.
  float shifted;
  memcpy(&shifted, &magnitude, 4);
  shifted += 0.5f;
  uint32_t subnormal;
  memcpy(&subnormal, &shifted, 4);
  subnormal -= 0x3F000000;
  uint32_t special = magnitude > 0x7F800000 ? 0x7E00 | ((magnitude >> 13) & 0x1FF) : 0x7C00;
  uint32_t half = magnitude < 0x38800000 ? subnormal : normal;
  half = magnitude >= 0x47800000 ? special : half;
  return (uint16_t)(sign | half);
}
