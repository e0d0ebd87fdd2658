// What an adapter trains beside the pairs of linear layers: embeddings, the head, whole modules,
// tokens; and what becomes of it when adapters come and go.

import Foundation
import LoRAAdapters
import LoRAFormats
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

@Suite struct TrainedPartsTests {
  static let kinds: [(name: String, change: @Sendable (inout LoRAConfiguration) -> Void)] = [
    ("embedding", { $0.targets = .names(["embed_tokens", "q_proj"]) }),
    (
      "DoRA's embedding",
      {
        $0.targets = .names(["embed_tokens", "q_proj"])
        $0.usesDoRA = true
      }
    ),
    ("head", { $0.targets = .names(["lm_head", "q_proj"]) }),
    ("whole head", { $0.modulesToSave = ["lm_head"] }),
    ("whole embedding", { $0.modulesToSave = ["embed_tokens"] }),
    ("norms", { $0.modulesToSave = ["norm"] }),
    ("tokens", { $0.trainedTokens = [TrainedTokens([5, 17, 0])] }),
  ]

  private func configuration(_ kind: Int) -> LoRAConfiguration {
    var configuration = LoRAConfiguration(rank: 2, alpha: 4, targets: .names(["q_proj"]))
    Self.kinds[kind].change(&configuration)
    return configuration
  }

  /// Moves everything that is trained.
  private func shake(_ model: Llama, _ name: String, seed: UInt64) {
    var random = Random(seed: seed)
    for parameter in ModuleMap(model).parameters(of: name) {
      parameter.load(parameter.value + random.normal(parameter.value.shape, deviation: 0.2))
    }
  }

  @Test(arguments: kinds.indices) func comesAndGoes(kind: Int) throws {
    let model = try tinyModel()
    let base = try logits(model)
    let paths = model.namedParameters.map(\.path)
    let summary = try model.addAdapter("a", configuration(kind), seed: 1)
    #expect(summary.trainableParameterCount == summary.parameterCount)
    #expect(
      summary.parameterCount
        == model.trainableParameters.reduce(0) { $0 + $1.parameter.value.count })
    #expect(model.trainableParameters.allSatisfy { $0.path.isPathOfAdapter })
    // DoRA's m/n is 1 up to rounding.
    expectClose(
      actual: try logits(model), expected: base, atol: configuration(kind).usesDoRA ? 5e-6 : 0,
      rtol: 0)
    shake(model, "a", seed: 2)
    let adapted = try logits(model)
    #expect(zip(adapted, base).contains { abs($0 - $1) > 0.05 })

    try model.setAdapterEnabled("a", false)
    #expect(try logits(model).map(\.bitPattern) == base.map(\.bitPattern))
    try model.setAdapterEnabled("a", true)
    #expect(try logits(model).map(\.bitPattern) == adapted.map(\.bitPattern))
    model.setAdaptersEnabled(false)
    #expect(try logits(model).map(\.bitPattern) == base.map(\.bitPattern))
    model.setAdaptersEnabled(true)
    #expect(try model.withoutAdapters { try logits(model) } == base)
    #expect(try logits(model).map(\.bitPattern) == adapted.map(\.bitPattern))

