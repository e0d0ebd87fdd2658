// Cross-entropy with the head: the logits of a block of rows exist only while that block is worked.

import CLoRAKernels
import Foundation

/// What the head says about the supervised rows.
package struct HeadLoss {
  /// The sum of -log p(target) over the rows, times the weight; one number on the tape.
  package let loss: Tensor
  /// log p(target) of each row.
  package let logProbabilities: [Float]
}

/// Rows whose logits exist together: 256 × 49,152 × 4 bytes are 50 MB. The head is read from its
/// stored blocks twice for each of these blocks of rows.
package let headRowBlock = 256

/// Rows of the head, the words of the vocabulary, that are worked together: their part of the head
/// (4,096 × 576 × 2 bytes are 5 MB) and of the logits stay near the cores.
package let headWordBlock = 4096

/// weight · Σ_i -log softmax(h_i·Wᵀ)[target_i], by blocks of rows and words.
///
/// Forward and backward in one: once a block of rows has its logits and their log-sum, each part
/// becomes its gradient weight·(softmax - onehot) and meets its part of W at once. So the head costs
/// two products, and neither the logits of all rows nor the converted head nor the gradient of
/// the logits are ever whole. Source: the fused classifier of llm.c, Liger's linear cross-entropy.
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
  let dhidden = keeps ? Tensor(uninitialized: [rows, width]) : nil
  let logits =
    keeps ? Tensor(uninitialized: [min(headRowBlock, max(rows, 1)), vocabulary]) : nil
  var logProbabilities: [Float] = []
  for start in stride(from: 0, to: rows, by: headRowBlock) {
    let range = start..<min(start + headRowBlock, rows)
    let block = HeadBlock(
      hidden.rows(range), head: head, targets: targets[range], logits: logits?.rows(0..<range.count)
    )
    logProbabilities += block.logProbabilities
    if let dhidden { block.writeGradient(to: dhidden.rows(range), scale: scale) }
  }
  // In double precision: the sum must not depend on how a step is split into passes.
  let total = -logProbabilities.reduce(into: 0.0) { $0 += Double($1) } * Double(scale)
  let loss = Tape.record(Tensor(Float(total)), inputs: [hidden]) { dy, gradients in
    guard let dhidden else { return }
    let factor = dy.item
    if factor == 1 {
      gradients.add(dhidden.viewed(as: hidden.shape), to: hidden)
    } else {
      let sum = gradients.accumulator(for: hidden)
      lk_axpy(factor, dhidden.floats, sum.floats, sum.count)
      gradients.set(sum, for: hidden)
    }
  }
  return HeadLoss(loss: loss, logProbabilities: logProbabilities)
}

/// The logits of a block of rows, in parts of `headWordBlock` words that lie one after the other.
private struct HeadBlock {
  private let hidden: Tensor
  private let head: Tensor
  private let targets: [Int32]
  private let logits: Tensor?
  private let logSums: [Float]
  let logProbabilities: [Float]

  /// - Parameter logits: where they are kept for the gradient, if it will be asked for.
  init(_ hidden: Tensor, head: Tensor, targets: ArraySlice<Int32>, logits: Tensor?) {
    let rows = hidden.shape.rows
    var maxima = [Float](repeating: -.infinity, count: rows)
    var sums = [Float](repeating: 0, count: rows)
    var ofTargets = [Float](repeating: 0, count: rows)
    for words in Self.parts(of: head) {
      let part =
        logits.map { Self.part(words, of: $0) } ?? Tensor(uninitialized: [rows, words.count])
      multiply(Matrix(hidden), weight: head.rows(words), transposed: true, into: Matrix(part))
      lk_logit_sums(
        part.floats, targets.map { $0 - Int32(words.lowerBound) }, &maxima, &sums, &ofTargets, rows,
        words.count)
    }
    logSums = zip(maxima, sums).map { $0 + log($1) }
    logProbabilities = zip(ofTargets, logSums).map { $0 - $1 }
    self.hidden = hidden
    self.head = head
    self.targets = Array(targets)
    self.logits = logits
  }

  /// dh = Σ over the parts of dlogits·W, float32.
  func writeGradient(to dhidden: Tensor, scale: Float) {
    guard let logits else { return }
    let (rows, compute) = (hidden.shape.rows, hidden.dtype)
    for words in Self.parts(of: head) {
      let part = Self.part(words, of: logits)
      let gradient = Tensor(uninitialized: part.shape, dtype: compute)
      lk_logit_gradient(
        compute.kernelType, part.floats, targets.map { $0 - Int32(words.lowerBound) }, logSums,
        scale, gradient.pointer, rows, words.count)
      multiply(
        Matrix(gradient), weight: head.rows(words), transposed: false, into: Matrix(dhidden),
        accumulate: words.lowerBound > 0)
    }
  }

  private static func parts(of head: Tensor) -> [Range<Int>] {
    let vocabulary = head.shape[0]
    return stride(from: 0, to: vocabulary, by: headWordBlock).map {
      $0..<min($0 + headWordBlock, vocabulary)
    }
  }

  /// The dense matrix [rows, words] of a part: those of fewer words lie before it.
  private static func part(_ words: Range<Int>, of logits: Tensor) -> Tensor {
    let rows = logits.shape.rows
    return Tensor(
      storage: logits.storage, byteOffset: logits.byteOffset + rows * words.lowerBound * 4,
      shape: [rows, words.count], dtype: .float32)
  }
}
