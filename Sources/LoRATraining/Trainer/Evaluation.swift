// Scoring examples without training: loss, perplexity, log-probabilities.

import Foundation
public import LoRAModels
import LoRANN
import LoRATensor

/// The loss over a set of examples.
public struct Evaluation: Sendable, Hashable {
  /// Examples.
  public let rows: Int
  /// Tokens that carry loss.
  public let supervisedTokens: Int
  /// The mean of -log p over them.
  public let loss: Double
  /// e^loss.
  public var perplexity: Double { exp(loss) }
}

/// The loss of a model over examples; memory does not grow with their number.
///
/// - Parameter onProgress: receives the number of examples that are done, now and then.
public func evaluate(
  _ model: Llama, _ examples: [Example], tokenBudget: Int = 512,
  onProgress: (Int) -> Void = { _ in }
) -> Evaluation {
  var sum = 0.0
  var count = 0
  // Some examples at a time, so that packs exist for these only.
  for start in stride(from: 0, to: examples.count, by: 64) {
    let part = Array(examples[start..<min(start + 64, examples.count)])
    for pass in passes(part, tokenBudget: tokenBudget) where !pass.targets.isEmpty {
      let result = languageModelLoss(model, pass, normalizer: 1)
      sum -= result.logProbabilities.reduce(into: 0.0) { $0 += Double($1) }
      count += result.logProbabilities.count
    }
    onProgress(start + part.count)
  }
  return Evaluation(
    rows: examples.count, supervisedTokens: count, loss: count > 0 ? sum / Double(count) : 0)
}

/// log p of every token of a sequence given those before it; the first has none.
public func logProbabilities(_ model: Llama, tokens: [Int32]) -> [Float] {
  guard tokens.count > 1 else { return [] }
  let hidden = model.hiddenStates(
    tokens, packing: Packing(lengths: [tokens.count]), rows: Array(0..<tokens.count - 1))
  return headLoss(model, hidden, targets: Array(tokens.dropFirst()), scale: 1).logProbabilities
}
