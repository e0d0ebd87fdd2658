// Linear layers while tokens are generated: few rows, and the weight read as it is stored.
//
// At one row a product costs what reading the weight costs, so quantised blocks become floats in
// registers only and low-rank factors are read as they are. Everything is rounded as `linear` rounds
// it, except that the parts of an output are summed in float32 and rounded once. A row's result
// depends neither on the rows beside it nor on the threads.

import CLoRAKernels

extension PassContext {
  /// Whether these layers' weights are read as they are stored: dropout's masks exist for whole
  /// passes only.
  package static func readsStoredWeights(of layers: [LinearOperand]) -> Bool {
    current.readsStoredWeights
      && layers.allSatisfy { layer in layer.pairs.allSatisfy { $0.dropout == nil } }
  }
}

/// `linear` without gradients for x [rows, in] by lk_linear_rows.
func linearOnStoredWeights(
  _ x: Tensor, _ layers: [LinearOperand], residual: Tensor?
) -> [Tensor] {
  let outputs = layers.map { layer in
    Tensor(
      uninitialized: x.shape.replacingLast(with: layer.weight.shape[0]),
      dtype: residual == nil ? x.dtype : .float32)
  }
  precondition(
    residual.map { $0.shape == outputs[0].shape } ?? true,
    "linear: a residual of shape \(residual?.shape ?? []) for an output of shape "
      + "\(outputs[0].shape)")
  let choices = layers.flatMap(\.pairs).map { $0.chosenRows(of: x.shape.rows) }
  let pairs = zip(layers.flatMap(\.pairs), choices).map { pair, choice in
    lk_low_rank(
      a: pair.a.floats, b: pair.b.floats, rank: pair.rank, scale: pair.scale,
      rows: choice.map { UnsafePointer($0.pointer.assumingMemoryBound(to: UInt8.self)) })
  }
  // The pointers are those of what these hold.
  withExtendedLifetime((x, layers, residual, outputs, choices)) {
    pairs.withUnsafeBufferPointer { pairs in
      var offset = 0
      let rows = zip(layers, outputs).map { layer, y in
        defer { offset += layer.pairs.count }
        return lk_row_layer(
          type: layer.weight.dtype.kernelType, weight: layer.weight.pointer,
          out: layer.weight.shape[0], bias: layer.bias.map { UnsafePointer($0.floats) },
          pairs: pairs.baseAddress.map { $0 + offset }, pair_count: layer.pairs.count,
          residual: residual.map { UnsafePointer($0.floats) }, y: y.pointer,
          y_type: y.dtype.kernelType)
      }
      lk_linear_rows(
        x.dtype.kernelType, x.pointer, x.shape.rows, x.shape.lastDimension, rows, rows.count)
    }
  }
  return outputs
}

extension LowRankOperand {
  /// One byte per row: 1 where the path acts; nil where it acts on all rows.
  fileprivate func chosenRows(of count: Int) -> Storage? {
    guard let rows else { return nil }
    let choice = Storage(byteCount: max(count, 1))
    let bytes = choice.pointer.initializeMemory(as: UInt8.self, repeating: 0, count: count)
    for range in rows { for row in range { bytes[row] = 1 } }
    return choice
  }
}
