// Restricts a low-rank path to some rows of a batch: each sequence has adapters of its own.

extension Tensor {
  /// Writes 0 to some columns of the rows outside of the ranges, which ascend; for a tensor in
  /// the making.
  package func clearRows(outside ranges: [Range<Int>], columns: Range<Int>) {
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
