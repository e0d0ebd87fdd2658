// Log-probabilities of tokens as the model gives them, before any sampler changes them.

import Foundation

/// A token and the natural logarithm of its probability.
public struct TokenLogprob: Sendable, Hashable {
  /// The token.
  public let token: Int32
  /// ln p, by the model's own logits: at temperature 1, without penalty or filter.
  public let logprob: Float
}

extension [Float] {
  /// The log-probabilities of one token and of the `count` most probable ones, by a row of logits.
  func logprobs(of token: Int32, alternatives count: Int) -> (Float, [TokenLogprob]) {
    let best = self[indexOfLargest]
    let normalizer = Double(best) + log(reduce(0.0) { $0 + exp(Double($1 - best)) })
    func logprob(_ index: Int) -> Float { Float(Double(self[index]) - normalizer) }
    return (
      logprob(Int(token)),
      largest(count).map { TokenLogprob(token: Int32($0), logprob: logprob($0)) }
    )
  }
}