    try model.addAdapter("b", LoRAConfiguration(rank: 2, targets: .names(["v_proj"])), seed: 1)
    try model.activateAdapters(["b"])
    #expect(try logits(model).map(\.bitPattern) == base.map(\.bitPattern))
    try model.activateAdapters(["a"])
    #expect(try logits(model).map(\.bitPattern) == adapted.map(\.bitPattern))
    try model.removeAdapter("b")
    try model.renameAdapter("a", to: "c")
    #expect(model.adapterNames == ["c"])
    #expect(try logits(model).map(\.bitPattern) == adapted.map(\.bitPattern))
    try model.removeAdapter("c")
    #expect(try logits(model).map(\.bitPattern) == base.map(\.bitPattern))
    #expect(model.namedParameters.map(\.path) == paths)
  }

  @Test(arguments: kinds.indices) func savedAndLoadedIsTheSame(kind: Int) throws {
    let model = try tinyModel()
    try model.addAdapter("a", configuration(kind), seed: 1)
    shake(model, "a", seed: 2)
    let folder = try TemporaryFolder()
    try model.saveAdapter("a", configuration(kind), to: folder.path)
    let other = try tinyModel()
    let loaded = try other.loadAdapter("b", from: folder.path, isTrainable: true)
    #expect(loaded.configuration == configuration(kind))
    #expect(loaded.summary.warnings == [])
    #expect(loaded.summary.trainableParameterCount == loaded.summary.parameterCount)
    #expect(try logits(other).map(\.bitPattern) == logits(model).map(\.bitPattern))
  }

  /// Each trained number's gradient against differences of the loss.
  @Test(arguments: kinds.indices) func gradientsAreThoseOfTheLoss(kind: Int) throws {
    let model = try tinyModel()
    try model.addAdapter("a", configuration(kind), seed: 1)
    shake(model, "a", seed: 3)
    let tokens: [Int32] = [1, 5, 17, 39, 0, 5, 28]
    func loss() -> Tensor {
      let hidden = model.hiddenStates(tokens, packing: Packing(lengths: [tokens.count]))
      return logitCrossEntropy(
        model.logits(hidden), targets: tokens.dropFirst() + [2], scale: 1 / Float(tokens.count)
      ).loss
    }
    // No gradient goes through DoRA's norms, which follow A and B: those are compared with PEFT's.
    let parameters = model.trainableParameters.filter {
      !configuration(kind).usesDoRA || $0.path.contains("magnitude")
    }.map(\.parameter)
    let (_, gradients) = valueAndGradient(of: parameters, loss)
    for (parameter, gradient) in zip(parameters, gradients) {
      // The steepest few: differences of a float32 loss say little about small slopes.
      let values = gradient.elements
      let steepest = values.indices.sorted { abs(values[$0]) > abs(values[$1]) }.prefix(3)
      for index in steepest where abs(values[index]) > 1e-2 {
        let original = parameter.value.elements
        func value(_ step: Float) -> Float {
          var moved = original
          moved[index] += step
          parameter.load(Tensor(moved, shape: parameter.value.shape))
          return loss().item
        }
        let slope = (value(1e-3) - value(-1e-3)) / 2e-3
        parameter.load(Tensor(original, shape: parameter.value.shape))
        #expect(abs(slope - values[index]) < 2e-3 + 0.03 * abs(values[index]))
      }
    }
  }

  /// A tied head has the tokens of the adapter that is there, not of one that was taken away.
  @Test func aTiedHeadFollowsTheNextAdapter() throws {
    func model() throws -> Llama {
      try Llama(
        gguf: GGUFFile(contentsOf: Fixture.path("embeddings/tied.gguf")), computeType: .float32)
    }
    var configuration = LoRAConfiguration(rank: 2, alpha: 4, targets: .names(["q_proj"]))
    configuration.trainedTokens = [TrainedTokens([5, 17])]
    let expected = try model()
    try expected.addAdapter("b", configuration, seed: 1)
    shake(expected, "b", seed: 2)
    let changed = try model()
    let base = try logits(changed)
    try changed.addAdapter("a", configuration, seed: 3)
    shake(changed, "a", seed: 4)
    try changed.removeAdapter("a")
    #expect(try logits(changed).map(\.bitPattern) == base.map(\.bitPattern))
    try changed.addAdapter("b", configuration, seed: 1)
    shake(changed, "b", seed: 2)
    #expect(try logits(changed).map(\.bitPattern) == logits(expected).map(\.bitPattern))
  }

  @Test func anotherBaseIsWarnedOf() throws {
    let folder = try TemporaryFolder()
    let model = try tinyModel()
    let configuration = LoRAConfiguration(rank: 2, targets: .names(["q_proj"]))
    try model.addAdapter("a", configuration, seed: 1)
    fill(model, "a", seed: 2)
    try model.saveAdapter("a", configuration, to: folder.path)
    let other = try tinyModel()
    let norm = try #require(other.namedParameters.first { $0.path == "model.norm.weight" })
    norm.parameter.load(norm.parameter.value + Tensor(0.5))
    let warning = try #require(other.loadAdapter("a", from: folder.path).summary.warnings.first)
    #expect(
      warning.hasPrefix(
        "the adapter was made on other base weights (\(model.baseIdentity.prefix(12))…")
    )
    // An adapter, or one beside it, is no part of the base.
    #expect(model.baseIdentity == (try tinyModel().baseIdentity))
  }

  @Test func adaptersInOneFolder() throws {
    let folder = try TemporaryFolder()
    let model = try tinyModel()
    var configurations: [String: LoRAConfiguration] = [:]
    for (name, target) in [("default", "q_proj"), ("other", "v_proj"), ("third", "o_proj")] {
      configurations[name] = LoRAConfiguration(rank: 2, alpha: 2, targets: .names([target]))
      try model.addAdapter(name, configurations[name]!, seed: 1)
      fill(model, name, seed: 2)
    }
    try model.saveAdapters(configurations, to: folder.path)
    #expect(
      folder.contents == ["adapter_config.json", "adapter_model.safetensors", "other", "third"])
    let other = try tinyModel()
    let loaded = try other.loadAdapters(from: folder.path)
    #expect(loaded.mapValues(\.configuration) == configurations)
    try other.activateAdapters(["default", "other", "third"])
    #expect(try logits(other).map(\.bitPattern) == logits(model).map(\.bitPattern))
    for name in ["../x", "a/b"] {
      #expect(
        message { try model.saveAdapters([name: LoRAConfiguration()], to: folder.path) }
          == "the adapter \"\(name)\" cannot be saved in a folder of its name\n"
          + "hint: rename it: a name has no slash")
    }
  }

  /// PEFT writes the keys in alphabetical order, and cannot read what it wrote.
  @Test func ranksOfTheTensorsWinOverKeysOutOfOrder() throws {
    var configuration = LoRAConfiguration(rank: 8, alpha: 8, targets: .names(["q_proj", "v_proj"]))
    configuration.rankPattern = ["q_proj": 4, ".*proj": 3]
    configuration.alphaPattern = ["q_proj": 2]
    let model = try tinyModel()
    try model.addAdapter("a", configuration, seed: 1)
    fill(model, "a", seed: 2)
    let folder = try TemporaryFolder()
    try model.saveAdapter("a", configuration, to: folder.path)
    var sorted = configuration
    sorted.rankPattern = [".*proj": 3, "q_proj": 4]
    try Data(PEFTConfiguration.text(of: sorted).utf8).write(
      to: URL(fileURLWithPath: folder.file("adapter_config.json")))
    let other = try tinyModel()
    let loaded = try other.loadAdapter("a", from: folder.path)
    #expect(
      loaded.summary.warnings == [
        "rank_pattern has keys that overlap, in another order than when the adapter was made: the "
          + "tensors' own ranks are used for model.layers.0.self_attn.q_proj, "
          + "model.layers.1.self_attn.q_proj"
      ])
    #expect(try logits(other).map(\.bitPattern) == logits(model).map(\.bitPattern))
    try other.saveAdapter("a", loaded.configuration, to: folder.file("again"))
    #expect(try tinyModel().loadAdapter("a", from: folder.file("again")).summary.warnings == [])
  }
}
