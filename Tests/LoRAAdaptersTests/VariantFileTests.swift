// Variants saved and loaded: DoRA's lengths, biases of B, and PiSSA and OLoRA as plain differences.

import Foundation
import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

@Suite struct VariantFileTests {
  struct Variant: CustomTestStringConvertible {
    let testDescription: String
    var configuration = LoRAConfiguration(
      rank: 2, alpha: 6, targets: .names(["q_proj", "up_proj"]))

    init(_ name: String, _ change: (inout LoRAConfiguration) -> Void) {
      testDescription = name
      change(&configuration)
    }
  }

  static let variants = [
    Variant("DoRA") { $0.usesDoRA = true },
    Variant("DoRA and rsLoRA") { ($0.usesDoRA, $0.isRankStabilized) = (true, true) },
    Variant("bias of B") { $0.hasBiasOfB = true },
    Variant("PiSSA") { $0.initialization = .pissa(iterations: nil) },
    Variant("PiSSA, randomised") { $0.initialization = .pissa(iterations: 4) },
    Variant("PiSSA and rsLoRA") {
      ($0.initialization, $0.isRankStabilized) = (.pissa(iterations: nil), true)
    },
    Variant("PiSSA with patterns") {
      $0.initialization = .pissa(iterations: nil)
      $0.rankPattern = ModulePatterns([("up_proj", 3)])
      $0.alphaPattern = ModulePatterns([("q_proj", 5)])
    },
    Variant("OLoRA") { $0.initialization = .olora },
    Variant("DoRA and PiSSA") {
      ($0.usesDoRA, $0.initialization) = (true, .pissa(iterations: nil))
    },
    Variant("DoRA and OLoRA") { ($0.usesDoRA, $0.initialization) = (true, .olora) },
    Variant("orthogonal") { $0.initialization = .orthogonal },
    Variant("gaussian") { $0.initialization = .gaussian },
    Variant("false") { $0.initialization = .uniformBoth },
  ]

  /// Moves every number of the adapter a little, as training would.
  private func train(_ model: Llama, _ name: String) {
    var random = Random(seed: 4)
    for (_, parameter) in model.trainableParameters {
      parameter.load(parameter.value + random.normal(parameter.value.shape, deviation: 0.1))
    }
  }

  @Test(arguments: variants)
  func newAdapterLeavesTheLogits(_ variant: Variant) throws {
    guard variant.configuration.initialization != .uniformBoth else { return }
    let model = try tinyModel()
    let before = try logits(model)
    try model.addAdapter("a", variant.configuration, seed: 1)
    expectClose(actual: try logits(model), expected: before, atol: 5e-6, rtol: 1e-5)
    train(model, "a")
    #expect(zip(try logits(model), before).contains { abs($0 - $1) > 1e-2 })
  }

  @Test(arguments: variants)
  func savedAndLoadedItComputesTheSame(_ variant: Variant) throws {
    let model = try tinyModel()
    try model.addAdapter("a", variant.configuration, seed: 1)
    train(model, "a")
    let expected = try logits(model)
    let (first, second) = (try TemporaryFolder(), try TemporaryFolder())
    try model.saveAdapter("a", variant.configuration, to: first.path)

    let fresh = try tinyModel()
    let before = fresh.namedParameters.map(\.parameter.value.elements)
    let loaded = try fresh.loadAdapter("a", from: first.path)
    expectClose(actual: try logits(fresh), expected: expected, atol: 5e-6, rtol: 1e-5)
    // What is read is plain: nothing in the file changes a base.
    let rank = variant.configuration.initialization.movesBase ? 4 : 2
    #expect(loaded.configuration.rank == rank)
    #expect(loaded.configuration.initialization == .kaimingUniform)
    #expect(loaded.summary.warnings == [])
    try fresh.removeAdapter("a")
    #expect(fresh.namedParameters.map(\.parameter.value.elements) == before)

    // Once more through the file changes no byte.
    let again = try tinyModel()
    let configuration = try again.loadAdapter("a", from: first.path).configuration
    try again.saveAdapter("a", configuration, to: second.path)
    for name in ["adapter_model.safetensors", "adapter_config.json"] {
      let files = [first, second].map { FileManager.default.contents(atPath: $0.file(name)) }
      #expect(files[0] != nil && files[0] == files[1], "\(name)")
    }
  }

  @Test(arguments: variants)
  func checkpointGoesOnBitForBit(_ variant: Variant) throws {
    let model = try tinyModel()
    try model.addAdapter("a", variant.configuration, seed: 1)
    train(model, "a")
    let folder = try TemporaryFolder()
    try model.saveAdapter("a", variant.configuration, to: folder.path)
    let resumed = try tinyModel()
    try resumed.resumeAdapter("a", from: folder.path, variant.configuration)
    #expect(resumed.trainableParameters.map(\.path) == model.trainableParameters.map(\.path))
    for (old, new) in zip(model.trainableParameters, resumed.trainableParameters) {
      #expect(old.parameter.value.elements == new.parameter.value.elements, "\(old.path)")
    }
    #expect(try logits(resumed) == (try logits(model)))
  }

