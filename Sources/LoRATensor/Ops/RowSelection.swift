// Restricts a low-rank path to some rows of a batch: each sequence has adapters of its own.

extension Tensor {
  /// The rows in the ranges; all others become 0. The gradient is restricted alike.
  ///
  /// - Parameter ranges: ascending, without overlap.
  func keeping(_ ranges: [Range<Int>]) -> Tensor {
    func kept(_ tensor: Tensor) -> Tensor {
      let result = tensor.copied()
      result.clearRows(outside: ranges, columns: 0..<shape.lastDimension)
      return result
    }
    return Tape.record(kept(self), inputs: [self]) { dy, gradients in
      gradients.add(kept(dy), to: self)
    }
  }

  /// Writes 0 to some columns of the rows outside of the ranges; for a tensor in the making.
  func clearRows(outside ranges: [Range<Int>], columns: Range<Int>) {
    let stride = dtype.byteCount(of: shape.lastDimension)
    let offset = dtype.byteCount(of: columns.lowerBound)
    let count = dtype.byteCount(of: columns.count)
    var next = 0
    for range in ranges + [shape.rows..<shape.rows] {
      precondition(
        range.lowerBound >= next && range.upperBound <= shape.rows,
        "rows of an adapter: \(range) in a batch of \(shape.rows) rows")
      for row in next..<range.lowerBound {
        (pointer + row * stride + offset).initializeMemory(
          as: UInt8.self, repeating: 0, count: count)
      }
      next = range.upperBound
    }
  }
}
