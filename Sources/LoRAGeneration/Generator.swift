// Generation: prompts in, tokens out, several sequences side by side.

import LoRAAdapters
public import LoRAModels
import LoRANN
import LoRATensor

/// What came of one prompt.
public struct Generation: Sendable {
  /// Why it ended.
  public enum FinishReason: String, Sendable {
    /// The model ended its turn.
    case stop
    /// The limit of tokens was reached.
    case length
  }

  /// The new tokens, without the one that ended the turn.
  public let tokens: [Int32]
  /// Why it ended.
  public let finishReason: FinishReason
}

/// A prompt that cannot be continued.
public struct GenerationError: Error, Hashable, CustomStringConvertible {
  /// What is wrong.
  public let message: String
  /// What to do.
  public let hint: String
  /// The message and the hint.
  public var description: String { "\(message)\nhint: \(hint)" }
}

/// Continues prompts with a model.
public struct Generator {
  private let model: Llama
  private let stopTokens: Set<Int32>
  /// Prompts that run together; more share the weights' way through the caches, but need memory.
  private let batchSize: Int

  /// A generator that ends a text at any of `stopTokens`.
  public init(model: Llama, stopTokens: Set<Int32>, batchSize: Int = 16) {
    self.model = model
    self.stopTokens = stopTokens
    self.batchSize = max(1, batchSize)
  }

  /// Continues each prompt by at most `maxTokens` tokens.
  ///
  /// A prompt's result does not depend on the prompts beside it when greedy; when sampling, each has
  /// random numbers of its own.
  /// - Parameters:
  ///   - adapters: the adapter of each prompt, nil for the model alone; unset, the active ones.
  ///   - onToken: called with (prompt's index, token) as tokens come.
  ///   - onFinish: called with the number of prompts that are done.
  /// - Throws: `GenerationError` for an empty prompt or one longer than the model's context;
  ///   `AdapterError` for an adapter that the model does not have.
  public func generate(
    _ prompts: [[Int32]], adapters: [String?]? = nil, maxTokens: Int,
    sampling: SamplingOptions = .init(), onToken: (Int, Int32) -> Void = { _, _ in },
    onFinish: (Int) -> Void = { _ in }
  ) throws -> [Generation] {
    if let adapters { try model.checkChoice(of: adapters, sequences: prompts.count) }
    for (index, prompt) in prompts.enumerated() {
      try validate(prompt, index: index, maxTokens: maxTokens)
    }
    var results: [Generation] = []
    for start in stride(from: 0, to: prompts.count, by: batchSize) {
      let range = start..<min(start + batchSize, prompts.count)
      results += run(
        Array(prompts[range]), adapters: adapters.map { Array($0[range]) }, first: start,
        maxTokens: maxTokens, sampling: sampling, onToken: onToken)
      onFinish(range.upperBound)
    }
    return results
  }

  private func validate(_ prompt: [Int32], index: Int, maxTokens: Int) throws {
    let limit = model.configuration.contextLength
    guard !prompt.isEmpty else {
      throw GenerationError(
        message: "prompt \(index + 1) is empty", hint: "give at least one token of text")
    }
    guard prompt.count + maxTokens <= limit else {
      throw GenerationError(
        message:
          "prompt \(index + 1) has \(prompt.count) tokens; with \(maxTokens) new ones that is more "
          + "than the model's context of \(limit)",
        hint: "shorten the prompt or lower --max-tokens")
    }
  }

  private func run(
    _ prompts: [[Int32]], adapters: [String?]?, first: Int, maxTokens: Int,
    sampling: SamplingOptions,
    onToken: (Int, Int32) -> Void
  ) -> [Generation] {
    let configuration = model.configuration
    let cache = KVCache(
      layers: configuration.layerCount, capacities: prompts.map { $0.count + maxTokens },
      keyWidth: configuration.keyValueHeadCount * configuration.headDimension,
      dtype: model.computeType)
    var samplers = prompts.indices.map { index in
      var options = sampling
      options.seed &+= UInt64(first + index) &* 0x9E37_79B9_7F4A_7C15
      return Sampler(options)
    }
    var outputs = prompts.map { _ in [Int32]() }
    var reasons = prompts.map { _ in Generation.FinishReason.length }
    var running = maxTokens > 0 ? Array(prompts.indices) : []
    var next = prompts
    while !running.isEmpty {
      cache.rows = running
      let packing = Packing(lengths: running.map { next[$0].count })
      let last = (1...running.count).map { Int(packing.starts[$0]) - 1 }
      let logits = Engine.run {
        PassContext.inference {
          PassContext.with({ context in
            if let adapters {
              context.adapters = AdapterRows(
                adapters: running.map { adapters[$0] }, starts: packing.starts)
            }
          }) {
            let hidden = model.hiddenStates(
              running.flatMap { next[$0] }, packing: packing, cache: cache, rows: last)
            return PassContext.picking(last) { model.nextTokenLogits(hidden) }
          }
        }
      }
      var still: [Int] = []
      for (row, index) in running.enumerated() {
        let token = samplers[index].token(logits.rows(row..<row + 1).elements)
        if stopTokens.contains(token) {
          reasons[index] = .stop
          continue
        }
        outputs[index].append(token)
        onToken(first + index, token)
        next[index] = [token]
        if outputs[index].count < maxTokens { still.append(index) }
      }
      running = still
    }
    return zip(outputs, reasons).map { Generation(tokens: $0, finishReason: $1) }
  }
}
