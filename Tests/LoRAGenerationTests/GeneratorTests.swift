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
        prompts, maxTokens: 8, sampling: sampling
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

  @Test func noTokensAskedForAreNone() throws {
    let results = try Generator(model: model(), stopTokens: []).generate([[1]], maxTokens: 0)
    #expect(results.map(\.tokens) == [[]])
  }
}
