// Scoring examples without training: loss, perplexity, log-probabilities.

import Foundation
public import LoRAModels
import LoRANN
import LoRATensor

/// The loss over a set of examples.
public struct Evaluation: Sendable, Hashable {
  /// Examples.
  public private(set) var rows = 0
  /// Tokens that carry loss.
  public private(set) var supervisedTokens = 0
  private var sum = 0.0

  /// The mean of -log p over them.
  public var loss: Double { supervisedTokens > 0 ? sum / Double(supervisedTokens) : 0 }
  /// e^loss.
  public var perplexity: Double { exp(loss) }

  /// Examples at a time, so that packs exist for these only.
  fileprivate static let portion = 64

  /// Adds examples that the model has not been asked about.
  fileprivate mutating func add(_ model: Llama, _ examples: [Example], tokenBudget: Int) {
    for pass in passes(examples, tokenBudget: tokenBudget) where !pass.targets.isEmpty {
      let result = PassContext.inference { languageModelLoss(model, pass, normalizer: 1) }
      sum -= result.logProbabilities.reduce(into: 0.0) { $0 += Double($1) }
      supervisedTokens += result.logProbabilities.count
    }
    rows += examples.count
  }
}

/// The loss of a model over examples; memory does not grow with their number.
///
/// - Parameter onProgress: receives the number of examples that are done, now and then.
public func evaluate(
  _ model: Llama, _ examples: [Example], tokenBudget: Int = 512,
  onProgress: (Int) -> Void = { _ in }
) -> Evaluation {
  var evaluation = Evaluation()
  for start in stride(from: 0, to: examples.count, by: Evaluation.portion) {
    let part = Array(examples[start..<min(start + Evaluation.portion, examples.count)])
    evaluation.add(model, part, tokenBudget: tokenBudget)
    onProgress(evaluation.rows)
  }
  return evaluation
}

/// The loss of a model over rows that are read from their file while it works.
///
/// - Parameter first: how many of the rows.
/// - Throws: `DataError` where the file is no longer what it was.
public func evaluate(
  _ model: Llama, _ rows: EvaluationRows, first: Int = .max, tokenBudget: Int = 512
) throws -> Evaluation {
  var evaluation = Evaluation()
  try rows.forEachPortion(of: Evaluation.portion, first: first) {
    evaluation.add(model, $0, tokenBudget: tokenBudget)
  }
  return evaluation
}

/// The loss of a model over the rows of a file, read some at a time: a file of any size needs the
/// memory of 64 rows.
///
/// The file is read twice: first to find every fault before the work begins.
/// - Parameters:
///   - maxLength: the longest row in tokens; longer ones are an error.
///   - onProgress: receives the number of rows that are done, and of all; first when none is.
/// - Throws: `DataError` with file and line.
public func evaluate(
  _ model: Llama, contentsOf file: String, encoder: TextEncoder, maxLength: Int? = nil,
  tokenBudget: Int = 512, onProgress: (Int, Int) -> Void = { _, _ in }
) throws -> Evaluation {
  func scan(_ each: (Example) -> Void) throws {
    _ = try ExampleScan(
      file, encoder: encoder, limit: LengthLimit(maxLength: maxLength, truncation: .error)
    ) { example, _ in each(example) }
  }
  var total = 0
  try scan { _ in total += 1 }
  onProgress(0, total)
  var evaluation = Evaluation()
  var waiting: [Example] = []
  func flush() {
    evaluation.add(model, waiting, tokenBudget: tokenBudget)
    waiting.removeAll(keepingCapacity: true)
    onProgress(evaluation.rows, total)
  }
  try scan { example in
    waiting.append(example)
    if waiting.count == Evaluation.portion { flush() }
  }
  if !waiting.isEmpty { flush() }
  return evaluation
}

/// log p of every token of a sequence given those before it; the first has none.
public func logProbabilities(_ model: Llama, tokens: [Int32]) -> [Float] {
  guard tokens.count > 1 else { return [] }
  return PassContext.inference {
    let hidden = model.hiddenStates(
      tokens, packing: Packing(lengths: [tokens.count]), rows: Array(0..<tokens.count - 1))
    return headLoss(model, hidden, targets: Array(tokens.dropFirst()), scale: 1).logProbabilities
  }
}
