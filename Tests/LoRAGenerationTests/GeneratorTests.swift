// Generation on a tiny model: batches, limits, stop tokens, sampling.

import Foundation
import LoRAFormats
import LoRAGeneration
import LoRAModels
import LoRATensor
import LoRATestSupport
import Testing

struct GeneratorTests {
  private func model() throws -> Llama {
    try Llama(gguf: GGUFFile(contentsOf: Fixture.path("adapters/base.gguf")), computeType: .float32)
  }

  private let prompts: [[Int32]] = [[1, 2, 3], [7], [5, 6, 7, 8, 9, 10, 11], [0, 39], [12, 3]]

  /// The most probable next token again and again, the whole text computed anew each time.
  private func greedy(_ model: Llama, _ prompt: [Int32], _ count: Int) -> [Int32] {
    var tokens = prompt
    for _ in 0..<count {
      let hidden = model.hiddenStates(
        tokens, packing: Packing(lengths: [tokens.count]), rows: [tokens.count - 1])
      let logits = model.logits(hidden).elements
      tokens.append(Int32(logits.indices.max { logits[$0] < logits[$1] } ?? 0))
    }
    return Array(tokens.suffix(count))
  }

  @Test(arguments: [1, 2, 16]) func greedyEqualsTheWholeTextAnew(batchSize: Int) throws {
    let model = try model()
    let generator = Generator(model: model, stopTokens: [], batchSize: batchSize)
    var streamed = prompts.map { _ in [Int32]() }
    let results = try generator.generate(prompts, maxTokens: 9) { streamed[$0].append($1) }
    for (index, prompt) in prompts.enumerated() {
      #expect(results[index].tokens == greedy(model, prompt, 9))
      #expect(results[index].finishReason == .length)
      #expect(streamed[index] == results[index].tokens)
    }
  }

  @Test func aStopTokenEndsItsSequenceAlone() throws {
    let model = try model()
    let expected = prompts.map { greedy(model, $0, 9) }
    let stop = expected[0][4]
    let results = try Generator(model: model, stopTokens: [stop]).generate(prompts, maxTokens: 9)
    for (result, tokens) in zip(results, expected) {
      let place = tokens.firstIndex(of: stop)
      #expect(result.tokens == Array(tokens[..<(place ?? 9)]))
      #expect(result.finishReason == (place == nil ? .length : .stop))
    }
  }

  @Test func samplingFollowsTheSeedOnly() throws {
    let model = try model()
    let sampling = SamplingOptions(temperature: 1, topP: 0.9, seed: 3)
    func run(_ batchSize: Int, _ sampling: SamplingOptions) throws -> [[Int32]] {
      try Generator(model: model, stopTokens: [], batchSize: batchSize).generate(
        prompts, options: GenerationOptions(maxTokens: 8, sampling: sampling)
      ).map(\.tokens)
    }
    let first = try run(16, sampling)
    #expect(try run(2, sampling) == first)
    #expect(try run(16, SamplingOptions(temperature: 1, topP: 0.9, seed: 4)) != first)
    // A nucleus that only the best token fits in is greedy.
    let narrow = try run(16, SamplingOptions(temperature: 1, topP: 1e-6, seed: 4))
    #expect(narrow == prompts.map { greedy(model, $0, 8) })
  }

  /// The share of draws follows the probabilities: 4,000 draws of p = 0.6, 0.3, 0.1.
  @Test func drawsFollowTheProbabilities() {
    let logits: [Float] = [0.6, 0.3, 0.1].map { log($0) }
    var sampler = Sampler(SamplingOptions(temperature: 1, seed: 9))
    var counts = [0, 0, 0]
    for _ in 0..<4000 { counts[Int(sampler.token(logits))] += 1 }
    // Four standard deviations of a binomial share.
    for (count, p) in zip(counts, [0.6, 0.3, 0.1]) {
      #expect(abs(Double(count) / 4000 - p) < 4 * (p * (1 - p) / 4000).squareRoot())
    }
    var nucleus = Sampler(SamplingOptions(temperature: 1, topP: 0.8, seed: 9))
    #expect((0..<1000).allSatisfy { _ in nucleus.token(logits) < 2 })
  }

