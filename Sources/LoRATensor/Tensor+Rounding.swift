// Rounding float32 to the type that a file stores, with the values that the type cannot hold found.

extension DType {
  /// The bits of the smallest magnitude that rounds to infinity in this dense type, or is infinite.
  fileprivate var overflowBits: UInt32 {
    switch self {
    // 65520, half-way between the largest number and the next power of 2.
    case .float16: 0x477F_F000
    case .bfloat16: 0x7F7F_8000
    default: 0x7F80_0000
    }
  }
}

extension Tensor {
  /// The first element of a float32 tensor that `dtype` holds as infinity or NaN, with its place;
  /// nil where every element fits.
  package func firstElement(beyond dtype: DType) -> (index: Int, value: Float)? {
    withExtendedLifetime(self) {
      // As integers, magnitudes compare like numbers, and NaN is above infinity.
      let limit = dtype.overflowBits
      let bits = UnsafeRawPointer(floats).assumingMemoryBound(to: UInt32.self)
      var largest: UInt32 = 0
      for i in 0..<count { largest = max(largest, bits[i] & 0x7FFF_FFFF) }
      guard largest >= limit else { return nil }
      let index = (0..<count).first { bits[$0] & 0x7FFF_FFFF >= limit } ?? 0
      return (index, floats[index])
    }
  }
}
