// Making tensors from numbers, and numbers from tensors.

package import CLoRAKernels

extension Tensor {
  /// A float32 tensor with the given elements in row-major order.
  public init(_ elements: [Float], shape: Shape) {
    precondition(
      elements.count == shape.count,
      "Tensor: \(elements.count) elements do not fill the shape \(shape)")
    self.init(uninitialized: shape)
    elements.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { floats.update(from: base, count: source.count) }
    }
  }

  /// A float32 tensor of one number and no axes.
  public init(_ value: Float) { self.init([value], shape: []) }

  /// A vector of token ids or other indices.
  public init(indices: [Int32]) {
    self.init(uninitialized: [indices.count], dtype: .int32)
    indices.withUnsafeBytes { source in
      if let base = source.baseAddress {
        pointer.copyMemory(from: base, byteCount: source.count)
      }
    }
  }

  /// A tensor of zeros.
  public static func zeros(_ shape: Shape, dtype: DType = .float32) -> Tensor {
    let result = Tensor(uninitialized: shape, dtype: dtype)
    result.pointer.initializeMemory(
      as: UInt8.self, repeating: 0, count: dtype.byteCount(of: shape.count))
    return result
  }

  /// A float32 tensor with every element the same.
  public static func full(_ shape: Shape, _ value: Float) -> Tensor {
    let result = Tensor(uninitialized: shape)
    result.floats.update(repeating: value, count: shape.count)
    return result
  }

  /// The elements in row-major order, converted to float.
  public var elements: [Float] {
    let wide = converted(to: .float32)
    return withExtendedLifetime(wide) {
      Array(UnsafeBufferPointer(start: wide.floats, count: count))
    }
  }

  /// The one element of a tensor that has one.
  public var item: Float {
    precondition(count == 1, "item: the tensor of shape \(shape) has \(count) elements")
    return elements[0]
  }

  /// The elements as `dtype`: itself when it has that type already, else a copy, each element
  /// rounded to nearest even. Not recorded: a gradient does not pass.
  package func converted(to dtype: DType) -> Tensor {
    if self.dtype == dtype { return self }
    precondition(
      self.dtype != .int32 && (dtype == .float32 || dtype == .bfloat16 || dtype == .float16),
      "converted: \(self.dtype.rawValue) to \(dtype.rawValue)")
    let result = Tensor(uninitialized: shape, dtype: dtype)
    lk_convert(self.dtype.kernelType, pointer, dtype.kernelType, result.pointer, count)
    return result
  }

  /// Overwrites the elements with those of `other`; for buffers that no tape has seen.
  package func copy(from other: Tensor) {
    precondition(
      other.count == count && other.dtype == dtype, "copy: \(other.shape) into \(shape)")
    pointer.copyMemory(from: other.pointer, byteCount: dtype.byteCount(of: count))
  }

  /// Overwrites the columns from `column` on with those of `other`, row by row; for buffers that no
  /// tape has seen.
  func copyColumns(of other: Tensor, at column: Int) {
    let (width, from) = (shape.lastDimension, other.shape.lastDimension)
    precondition(
      other.shape.rows == shape.rows && other.dtype == dtype && column + from <= width,
      "copyColumns: \(other.shape) into \(shape) at column \(column)")
    lk_copy_rows(
      other.pointer, dtype.byteCount(of: from), pointer + dtype.byteCount(of: column),
      dtype.byteCount(of: width), dtype.byteCount(of: from), shape.rows)
  }

  /// A copy that shares nothing.
  package func copied() -> Tensor {
    let result = Tensor(uninitialized: shape, dtype: dtype)
    result.pointer.copyMemory(from: pointer, byteCount: dtype.byteCount(of: count))
    return result
  }
}

extension DType {
  /// The number that the C kernels know the type by.
  package var kernelType: lk_dtype {
    switch self {
    case .float32: LK_F32
    case .bfloat16: LK_BF16
    case .float16: LK_F16
    case .q4_0: LK_Q4_0
    case .q4_1: LK_Q4_1
    case .q5_0: LK_Q5_0
    case .q5_1: LK_Q5_1
    case .q8_0: LK_Q8_0
    case .int32: preconditionFailure("int32 elements are indices: no kernel computes with them")
    }
  }
}