  @Test func promptsThatCannotBeContinued() throws {
    let generator = Generator(model: try model(), stopTokens: [])
    let empty = #expect(throws: GenerationError.self) {
      try generator.generate([[1], []], maxTokens: 1)
    }
    #expect(empty?.description == "prompt 2 is empty\nhint: give at least one token of text")
    let long = #expect(throws: GenerationError.self) {
      try generator.generate([[1, 2]], maxTokens: 1 << 40)
    }
    #expect(long?.message.hasPrefix("prompt 1 has 2 tokens; with 1099511627776 new ones") == true)
  }

  /// A stop string across the borders of tokens ends its text before it, and no other's.
  @Test func aStopStringEndsItsText() throws {
    // Token 7 is "7,": no border of a token is one of the strings searched for.
    let generator = Generator(model: try model(), stopTokens: []) { Array("\($0),".utf8) }
    let whole = try generator.generate(prompts, maxTokens: 9)
    #expect(whole.map(\.text) == whole.map { $0.tokens.map { "\($0)," }.joined() })
    let text = whole[0].text
    let stop = String(text.dropFirst(text.utf8.count / 2).prefix(4))
    var streamed = prompts.map { _ in [UInt8]() }
    let results = try generator.generate(
      prompts, options: GenerationOptions(maxTokens: 9, stop: ["nowhere", stop]),
      onBytes: { streamed[$0] += $1 })
    for (result, whole) in zip(results, whole) {
      let end = whole.text.firstRange(of: stop)
      #expect(result.text == whole.text[..<(end?.lowerBound ?? whole.text.endIndex)])
      #expect(result.finishReason == (end == nil ? .length : .stop))
      #expect(whole.tokens.starts(with: result.tokens))
      #expect(end != nil || result.tokens.count == 9)
    }
    #expect(streamed == results.map(\.bytes))
    #expect(results[0].tokens.count < 9)
  }

  /// The log-probabilities are those of the whole text computed anew, whatever the sampler does.
  @Test func logprobsAreTheModelsOwn() throws {
    let model = try model()
    let sampling = SamplingOptions(temperature: 2, topK: 9, repetitionPenalty: 1.5, seed: 3)
    let results = try Generator(model: model, stopTokens: []).generate(
      prompts, options: GenerationOptions(maxTokens: 6, sampling: sampling, logprobs: 3))
    for (prompt, result) in zip(prompts, results) {
      #expect(result.logprobs.count == 6 && result.alternatives.count == 6)
      var tokens = prompt
      for (place, token) in result.tokens.enumerated() {
        let hidden = model.hiddenStates(
          tokens, packing: Packing(lengths: [tokens.count]), rows: [tokens.count - 1])
        let logits = model.logits(hidden).elements.map(Double.init)
        let all = logits.map { $0 - log(logits.reduce(0) { $0 + exp($1) }) }
        #expect(abs(Double(result.logprobs[place]) - all[Int(token)]) < 1e-4)
        let best = all.indices.sorted { (all[$1], $0) < (all[$0], $1) }.prefix(3)
        #expect(result.alternatives[place].map { Int($0.token) } == Array(best))
        for (index, alternative) in zip(best, result.alternatives[place]) {
          #expect(abs(Double(alternative.logprob) - all[index]) < 1e-4)
        }
        tokens.append(token)
      }
    }
    #expect(
      try Generator(model: model, stopTokens: []).generate(prompts, maxTokens: 2)
        .allSatisfy { $0.logprobs.isEmpty && $0.alternatives.isEmpty })
  }

  /// Several answers to one prompt differ, and do not depend on how many there are.
  @Test func anAnswerDoesNotDependOnTheirNumber() throws {
    let generator = Generator(model: try model(), stopTokens: [], batchSize: 4)
    let options = GenerationOptions(maxTokens: 8, sampling: .init(temperature: 1, seed: 5))
    let all = try generator.generate(Array(repeating: prompts[0], count: 7), options: options)
      .map(\.tokens)
    #expect(Set(all).count == 7)
    for count in 1..<7 {
      let some = try generator.generate(
        Array(repeating: prompts[0], count: count), options: options)
      #expect(some.map(\.tokens) == Array(all.prefix(count)))
    }
  }

  @Test func optionsOutOfRange() throws {
    let generator = Generator(model: try model(), stopTokens: [])
    let cases: [(GenerationOptions, String)] = [
      (.init(maxTokens: 0), "max_tokens is 0\nhint: give 1 or more"),
      (
        .init(sampling: .init(temperature: -.infinity)),
        "temperature is -inf\nhint: give 0 or more"
      ),
      (.init(sampling: .init(temperature: .nan)), "temperature is nan\nhint: give 0 or more"),
      (.init(sampling: .init(topK: -1)), "top_k is -1\nhint: give 1 or more, or 0 for all tokens"),
      (.init(sampling: .init(topP: 0)), "top_p is 0.0\nhint: give more than 0, at most 1"),
      (.init(sampling: .init(topP: 1.1)), "top_p is 1.1\nhint: give more than 0, at most 1"),
      (.init(sampling: .init(minP: -0.1)), "min_p is -0.1\nhint: give 0 to 1"),
      (.init(sampling: .init(minP: .nan)), "min_p is nan\nhint: give 0 to 1"),
      (
        .init(sampling: .init(repetitionPenalty: 0)),
        "repetition_penalty is 0.0\nhint: give more than 0: above 1 makes repetition rarer"
      ),
      (.init(stop: ["a", ""]), "stop is empty\nhint: give the text that ends the answer"),
      (
        .init(logprobs: 21), "logprobs is 21\nhint: give 0 to 20 alternatives of each token"
      ),
    ]
    for (options, message) in cases {
      let error = #expect(throws: GenerationError.self) {
        try generator.generate([[1]], options: options)
      }
      #expect(error?.description == message)
    }
  }
}
