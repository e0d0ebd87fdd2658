// A dense row-major array of numbers, or quantised blocks of a frozen weight.

/// A row-major array of numbers; copies share their bytes, which operations never change.
///
/// Operations return new tensors. Inside `valueAndGradient` a tensor that depends on a parameter
/// also knows its place on the tape. A wrong shape is a programmer's mistake: it traps with the
/// operation's name and the shapes.
public struct Tensor: Sendable {
  package private(set) var storage: Storage
  package let byteOffset: Int
  /// The extents of the axes, outermost first.
  public let shape: Shape
  /// How the elements are stored.
  public let dtype: DType
  /// The place on the tape, when the tensor depends on a parameter under `valueAndGradient`.
  package var variable: Variable?

  package init(storage: Storage, byteOffset: Int = 0, shape: Shape, dtype: DType) {
    let byteCount = dtype.byteCount(of: shape.count)
    precondition(
      byteOffset >= 0 && byteOffset + byteCount <= storage.byteCount,
      "Tensor: \(byteCount) bytes at \(byteOffset) do not lie in \(storage.byteCount) bytes")
    self.storage = storage
    self.byteOffset = byteOffset
    self.shape = shape
    self.dtype = dtype
  }

  /// A tensor whose content is undefined until an operation has written it.
  package init(uninitialized shape: Shape, dtype: DType = .float32) {
    let byteCount = max(dtype.byteCount(of: shape.count), 1)
    self.init(storage: Storage(byteCount: byteCount), shape: shape, dtype: dtype)
  }

  package var pointer: UnsafeMutableRawPointer { storage.pointer + byteOffset }

  /// The elements as f32, for reading and for the operation that makes the tensor.
  package var floats: UnsafeMutablePointer<Float> {
    precondition(dtype == .float32, "Tensor: \(dtype.rawValue) elements are not float32")
    return pointer.assumingMemoryBound(to: Float.self)
  }

  /// The number of elements.
  public var count: Int { shape.count }

  /// Whether no other tensor shares the bytes, so that they may be changed in place.
  package mutating func isUniquelyReferenced() -> Bool { isKnownUniquelyReferenced(&storage) }

  /// The same bytes without a place on the tape.
  public var detached: Tensor {
    Tensor(storage: storage, byteOffset: byteOffset, shape: shape, dtype: dtype)
  }

  /// The same bytes under another shape of the same count, without a place on the tape.
  func viewed(as shape: Shape) -> Tensor {
    Tensor(storage: storage, byteOffset: byteOffset, shape: shape, dtype: dtype)
  }

  /// Rows `range` of the matrix that the tensor is when its leading axes are folded; shares bytes.
  package func rows(_ range: Range<Int>) -> Tensor {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= shape.rows,
      "rows: \(range) of a tensor of shape \(shape)")
    let rowBytes = dtype.byteCount(of: shape.lastDimension)
    return Tensor(
      storage: storage, byteOffset: byteOffset + range.lowerBound * rowBytes,
      shape: [range.count, shape.lastDimension], dtype: dtype)
  }
}

extension Tensor: CustomStringConvertible {
  /// The type, the shape and the first elements.
  public var description: String {
    let preview =
      dtype == .float32
      ? " " + (0..<min(count, 8)).map { "\(floats[$0])" }.joined(separator: ", ")
        + (count > 8 ? ", …" : "")
      : ""
    return "Tensor(\(dtype.rawValue) \(shape)\(preview))"
  }
}