  /// What PEFT saves without converting it: A and B alone, their start to be found in the weights.
  @Test(arguments: ["pissa", "olora"], [false, true])
  func unconvertedFilesAreReadBesideTheirModel(name: String, usesDoRA: Bool) throws {
    var configuration = LoRAConfiguration(
      rank: 2, alpha: 6, targets: .names(["q_proj", "up_proj"]),
      initialization: name == "pissa" ? .pissa(iterations: nil) : .olora)
    configuration.usesDoRA = usesDoRA
    configuration.rankPattern = ModulePatterns([("up_proj", 3)])
    let model = try tinyModel()
    try model.addAdapter("a", configuration, seed: 1)
    train(model, "a")
    let expected = try logits(model)
    let (raw, plain) = (try TemporaryFolder(), try TemporaryFolder())
    var writer = SafeTensorsWriter()
    for (path, pair) in model.adapterPairs("a") {
      let layer = "base_model.model.\(path)."
      writer.add(layer + "lora_A.weight", StoredTensor(pair.a.value))
      writer.add(layer + "lora_B.weight", StoredTensor(pair.b.value))
      if let magnitude = pair.magnitude {
        writer.add(layer + "lora_magnitude_vector", StoredTensor(magnitude.value))
      }
    }
    try writer.write(to: raw.file("adapter_model.safetensors"))
    var settings = try #require(
      JSONValue(parsing: PEFTConfiguration.text(of: configuration)).objectValue)
    settings["init_lora_weights"] = .string(name)
    try raw.write(
      Array(JSONValue.object(settings).serialized(.indented(2)).utf8), to: "adapter_config.json")

    let other = try tinyModel()
    let before = other.namedParameters.map(\.parameter.value.elements)
    let loaded = try other.loadAdapter("b", from: raw.path)
    #expect(loaded.summary.warnings == [])
    #expect(loaded.configuration.initialization == configuration.initialization)
    expectClose(actual: try logits(other), expected: expected, atol: 5e-6, rtol: 1e-5)
    // Saved again it is a plain difference, and the base was never changed.
    try other.saveAdapter("b", loaded.configuration, to: plain.path)
    let third = try tinyModel()
    #expect(try third.loadAdapter("c", from: plain.path).configuration.rank == 4)
    expectClose(actual: try logits(third), expected: expected, atol: 5e-6, rtol: 1e-5)
    try other.removeAdapter("b")
    #expect(other.namedParameters.map(\.parameter.value.elements) == before)
    #expect(
      message(in: raw.path) { _ = try AdapterWeights(raw.path) }
        == "DIR/adapter_config.json: init_lora_weights is \"pissa\" or \"olora\": what the adapter "
        + "changes depends on the base's weights\nhint: lora merge, eval and generate read it beside "
        + "its model; for a plain adapter save it with PEFT's save_pretrained(…, "
        + "path_initial_model_for_weight_conversion=…)")
  }

  @Test func namesOfTensorsArePEFTs() throws {
    var configuration = LoRAConfiguration(rank: 2, targets: .names(["layers.0.self_attn.q_proj"]))
    configuration.usesDoRA = true
    #expect(
      try names(configuration) == ["lora_A.weight", "lora_B.weight", "lora_magnitude_vector"])
    configuration.usesDoRA = false
    configuration.hasBiasOfB = true
    #expect(try names(configuration) == ["lora_A.weight", "lora_B.bias", "lora_B.weight"])
  }

  private func names(_ configuration: LoRAConfiguration) throws -> [String] {
    let model = try tinyModel()
    try model.addAdapter("a", configuration, seed: 1)
    let folder = try TemporaryFolder()
    try model.saveAdapter("a", configuration, to: folder.path)
    return try SafeTensorsFile(contentsOf: folder.file("adapter_model.safetensors")).tensorNames
      .map { $0.replacing("base_model.model.model.layers.0.self_attn.q_proj.", with: "") }.sorted()
  }

  static let mistakes: [(String, @Sendable (inout LoRAConfiguration) -> Void, String)] = [
    (
      "odd orthogonal", { ($0.rank, $0.initialization) = (3, .orthogonal) },
      "rank is 3, but the orthogonal initialisation needs an even one\n"
        + "hint: take 4, or another initialisation"
    ),
    (
      "DoRA and a bias of B", { ($0.usesDoRA, $0.hasBiasOfB) = (true, true) },
      "DoRA and a bias of B exclude each other\nhint: choose one of them"
    ),
    (
      "scale 0", { ($0.alpha, $0.initialization) = (0, .pissa(iterations: nil)) },
      "the scale is 0.0, but PiSSA and OLoRA divide the weights by it\n"
        + "hint: give an alpha that is not 0"
    ),
    (
      "bias of B and OLoRA", { ($0.hasBiasOfB, $0.initialization) = (true, .olora) },
      "a bias of B goes with B = 0 at the start, not with this initialisation\n"
        + "hint: take kaiming-uniform"
    ),
  ]

  @Test(arguments: mistakes.indices)
  func whatCannotBeIsRefused(index: Int) throws {
    let (_, change, expected) = Self.mistakes[index]
    var configuration = LoRAConfiguration(rank: 2, alpha: 4)
    change(&configuration)
    let model = try tinyModel()
    #expect(message { try model.addAdapter("a", configuration, seed: 1) } == expected)
    #expect(model.adapterNames == [])
  }

  @Test func resumingWithOtherSettingsIsRefused() throws {
    let model = try tinyModel()
    let plain = LoRAConfiguration(rank: 2, alpha: 4, targets: .names(["q_proj"]))
    try model.addAdapter("a", plain, seed: 1)
    let folder = try TemporaryFolder()
    try model.saveAdapter("a", plain, to: folder.path)
    var pissa = plain
    pissa.initialization = .pissa(iterations: nil)
    let fresh = try tinyModel()
    #expect(
      message(in: folder.path) { try fresh.resumeAdapter("a", from: folder.path, pissa) }
        == "DIR: the adapter at model.layers.0.self_attn.q_proj has not twice the rank 2, as one "
        + "that began as a part of the weights\n"
        + "hint: resume with the settings that the run began with")
  }
}
