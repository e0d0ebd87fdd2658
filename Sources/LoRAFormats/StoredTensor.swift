// A tensor as a file holds it: bytes, shape and element type, borrowed from the mapping.

package import LoRATensor

/// The bytes of one tensor, on the way from a file or into one.
package struct StoredTensor: Sendable {
  package let storage: Storage
  package let byteOffset: Int
  package let shape: Shape
  package let dtype: DType

  /// A view of `storage` from `byteOffset`, which must hold all elements of the shape.
  package init(storage: Storage, byteOffset: Int, shape: Shape, dtype: DType) {
    precondition(
      byteOffset >= 0 && dtype.byteCount(of: shape.count) <= storage.byteCount - byteOffset,
      "StoredTensor: \(shape) of \(dtype.rawValue) at \(byteOffset) is beyond the storage")
    self.storage = storage
    self.byteOffset = byteOffset
    self.shape = shape
    self.dtype = dtype
  }

  /// New storage with a copy of `bytes`, which must be as many as the shape needs.
  package init(copying bytes: UnsafeRawBufferPointer, shape: Shape, dtype: DType) {
    precondition(
      bytes.count == dtype.byteCount(of: shape.count),
      "StoredTensor: \(bytes.count) bytes for \(shape) of \(dtype.rawValue)")
    let storage = Storage(byteCount: bytes.count)
    if let source = bytes.baseAddress {
      storage.pointer.copyMemory(from: source, byteCount: bytes.count)
    }
    self.init(storage: storage, byteOffset: 0, shape: shape, dtype: dtype)
  }

  package var byteCount: Int { dtype.byteCount(of: shape.count) }

  /// Calls `body` with the bytes, which it must not keep.
  package func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try withExtendedLifetime(storage) {
      try body(UnsafeRawBufferPointer(start: storage.pointer + byteOffset, count: byteCount))
    }
  }
}

extension StoredTensor {
  /// The bytes of a tensor, shared with it.
  package init(_ tensor: Tensor) {
    self.init(
      storage: tensor.storage, byteOffset: tensor.byteOffset, shape: tensor.shape,
      dtype: tensor.dtype)
  }

  /// A view of `count` bytes of a mapped file, which the tensor keeps mapped.
  ///
  /// Without a copy where the address suits the element type, which well-made files see to.
  init(_ file: MappedFile, bytes: UnsafeRawBufferPointer, shape: Shape, dtype: DType) {
    guard let start = bytes.baseAddress, let base = file.bytes.baseAddress,
      Int(bitPattern: start) % dtype.alignment == 0
    else {
      self.init(copying: bytes, shape: shape, dtype: dtype)
      return
    }
    let storage = Storage(borrowing: base, byteCount: file.byteCount, owner: file)
    self.init(storage: storage, byteOffset: start - base, shape: shape, dtype: dtype)
  }
}

extension Tensor {
  /// The tensor that a file holds, its bytes shared with the file.
  package init(_ stored: StoredTensor) {
    self.init(
      storage: stored.storage, byteOffset: stored.byteOffset, shape: stored.shape,
      dtype: stored.dtype)
  }
}

extension DType {
  /// The alignment in bytes that kernels expect of the elements.
  var alignment: Int { isQuantized ? 1 : bytesPerBlock }
}
