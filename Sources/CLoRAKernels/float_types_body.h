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
