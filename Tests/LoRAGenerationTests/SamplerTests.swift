// The filters of the sampler against transformers' own chain of processors, every element.

import Foundation
import LoRAGeneration
import LoRAJSON
import LoRATestSupport
import Testing

struct SamplerTests {
  private func floats(_ value: JSONValue?) -> [Float] {
    (value?.arrayValue ?? []).map { $0.numberValue.map { Float($0) } ?? -.infinity }
  }

  /// 4 rows of logits (wide, many equals, all equal, one peak), 39 settings of each, with edge values:
  /// top_k of the whole vocabulary and above, min_p of 0 and 1, top_p of nearly 0.
  @Test func equalsTransformers() throws {
    let fixture = try #require(
      try JSONValue(parsing: Fixture.text("sampling/scores.json")).objectValue)
    let context = try #require(fixture["context"]?.arrayValue).compactMap {
      $0.integerValue.map(Int32.init)
    }
    let cases = try #require(fixture["cases"]?.arrayValue)
    #expect(cases.count == 156 && context.count == 7)
    for entry in cases {
      let options = try #require(entry.objectValue?["options"]?.objectValue)
      let row = try #require(entry.objectValue?["row"]?.stringValue)
      func number(_ key: String) -> Double? { options[key]?.numberValue }
      let sampler = Sampler(
        SamplingOptions(
          temperature: number("temperature") ?? 1, topK: options["top_k"]?.integerValue ?? 0,
          topP: number("top_p") ?? 1, minP: number("min_p") ?? 0,
          repetitionPenalty: number("repetition_penalty") ?? 1), prompt: context)
      let scores = sampler.scores(floats(fixture["rows"]?.objectValue?[row]))
      let expected = floats(entry.objectValue?["scores"])
      // Which of equals at top-p's border stays is up to PyTorch's sorting, which is not stable.
      let isFree = options["top_p"] != nil && row != "wide"
      expectClose(
        actual: isFree ? scores.sorted() : scores,
        expected: isFree ? expected.sorted() : expected, atol: 0, rtol: 0,
        name: "\(row) \(JSONValue.object(options).serialized(.compact))")
    }
  }

  /// A large k sorts, a small one does not: the same is kept.
  @Test func topKOfAnySize() {
    let logits = (0..<2000).map { Float(($0 * 7919) % 1000) }
    for k in [1, 3, 256, 257, 999, 1999, 2000] {
      let kept = Sampler(SamplingOptions(temperature: 1, topK: k)).scores(logits)
      let limit = logits.sorted(by: >)[k - 1]
      #expect(kept == logits.map { $0 < limit ? -.infinity : $0 }, "\(k)")
    }
  }

  /// The penalty acts on what was generated too, and without a temperature.
  @Test func thePenaltyRemembersWhatWasGenerated() {
    let logits: [Float] = [4, 3.9, 3.8, -1]
    var sampler = Sampler(SamplingOptions(repetitionPenalty: 1.5))
    #expect((0..<4).map { _ in sampler.token(logits) } == [0, 1, 2, 0])
    var prompted = Sampler(SamplingOptions(repetitionPenalty: 1.5), prompt: [0, 99])
    #expect(prompted.token(logits) == 1)
  }

  /// What is filtered out is never drawn.
  @Test func drawsStayWithinTheFilters() {
    let logits: [Float] = [0.4, 0.3, 0.2, 0.1].map { log($0) }
    for options in [
      SamplingOptions(temperature: 1, topK: 2), SamplingOptions(temperature: 1, topP: 0.6),
      SamplingOptions(temperature: 1, minP: 0.7),
    ] {
      var sampler = Sampler(options)
      let drawn = Set((0..<500).map { _ in sampler.token(logits) })
      #expect(drawn == [0, 1])
    }
    // As small as a temperature can be, it is greedy.
    var cold = Sampler(SamplingOptions(temperature: 1e-30))
    #expect((0..<20).allSatisfy { _ in cold.token(logits) == 0 })
  }
}
