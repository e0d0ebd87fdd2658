// Cross-entropy of logits that exist: for heads that are more than a frozen matrix.

import CLoRAKernels

/// weight · Σ_i -log softmax(logits_i)[target_i]; where it is recorded, the logits become their own
/// gradient in place.
///
/// - Parameters:
///   - logits: float32 [rows, V], read by nobody else.
///   - targets: a token per row, each in 0 ..< V.
///   - scale: what each row's loss is multiplied by.
package func logitCrossEntropy(_ logits: Tensor, targets: [Int32], scale: Float) -> HeadLoss {
  let (rows, vocabulary) = (logits.shape.rows, logits.shape.lastDimension)
  precondition(
    targets.count == rows && targets.allSatisfy { $0 >= 0 && Int($0) < vocabulary },
    "logitCrossEntropy: logits \(logits.shape), \(targets.count) targets")
  let keeps = Tape.records([logits])
  var logProbabilities = [Float](repeating: 0, count: rows)
  logProbabilities.withUnsafeMutableBufferPointer { out in
    targets.withUnsafeBufferPointer { target in
      guard let out = out.baseAddress, let target = target.baseAddress else { return }
      lk_cross_entropy(
        DType.float32.kernelType, logits.floats, target, scale, out,
        keeps ? logits.pointer : nil, rows, vocabulary)
    }
  }
  let total = -logProbabilities.reduce(into: 0.0) { $0 += Double($1) } * Double(scale)
  let loss = Tape.record(Tensor(Float(total)), inputs: [logits]) { dy, gradients in
    let factor = dy.item
    gradients.add(factor == 1 ? logits.detached : logits.detached * Tensor(factor), to: logits)
  }
  return HeadLoss(loss: loss, logProbabilities: logProbabilities)
}
