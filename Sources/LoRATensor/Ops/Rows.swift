// Looking up and picking rows.

import CLoRAKernels

/// Rows of a table, for instance token embeddings: [V, H] at n indices gives [n, H] in float32.
///
/// The table may be quantised; only the rows asked for are converted.
public func embedding(_ table: Tensor, at indices: [Int32]) -> Tensor {
  precondition(
    table.shape.rank == 2 && indices.allSatisfy { $0 >= 0 && Int($0) < table.shape[0] },
    "embedding: indices outside of a table of shape \(table.shape)")
  let width = table.shape[1]
  let result = Tensor(uninitialized: [indices.count, width])
  let rowBytes = table.dtype.byteCount(of: width)
  for (i, index) in indices.enumerated() {
    lk_convert(
      table.dtype.kernelType, table.pointer + Int(index) * rowBytes, LK_F32,
      result.floats + i * width, width)
  }
  return Tape.record(result, inputs: [table]) { dy, gradients in
    let sum = gradients.accumulator(for: table)
    for (i, index) in indices.enumerated() {
      lk_axpy(1, dy.floats + i * width, sum.floats + Int(index) * width, width)
    }
    gradients.set(sum, for: table)
  }
}

/// The rows `indices` of a float32 or bfloat16 matrix, in that order; the gradient goes back to where
/// they were.
package func gatherRows(_ x: Tensor, _ indices: [Int]) -> Tensor {
  let width = x.shape.lastDimension
  let rowBytes = x.dtype.byteCount(of: width)
  let result = Tensor(uninitialized: [indices.count, width], dtype: x.dtype)
  for (i, index) in indices.enumerated() {
    (result.pointer + i * rowBytes).copyMemory(
      from: x.pointer + index * rowBytes, byteCount: rowBytes)
  }
  let slot = x.gradientSlot
  return Tape.record(result, inputs: [x]) { dy, gradients in
    let sum = gradients.accumulator(for: slot)
    let wide = dy.converted(to: .float32)
    for (i, index) in indices.enumerated() {
      lk_axpy(1, wide.floats + i * width, sum.floats + index * width, width)
    }
    gradients.set(sum, for: slot)
  }
}

/// RMSNorm: x·w/√(mean(x²) + ε) over the last axis, given out as `dtype`.
///
/// Source: Zhang & Sennrich 2019. Kept for the backward step: x/√(…), as `dtype`, and one number per
/// row.
package func rmsNorm(
  _ x: Tensor, weight: Tensor, epsilon: Float, dtype: DType = .float32
) -> Tensor {
  precondition(
    weight.shape == [x.shape.lastDimension],
    "rmsNorm: a weight of shape \(weight.shape) for an input of shape \(x.shape)")
  return LinearInput.normalized(x, weight: weight, epsilon: epsilon, dtype: dtype).recorded()
}

/// act(gate)·up, element by element (SwiGLU, GeGLU; Shazeer 2020).
package func gated(_ gate: Tensor, _ up: Tensor, activation: GateActivation) -> Tensor {
  precondition(
    gate.shape == up.shape && gate.dtype == up.dtype, "gated: shapes \(gate.shape), \(up.shape)")
  return LinearInput.gated(gate: gate, up: up, activation: activation).recorded()
}
