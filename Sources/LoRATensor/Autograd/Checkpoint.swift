// Recomputation: a part of a network that keeps its input alone and is run again on the way back.

/// `body(input)`, of which nothing but `input` is kept for the backward step.
///
/// On the way back `body` runs a second time, now recorded, and is walked at once: memory for one
/// such part instead of all of them, for one more forward pass. The gradients have the same bits as
/// without it, because the same operations run in the same order on the same sums; `body` must give
/// the same result both times (dropout does: its masks follow from seed, step and row).
/// Source: Chen et al. 2016 (arXiv 1604.06174).
/// - Parameters:
///   - parameters: what `body` reads through `Parameter.tensor`.
package func recomputed(
  _ input: Tensor, parameters: [Parameter], _ body: @escaping (Tensor) -> Tensor
) -> Tensor {
  let parameters = parameters.filter { Tape.records([$0.tensor]) }
  let leaves = parameters.map(\.tensor)
  guard Tape.records([input] + leaves) else { return body(input) }
  let output = Tape.$current.withValue(nil) { body(input.detached) }
  return Tape.record(output, inputs: [input] + leaves) { dy, gradients in
    let start = Parameter(input)
    let tape = Tape(parameters: [start] + parameters)
    // Where nobody asks for the input's gradient, its tape must not form one.
    let wantsInput = gradients.wants(input)
    let result = Tape.$current.withValue(tape) { body(wantsInput ? start.tensor : input.detached) }
    let sums = [wantsInput ? gradients.take(input) : nil] + leaves.map(gradients.take)
    let found = tape.walkBack(from: result, gradient: dy, taking: sums)
    for (tensor, sum) in zip([input] + leaves, found) {
      if let sum { gradients.set(sum, for: tensor) }
    }
  }
}
