// Generation: prompts in, tokens out, several sequences side by side.

import LoRAAdapters
public import LoRAModels
import LoRANN
import LoRATensor

/// What came of one prompt.
public struct Generation: Sendable {
  /// Why it ended.
  public enum FinishReason: String, Sendable {
    /// The model ended its turn, or a stop string came.
    case stop
    /// The limit of tokens was reached.
    case length
  }

  /// The new tokens, without the one that ended the turn; those of a stop string are among them.
  public fileprivate(set) var tokens: [Int32] = []
  /// The bytes of the text, which ends before a stop string; UTF-8 as far as the model's tokens are.
  public fileprivate(set) var bytes: [UInt8] = []
  /// Why it ended.
  public fileprivate(set) var finishReason = FinishReason.length
  /// The log-probability of each token, where they were asked for.
  public fileprivate(set) var logprobs: [Float] = []
  /// At each token's place the most probable ones, where they were asked for.
  public fileprivate(set) var alternatives: [[TokenLogprob]] = []

  /// The text; U+FFFD where its bytes are not UTF-8.
  public var text: String { String(decoding: bytes, as: UTF8.self) }
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
  private let bytesOfToken: (Int32) -> [UInt8]
  /// Prompts that run together; more share the weights' way through the caches, but need memory.
  private let batchSize: Int

  /// A generator that ends a text at any of `stopTokens`.
  ///
  /// - Parameter bytesOfToken: what a token adds to the text; needed for stop strings.
  public init(
    model: Llama, stopTokens: Set<Int32>, batchSize: Int = 16,
    bytesOfToken: @escaping (Int32) -> [UInt8] = { _ in [] }
  ) {
    self.model = model
    self.stopTokens = stopTokens
    self.bytesOfToken = bytesOfToken
    self.batchSize = max(1, batchSize)
  }

  /// Continues each prompt greedily by at most `maxTokens` tokens.
  public func generate(
    _ prompts: [[Int32]], adapters: [String?]? = nil, maxTokens: Int,
    onToken: (Int, Int32) -> Void = { _, _ in }
  ) throws -> [Generation] {
    try generate(
      prompts, adapters: adapters, options: GenerationOptions(maxTokens: maxTokens),
      onToken: onToken)
  }

  /// Continues each prompt.
  ///
  /// A prompt's result does not depend on the prompts beside it, nor on their number; each has random
  /// numbers of its own, by its place.
  /// - Parameters:
  ///   - adapters: the adapter of each prompt, nil for the model alone; unset, the active ones.
  ///   - onToken: called with (prompt's index, token) as tokens come.
  ///   - onBytes: called with (prompt's index, bytes) as it becomes certain that they are of the text.
  ///   - onFinish: called with the number of prompts that are done.
  /// - Throws: `GenerationError` for an option out of range, an empty prompt or one longer than the model's context;
  ///   `AdapterError` for an adapter that the model does not have.
  public func generate(
    _ prompts: [[Int32]], adapters: [String?]? = nil, options: GenerationOptions,
    onToken: (Int, Int32) -> Void = { _, _ in }, onBytes: (Int, [UInt8]) -> Void = { _, _ in },
    onFinish: (Int) -> Void = { _ in }
  ) throws -> [Generation] {
    if let problem = options.problems.first {
      throw GenerationError(
        message: "\(problem.setting) is \(problem.value)", hint: problem.hint)
    }
    if let adapters { try model.checkChoice(of: adapters, sequences: prompts.count) }
    for (index, prompt) in prompts.enumerated() {
      try validate(prompt, index: index, maxTokens: options.maxTokens)
    }
    var results: [Generation] = []
    for start in stride(from: 0, to: prompts.count, by: batchSize) {
      let range = start..<min(start + batchSize, prompts.count)
      results += run(
        Array(prompts[range]), adapters: adapters.map { Array($0[range]) }, first: start,
        options: options, onToken: onToken, onBytes: onBytes)
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
    _ prompts: [[Int32]], adapters: [String?]?, first: Int, options: GenerationOptions,
    onToken: (Int, Int32) -> Void, onBytes: (Int, [UInt8]) -> Void
  ) -> [Generation] {
    let configuration = model.configuration
    let cache = KVCache(
      layers: configuration.layerCount, capacities: prompts.map { $0.count + options.maxTokens },
      keyWidth: configuration.keyValueHeadCount * configuration.headDimension,
      dtype: model.computeType)
    var answers = prompts.enumerated().map { index, prompt in
      Answer(
        sampler: Sampler(options.sampling.ofAnswer(first + index), prompt: prompt),
        stops: StopMatcher(options.stop))
    }
    var running = Array(prompts.indices)
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
        let logits = logits.rows(row..<row + 1).elements
        let token = answers[index].sampler.token(logits)
        if stopTokens.contains(token) {
          answers[index].generation.finishReason = .stop
        } else {
          let bytes = answers[index].add(token, bytesOfToken(token), logits, options.logprobs)
          onToken(first + index, token)
          onBytes(first + index, bytes)
          next[index] = [token]
        }
        if answers[index].isOver(options.maxTokens) {
          onBytes(first + index, answers[index].finish())
        } else {
          still.append(index)
        }
      }
      running = still
    }
    return answers.map(\.generation)
  }
}

/// One text on its way.
private struct Answer {
  var sampler: Sampler
  var stops: StopMatcher
  var generation = Generation()

  /// Takes a token; gives back the bytes that are now certain.
  mutating func add(
    _ token: Int32, _ bytes: [UInt8], _ logits: [Float], _ alternatives: Int?
  ) -> [UInt8] {
    generation.tokens.append(token)
    if let alternatives {
      let (logprob, best) = logits.logprobs(of: token, alternatives: alternatives)
      generation.logprobs.append(logprob)
      generation.alternatives.append(best)
    }
    let certain = stops.append(bytes)
    generation.bytes += certain
    if stops.isStopped { generation.finishReason = .stop }
    return certain
  }

  func isOver(_ maxTokens: Int) -> Bool {
    generation.finishReason == .stop || generation.tokens.count >= maxTokens
  }

  mutating func finish() -> [UInt8] {
    let rest = stops.finish()
    generation.bytes += rest
    return rest
  }
}
