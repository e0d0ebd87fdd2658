// The reference quantisers of the 32-element block types, and rounding to the dense types.

package import LoRATensor

/// Numbers that an element type cannot hold.
package struct QuantizationError: Error, Sendable, CustomStringConvertible {
  package let message: String
  package let hint: String
  package var description: String { "\(message)\nhint: \(hint)" }
}

extension StoredTensor {
  /// New storage with `values` rounded to `dtype`.
  ///
  /// The rows (the last axis) of a block type must be whole blocks. Results are the bytes that the
  /// reference quantisers of ggml give. Throws where a value is not finite, or a block's scale is
  /// beyond the range of f16.
  package init(_ values: [Float], shape: Shape, dtype: DType) throws {
    precondition(
      values.count == shape.count && shape.lastDimension % dtype.elementsPerBlock == 0,
      "StoredTensor: \(values.count) values for \(shape) of \(dtype.rawValue)")
    var bytes: [UInt8] = []
    bytes.reserveCapacity(dtype.byteCount(of: values.count))
    switch dtype {
    case .float32: for value in values { bytes.append(littleEndian: value.bitPattern) }
    case .float16: for value in values { bytes.append(littleEndian: Float16(value).bitPattern) }
    case .bfloat16: for value in values { bytes.append(littleEndian: bfloat16Bits(value)) }
    case .int32:
      for value in values {
        guard let integer = Int32(exactly: value) else {
          throw QuantizationError(
            message: "\(value) is not a 32-bit integer", hint: "choose a floating-point type")
        }
        bytes.append(littleEndian: UInt32(bitPattern: integer))
      }
    case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0:
      for start in stride(from: 0, to: values.count, by: 32) {
        let block = values[start..<(start + 32)]
        guard block.allSatisfy(\.isFinite) else {
          throw QuantizationError(
            message: "a value near element \(start) is NaN or infinite",
            hint: "blocks with a scale hold finite numbers only: look for what made this one")
        }
        try appendBlock(block, dtype, to: &bytes)
      }
    }
    self = bytes.withUnsafeBytes { StoredTensor(copying: $0, shape: shape, dtype: dtype) }
  }
}

/// The upper half of the bits, rounded to nearest even; a NaN stays a NaN.
func bfloat16Bits(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  if value.isNaN { return UInt16(truncatingIfNeeded: bits >> 16) | 0x40 }
  return UInt16(truncatingIfNeeded: (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)
}

extension [UInt8] {
  mutating func append<T: FixedWidthInteger>(littleEndian value: T) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }
}

/// Appends one block of 32 finite values. Every line rounds as the reference does: f32, no fusing.
private func appendBlock(
  _ values: ArraySlice<Float>, _ dtype: DType, to bytes: inout [UInt8]
) throws {
  func half(_ value: Float, _ what: String) throws -> UInt16 {
    let result = Float16(value)
    guard result.isFinite else {
      throw QuantizationError(
        message:
          "\(dtype.rawValue) stores the \(what) of a block in f16, and \(value) is beyond it",
        hint: "store this tensor as BF16 or F32")
    }
    return result.bitPattern
  }
  /// 1/d of the scale before it is rounded to f16; 0 for a block of zeros, and for one so small
  /// that the inverse overflows (whose scale is 0 in f16, so that it reads as zeros anyway).
  func inverse(_ scale: Float) -> Float { (1 / scale).isFinite ? 1 / scale : 0 }

  var quantised = [UInt8](repeating: 0, count: 32)
  switch dtype {
  case .q4_0, .q5_0:
    // The value of largest magnitude (with its sign) becomes the most negative integer.
    let zero: Float = dtype == .q4_0 ? 8 : 16
    var extreme: Float = 0
    for value in values where abs(value) > abs(extreme) { extreme = value }
    let scale = extreme / -zero
    let factor = inverse(scale)
    bytes.append(littleEndian: try half(scale, "scale"))
    for (index, value) in values.enumerated() {
      quantised[index] = UInt8(min(value * factor + (zero + 0.5), 2 * zero - 1))
    }
  case .q4_1, .q5_1:
    let top: Float = dtype == .q4_1 ? 15 : 31
    let minimum = values.min() ?? 0
    let scale = ((values.max() ?? 0) - minimum) / top
    let factor = inverse(scale)
    bytes.append(littleEndian: try half(scale, "scale"))
    bytes.append(littleEndian: try half(minimum, "minimum"))
    for (index, value) in values.enumerated() {
      quantised[index] = UInt8(min((value - minimum) * factor + 0.5, top))
    }
  default:
    let scale = values.reduce(0) { max($0, abs($1)) } / 127
    let factor = inverse(scale)
    bytes.append(littleEndian: try half(scale, "scale"))
    for value in values {
      // To nearest, ties away from zero.
      bytes.append(UInt8(bitPattern: Int8((value * factor).rounded())))
    }
    return
  }
  if dtype == .q5_0 || dtype == .q5_1 {
    var fifthBits: UInt32 = 0
    for (index, q) in quantised.enumerated() { fifthBits |= UInt32(q >> 4) << UInt32(index) }
    bytes.append(littleEndian: fifthBits)
  }
  for j in 0..<16 { bytes.append((quantised[j] & 15) | (quantised[j + 16] << 4)) }
}
