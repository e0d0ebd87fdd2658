// Cross-entropy with the head: the logits of a block of rows exist only while that block is worked.

import CLoRAKernels

/// What the head says about the supervised rows.
package struct HeadLoss {
  /// The sum of -log p(target) over the rows, times the weight; one number on the tape.
  package let loss: Tensor
  /// log p(target) of each row.
  package let logProbabilities: [Float]
}

/// Rows whose logits are computed together: 128 × 49,152 × 4 bytes are 25 MB. Fewer rows cost speed
/// (the products pack the head anew for each block), more cost memory.
package let headRowBlock = 128

/// weight · Σ_i -log softmax(h_i·Wᵀ)[target_i], by row blocks.
///
/// Forward and backward in one: a block's logits become their own gradient
/// weight·(softmax - onehot) in place and meet W at once, so the head costs two products and the
/// logits are never whole. Source: the fused classifier of llm.c, Liger's linear cross-entropy.
/// - Parameters:
///   - hidden: [rows, H], float32 or bfloat16: the rows that carry loss.
///   - weight: the frozen head, [V, H].
///   - targets: a token per row, each in 0 ..< V.
///   - scale: what each row's loss is multiplied by (1 / supervised tokens of the step).
package func headCrossEntropy(
  _ hidden: Tensor, head: Tensor, targets: [Int32], scale: Float
) -> HeadLoss {
  let rows = hidden.shape.rows
  let width = hidden.shape.lastDimension
  let vocabulary = head.shape[0]
  precondition(
    head.shape == [vocabulary, width] && targets.count == rows
      && targets.allSatisfy { $0 >= 0 && Int($0) < vocabulary },
    "headCrossEntropy: hidden \(hidden.shape), head \(head.shape), \(targets.count) targets")
  let keeps = Tape.records([hidden])
  let compute = hidden.dtype
  let w = head.converted(to: compute)
  let block = min(headRowBlock, max(rows, 1))
  let logits = Tensor(uninitialized: [block, vocabulary])
  // In float32 the gradient takes the logits' own place.
  let dlogits =
    keeps && compute != .float32
    ? Tensor(uninitialized: [block, vocabulary], dtype: compute) : logits
  let dhidden = keeps ? Tensor(uninitialized: hidden.shape, dtype: compute) : nil
  var logProbabilities = [Float](repeating: 0, count: rows)

  for start in stride(from: 0, to: rows, by: block) {
    let range = start..<min(start + block, rows)
    let part = logits.rows(0..<range.count)
    let dpart = dlogits.rows(0..<range.count)
    multiply(Matrix(hidden.rows(range)), Matrix(w), transposeB: true, into: Matrix(part))
    logProbabilities.withUnsafeMutableBufferPointer { out in
      targets.withUnsafeBufferPointer { target in
        guard let out = out.baseAddress, let target = target.baseAddress else { return }
        lk_cross_entropy(
          compute.kernelType, part.floats, target + start, scale, out + start,
          keeps ? dpart.pointer : nil, range.count, vocabulary)
      }
    }
    if let dhidden { multiply(Matrix(dpart), Matrix(w), into: Matrix(dhidden.rows(range))) }
  }
  // In double precision: the sum must not depend on how a step is split into passes.
  let total = -logProbabilities.reduce(into: 0.0) { $0 += Double($1) } * Double(scale)
  let loss = Tape.record(Tensor(Float(total)), inputs: [hidden]) { dy, gradients in
    guard let dhidden else { return }
    let factor = dy.item
    if factor == 1 {
      gradients.add(dhidden, to: hidden)
    } else {
      let sum = gradients.accumulator(for: hidden)
      let wide = dhidden.converted(to: .float32)
      lk_axpy(factor, wide.floats, sum.floats, sum.count)
      gradients.set(sum, for: hidden)
    }
  }
  return HeadLoss(loss: loss, logProbabilities: logProbabilities)
}
