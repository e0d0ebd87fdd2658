// Inverted dropout whose mask depends on the seed and the place of an element alone.

import CLoRAKernels

/// Which elements a dropout keeps: a pure function of the seed, the stream and the row's key.
///
/// Element (row, column) is dropped with probability p; what stays is scaled by 1/(1 - p). The
/// backward step draws the same mask again instead of keeping it. Source: Srivastava et al. 2014.
package struct DropoutMask: Sendable {
  package var probability: Float
  package var seed: UInt64
  /// Tells the layers of one step apart.
  package var stream: UInt32
  /// Names the rows, so that a row has one mask however rows are packed; nil: by their index.
  package var rowKeys: [UInt64]?

  package init(probability: Float, seed: UInt64, stream: UInt32, rowKeys: [UInt64]? = nil) {
    self.probability = probability
    self.seed = seed
    self.stream = stream
    self.rowKeys = rowKeys
  }

  /// x∘mask/(1 - p), of the type of `x`.
  func applied(to x: Tensor) -> Tensor {
    let result = Tensor(uninitialized: x.shape, dtype: x.dtype)
    let rows = x.shape.rows
    precondition(
      rowKeys.map { $0.count == rows } ?? true,
      "dropout: \(rowKeys?.count ?? 0) row keys for \(rows) rows")
    func run(_ keys: UnsafePointer<UInt64>?) {
      lk_dropout(
        x.dtype.kernelType, x.pointer, result.pointer, probability, seed, stream, keys, rows,
        x.shape.lastDimension)
    }
    if let rowKeys {
      rowKeys.withUnsafeBufferPointer { run($0.baseAddress) }
    } else {
      run(nil)
    }
    return result
  }
}

/// Inverted dropout of a tensor.
package func dropout(_ x: Tensor, _ mask: DropoutMask) -> Tensor {
  guard mask.probability > 0 else { return x }
  return Tape.record(mask.applied(to: x), inputs: [x]) { dy, gradients in
    gradients.add(mask.applied(to: dy), to: x)
  }
}
