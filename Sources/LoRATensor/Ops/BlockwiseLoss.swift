// A loss over rows by blocks, for heads that are more than a frozen matrix: logits of one block exist at
// a time, in training too.

/// Rows whose logits exist together, in all their columns: 128 × 49,152 × 4 bytes are 25 MB, and what the
/// head's parts add up is as much again.
private let wholeLogitRowBlock = 128

/// Σ over blocks of rows of `body`'s loss, and the log-probabilities of all rows.
///
/// Where it is recorded, each block is differentiated before the next one begins, on a tape of its own:
/// the gradients of all blocks are there when the function returns, and need no logits.
/// - Parameters:
///   - hidden: [rows, H], float32 or bfloat16.
///   - parameters: what `body` reads through `Parameter.tensor`.
///   - body: the loss of these rows of `hidden`; the range says which they are.
package func blockwiseLoss(
  _ hidden: Tensor, parameters: [Parameter], _ body: (Tensor, Range<Int>) -> HeadLoss
) -> HeadLoss {
  let rows = hidden.shape.rows
  let blocks = stride(from: 0, to: rows, by: wholeLogitRowBlock).map {
    $0..<min($0 + wholeLogitRowBlock, rows)
  }
  let parameters = parameters.filter { Tape.records([$0.tensor]) }
  let leaves = parameters.map(\.tensor)
  var total = 0.0
  var logProbabilities: [Float] = []
  func add(_ part: HeadLoss) {
    total += Double(part.loss.item)
    logProbabilities += part.logProbabilities
  }
  guard Tape.records([hidden] + leaves) else {
    for range in blocks { add(body(hidden.rows(range), range)) }
    return HeadLoss(loss: Tensor(Float(total)), logProbabilities: logProbabilities)
  }
  let dhidden = Tensor(uninitialized: hidden.shape)
  var sums = [Tensor?](repeating: nil, count: parameters.count)
  for range in blocks {
    let start = Parameter(hidden.rows(range))
    let tape = Tape(parameters: [start] + parameters)
    let part = Tape.$current.withValue(tape) { body(start.tensor, range) }
    add(part)
    var earlier: [Tensor?] = [nil]
    swap(&earlier, &sums)
    var found = tape.walkBack(
      from: part.loss, gradient: .full([], 1), taking: [nil] + earlier)
    let own = found.removeFirst()
    sums = found
    dhidden.rows(range).copy(
      from: own?.converted(to: .float32) ?? .zeros([range.count, hidden.shape.lastDimension]))
  }
  let loss = Tape.record(Tensor(Float(total)), inputs: [hidden] + leaves) { dy, gradients in
    let factor = dy.item
    func scaled(_ tensor: Tensor) -> Tensor { factor == 1 ? tensor : tensor * Tensor(factor) }
    if gradients.wants(hidden) { gradients.add(scaled(dhidden), to: hidden) }
    for (leaf, sum) in zip(leaves, sums) {
      if let sum { gradients.add(scaled(sum.detached), to: leaf) }
    }
  }
  return HeadLoss(loss: loss, logProbabilities: logProbabilities)
}
