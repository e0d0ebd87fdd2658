// Conversion of dense types and dequantisation of GGUF's 32-element blocks.
static void convert(
    lk_dtype src_type, const void *src, lk_dtype dst_type, void *dst, size_t count) {
  if (src_type == LK_F32 && dst_type == LK_BF16) {
    const float *in = src;
    uint16_t *out = dst;
    for (size_t i = 0; i < count; ++i) out[i] = f32_to_bf16(in[i]);
  } else if (src_type == LK_BF16 && dst_type == LK_F32) {
    const uint16_t *in = src;
    float *out = dst;
    for (size_t i = 0; i < count; ++i) out[i] = bf16_to_f32(in[i]);
  }
}
