// SmolLM2-135M against transformers on the same dequantised weights.

import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

@Suite(.enabled(if: demoModelPath() != nil, "the demo model is not there: run make test"))
struct SmolLM2Tests {
  private static func model(_ type: DType) throws -> Llama {
    let path = try #require(demoModelPath())
    return try Llama(gguf: GGUFFile(contentsOf: path), computeType: type)
  }

  private func reference() throws -> JSONValue {
    try JSONValue(parsing: Fixture.text("smollm2/logprobs.json"))
  }

  private func logProbabilities(_ model: Llama, _ ids: [Int32]) -> [Float] {
    let hidden = model.hiddenStates(ids, packing: Packing(lengths: [ids.count]))
    let all = model.logits(hidden).logSoftmax()
    return (1..<ids.count).map { all.rows($0 - 1..<$0).elements[Int(ids[$0])] }
  }

  /// float32: |Δ log p| ≤ 1e-3 at every position; bfloat16: its rounding (2^-9 of each activation,
  /// through 30 layers) moves log p by 0.015 on average, by 0.33 at most where p is small.
  @Test(arguments: [(DType.float32, Float(1e-3)), (DType.bfloat16, Float(0.5))])
  func logProbabilitiesEqualTransformers(type: DType, tolerance: Float) throws {
    let model = try Self.model(type)
    let texts = try #require(reference().objectValue?["texts"]?.arrayValue)
    #expect(texts.count == 8)
    var worst: Float = 0
    var total: Float = 0
    var count = 0
    for text in texts {
      let object = try #require(text.objectValue)
      let ids = try #require(object["ids"]?.arrayValue).compactMap {
        $0.integerValue.map(Int32.init)
      }
      let expected = try #require(object["logprobs"]?.arrayValue).compactMap { $0.numberValue }
        .map(Float.init)
      guard ids.count > 1 else { continue }
      let actual = logProbabilities(model, ids)
      expectClose(
        actual: actual, expected: Array(expected.suffix(actual.count)), atol: tolerance, rtol: 0,
        name: object["name"]?.stringValue ?? "text")
      for (a, e) in zip(actual, expected.suffix(actual.count)) {
        worst = max(worst, abs(a - e))
        total += abs(a - e)
        count += 1
      }
    }
    #expect(total / Float(count) <= tolerance / 20)
    print("SmolLM2 \(type.rawValue): |Δ log p| at most \(worst), mean \(total / Float(count))")
  }

  /// Greedy decoding with a cache equals decoding without one, and transformers' text.
  @Test func greedyWithCacheEqualsWithout() throws {
    let model = try Self.model(.float32)
    let prompts = try #require(reference().objectValue?["greedy"]?.arrayValue)
    let ids = try prompts.map { prompt in
      try #require(prompt.objectValue?["ids"]?.arrayValue).compactMap {
        $0.integerValue.map(Int32.init)
      }
    }
    let expected = try prompts.map { prompt in
      try #require(prompt.objectValue?["continuation"]?.arrayValue).compactMap {
        $0.integerValue.map(Int32.init)
      }
    }
    let configuration = model.configuration
    let cache = KVCache(
      layers: configuration.layerCount, capacities: ids.map { $0.count + 24 },
      keyWidth: configuration.keyValueHeadCount * configuration.headDimension, dtype: .float32)
    var outputs = ids.map { _ in [Int32]() }
    var tokens = ids
    for _ in 0..<24 {
      let packing = Packing(lengths: tokens.map(\.count))
      let last = (1...tokens.count).map { Int(packing.starts[$0]) - 1 }
      let hidden = model.hiddenStates(
        tokens.flatMap { $0 }, packing: packing, cache: cache, rows: last)
      let logits = model.logits(hidden)
      for i in tokens.indices {
        let next = argmax(logits.rows(i..<i + 1).elements)
        outputs[i].append(next)
        tokens[i] = [next]
      }
    }
    for i in ids.indices {
      #expect(outputs[i] == Array(expected[i].prefix(24)))
      var whole = ids[i]
      for _ in 0..<8 {
        let hidden = model.hiddenStates(
          whole, packing: Packing(lengths: [whole.count]), rows: [whole.count - 1])
        whole.append(argmax(model.logits(hidden).elements))
      }
      #expect(Array(whole.suffix(8)) == Array(outputs[i].prefix(8)))
    }
  }

  /// Token by token on stored weights gives the log-probabilities of the whole text at once: float32
  /// as exactly as transformers' are met, bfloat16 within what its rounding moves anyway. Blocks that
  /// are decoded in registers give the bits of weights that were converted when loading.
  @Test(arguments: [(DType.float32, Float(1e-3)), (DType.bfloat16, Float(0.5))])
  func tokenByTokenEqualsTheWholeText(type: DType, tolerance: Float) throws {
    let path = try #require(demoModelPath())
    let stored = try Llama(
      gguf: GGUFFile(contentsOf: path), computeType: type, asStored: true)
    let resident = try Self.model(type)
    let texts = try #require(reference().objectValue?["texts"]?.arrayValue)
    var (worst, total, count) = (Float(0), Float(0), Float(0))
    for text in texts {
      let ids = try #require(text.objectValue?["ids"]?.arrayValue).compactMap {
        $0.integerValue.map(Int32.init)
      }
      guard ids.count > 4 else { continue }
      let whole = Array(logProbabilities(resident, ids).dropFirst(3))
      let single = stepwise(stored, ids)
      #expect(single == stepwise(resident, ids))
      expectClose(actual: single, expected: whole, atol: tolerance, rtol: 0)
      for (a, b) in zip(single, whole) {
        worst = max(worst, abs(a - b))
        total += abs(a - b)
        count += 1
      }
    }
    #expect(total / count <= tolerance / 20)
    print("token by token, \(type.rawValue): |Δ log p| at most \(worst), mean \(total / count)")
  }

  /// log p of the tokens from the fifth on, each pass bringing one after a prompt of four.
  private func stepwise(_ model: Llama, _ ids: [Int32]) -> [Float] {
    let sizes = model.configuration
    let cache = KVCache(
      layers: sizes.layerCount, capacities: [ids.count],
      keyWidth: sizes.keyValueHeadCount * sizes.headDimension, dtype: model.computeType)
    var next = Array(ids.prefix(4))
    return ids.dropFirst(4).map { target in
      let hidden = model.hiddenStates(
        next, packing: Packing(lengths: [next.count]), cache: cache, rows: [next.count - 1])
      next = [target]
      return model.nextTokenLogits(hidden).logSoftmax().elements[Int(target)]
    }
  }

  private func argmax(_ values: [Float]) -> Int32 {
    Int32(values.indices.max { values[$0] < values[$1] } ?? 0)
  }
}
