// Twenty steps of PEFT on the demo model, repeated by our trainer from the same first adapter.

import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import LoRATraining
import Testing

@Suite(.enabled(if: demoModelPath() != nil, "the demo model is not there: run make test"))
struct ParityTests {
  private static let targets = TargetModules.names([
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
  ])

  /// The formula of Scripts/fixtures/peft_parity.py.
  private func splitmix(_ value: UInt64) -> UInt64 {
    var x = value &+ 0x9E37_79B9_7F4A_7C15
    x = (x ^ (x >> 30)) &* 0xBF58_476D_1CE4_E5B9
    x = (x ^ (x >> 27)) &* 0x94D0_49BB_1331_11EB
    return x ^ (x >> 31)
  }

  private func setInitialAdapter(_ model: Llama, seed: UInt64) {
    let pairs = model.adapterPairs("x").sorted {
      $0.path.utf8.lexicographicallyPrecedes($1.path.utf8)
    }
    for (module, entry) in pairs.enumerated() {
      let shape = entry.pair.a.value.shape
      let bound = 2 / Double(shape[1]).squareRoot()
      let first = seed &+ UInt64(module) << 32
      let values = (0..<shape.count).map { index in
        let z = splitmix(first &+ UInt64(index))
        return Float((Double(z >> 40) / 16_777_216 - 0.5) * bound)
      }
      entry.pair.a.load(Tensor(values, shape: shape))
    }
  }

  private func example(_ row: JSONValue, line: Int) throws -> Example {
    let object = try #require(row.objectValue)
    let ids = try #require(object["ids"]?.arrayValue).compactMap { $0.integerValue }
    let mask = try #require(object["mask"]?.arrayValue).compactMap { $0.integerValue }
    return Example(tokens: ids.map(Int32.init), mask: mask.map { $0 == 1 }, line: line, file: "")
  }

  /// Loss within 1e-3 relative and gradient norm within 1% of PEFT at every step, float32 (measured:
  /// 2e-5 and 3e-5); the final factors' norms within 1%, the held-out row's log-probabilities within
  /// 0.02, because AdamW divides by √v: where a gradient is nearly 0, its rounding decides a step.
  @Test func twentyStepsEqualPEFT() throws {
    let reference = try JSONValue(parsing: Fixture.text("smollm2/peft_parity.json"))
    let object = try #require(reference.objectValue)
    let path = try #require(demoModelPath())
    let model = try Llama(gguf: GGUFFile(contentsOf: path), computeType: .float32)
    try model.addAdapter(
      "x", LoRAConfiguration(rank: 8, alpha: 16, targets: Self.targets), seed: 1)
    setInitialAdapter(model, seed: UInt64(try #require(object["seed"]?.integerValue)))

    let rows = try #require(object["rows"]?.arrayValue)
    let examples = try rows.enumerated().map { try example($1, line: $0 + 1) }
    let heldOut = try #require(object["held_out"]?.objectValue)
    let heldOutTokens = try example(.object(heldOut), line: 0).tokens
    let before = try #require(heldOut["before"]?.arrayValue).compactMap(\.numberValue)
    expectClose(
      actual: logProbabilities(model, tokens: heldOutTokens), expected: before.map(Float.init),
      atol: 1e-3, rtol: 0, name: "held-out row before")

    var options = TrainingOptions()
    options.batchSize = 4
    let trainer = try Trainer(model, examples: examples, options: options)
    var worstLoss = 0.0
    var worstNorm = 0.0
    let steps = try #require(object["steps"]?.arrayValue).compactMap(\.objectValue)
    #expect(steps.count == 20)
    for (index, step) in steps.enumerated() {
      let loss = try #require(step["loss"]?.numberValue)
      let norm = try #require(step["grad_norm"]?.numberValue)
      let report = try trainer.run(
        step: index, indices: Array(index * 4..<index * 4 + 4),
        learningRate: try #require(step["learning_rate"]?.numberValue), epoch: 0)
      #expect(report.supervisedTokens == step["supervised_tokens"]?.integerValue)
      worstLoss = max(worstLoss, abs(report.loss - loss) / loss)
      worstNorm = max(worstNorm, abs(report.gradNorm - norm) / norm)
      #expect(abs(report.loss - loss) <= 1e-3 * loss, "step \(index)")
      #expect(abs(report.gradNorm - norm) <= 1e-2 * norm, "step \(index)")
    }
    print("PEFT parity: loss within \(worstLoss), gradient norm within \(worstNorm) (relative)")

    let norms = try #require(object["adapter"]?.objectValue)
    for (path, pair) in model.adapterPairs("x") {
      let expected = try #require(norms[path]?.objectValue)
      for (name, parameter) in [("normA", pair.a), ("normB", pair.b)] {
        let value = try #require(expected[name]?.numberValue)
        let actual = Double(globalNorm([parameter.value]))
        #expect(abs(actual - value) <= 0.01 * value, "\(name) of \(path)")
      }
    }
    let after = try #require(heldOut["after"]?.arrayValue).compactMap(\.numberValue)
    expectClose(
      actual: logProbabilities(model, tokens: heldOutTokens), expected: after.map(Float.init),
      atol: 0.02, rtol: 0, name: "held-out row after")
  }
}
