// Merging adapters into weights in memory, and taking them out again.

import LoRAAdapters
import LoRAFormats
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

@Suite struct MergingTests {
  /// The weights that the model computes with, by path.
  private func weights(_ model: Llama) -> [String: Tensor] {
    var result: [String: Tensor] = [:]
    for (path, child) in model.namedModules where allPaths.contains(path) {
      result[path] = (child.module as? any LinearLayer)?.operand.weight
    }
    return result
  }

  private func bits(_ tensors: [String: Tensor]) -> [String: [UInt32]] {
    tensors.mapValues { $0.elements.map(\.bitPattern) }
  }

  private func loaded(_ names: String...) throws -> Llama {
    let model = try tinyModel()
    for name in names { try model.loadAdapter(name, from: Fixture.path("merging/\(name)")) }
    return model
  }

  @Test(arguments: ["a", "b", "c", "stabilised", "patterns"])
  func mergedEqualsAdapter(name: String) throws {
    let model = try loaded(name)
    let before = try logits(model)
    try model.mergeAdapters()
    #expect(model.mergedAdapterNames == [name])
    #expect(weights(model).count == allPaths.count)
    expectClose(actual: try logits(model), expected: before, atol: 1e-4, rtol: 0)
    #expect(try logits(model) != logits(tinyModel()))
  }

  /// Peft's merge_and_unload, of a base in float32 and of one in bfloat16.
  @Test func equalsPEFT() throws {
    let expected = try FixtureTensors("merging/merged.safetensors")
    let model = try loaded("a")
    try model.mergeAdapters()
    for (path, weight) in weights(model) {
      expectClose(
        actual: weight.elements, expected: try expected.floats("f32.\(path).weight"), atol: 1e-6,
        rtol: 1e-6, name: path)
    }
    let half = try Llama(
      folder: ModelFolder(contentsOf: Fixture.path("merging/base-bf16")), computeType: .float32,
      asStored: true)
    try half.loadAdapter("a", from: Fixture.path("merging/a"))
    try half.mergeAdapters()
    for (path, weight) in weights(half) {
      #expect(weight.dtype == .bfloat16)
      let values = try expected.floats("bf16.\(path).weight")
      #expect(weight.elements.map(\.bitPattern) == values.map(\.bitPattern), "\(path)")
    }
  }

  @Test func unmergingBringsEveryBitBack() throws {
    let model = try loaded("a", "b")
    let (base, before) = (bits(weights(model)), try logits(model))
    try model.mergeAdapters(["a"])
    #expect(bits(weights(model)) != base)
    try model.mergeAdapters()
    try model.unmergeAdapters()
    #expect(model.mergedAdapterNames == [])
    #expect(bits(weights(model)) == base)
    #expect(try logits(model).map(\.bitPattern) == before.map(\.bitPattern))
  }

  @Test func theOrderOfMergingDoesNotMatter() throws {
    let together = try loaded("a", "b", "c")
    try together.mergeAdapters()
    let expected = bits(weights(together))
    let model = try loaded("a", "b", "c")
    for name in ["c", "a", "a", "b"] { try model.mergeAdapters([name]) }
    #expect(bits(weights(model)) == expected)
    #expect(model.mergedAdapterNames == ["a", "b", "c"])
    try model.mergeAdapters()
    #expect(bits(weights(model)) == expected)

    try model.unmergeAdapters(["a"])
    #expect(model.mergedAdapterNames == ["b", "c"])
    let rest = try loaded("a", "b", "c")
    try rest.mergeAdapters(["b", "c"])
    #expect(bits(weights(model)) == bits(weights(rest)))
  }

  @Test func disabledAdaptersAreMergedOnlyByName() throws {
    let model = try loaded("a", "b")
    try model.setAdapterEnabled("b", false)
    try model.mergeAdapters()
    #expect(model.mergedAdapterNames == ["a"])
    let withoutB = try logits(model)
    try model.mergeAdapters(["b"])
    #expect(model.mergedAdapterNames == ["a", "b"])
    #expect(try logits(model) != withoutB)
  }

  /// Everything is checked before anything changes.
  @Test func whatDoesNotFitIsRefused() throws {
    let model = try loaded("a", "b")
    let pair = try #require(model.adapterPairs("b").last?.pair)
    let kept = pair.scale
    let before = try logits(model)
    func expect(_ scale: Float, dtype: DType?, _ expected: String) throws {
      pair.scale = scale
      let text = message { try model.mergeAdapters(["b"], dtype: dtype) }
      #expect(text.hasPrefix("model.layers.1.mlp.down_proj.weight[0] is "), "\(text)")
      #expect(text.hasSuffix(expected), "\(text)")
      pair.scale = kept
      #expect(model.mergedAdapterNames == [])
      #expect(try logits(model) == before)
    }
    let diverged = "\nhint: the adapter or the base is broken: its training probably diverged"
    try expect(.nan, dtype: nil, " nan after merging\(diverged)")
    try expect(.infinity, dtype: .float16, "inf after merging\(diverged)")
    try expect(
      1e8, dtype: .float16,
      " after merging, beyond what float16 holds\nhint: merge into bfloat16 or float32")
  }

  @Test func errorsOfNames() throws {
    let model = try loaded("a")
    let unknown = "the model has no adapter \"x\"\nhint: it has \"a\""
    #expect(message { try model.mergeAdapters(["a", "x"]) } == unknown)
    #expect(message { try model.unmergeAdapters(["x"]) } == unknown)
    #expect(model.mergedAdapterNames == [])
  }

  /// The merged weight is used only where all that is in it takes part: else the paths are.
  @Test func choicesOfAdaptersSeeThePaths() throws {
    let model = try loaded("a", "b")
    func output(_ names: [String]) throws -> [Float] {
      try model.activateAdapters(names)
      return try logits(model)
    }
    func without() throws -> [[Float]] {
      model.setAdaptersEnabled(false)
      let disabled = try logits(model)
      model.setAdaptersEnabled(true)
      return [disabled, try output([]), try model.withoutAdapters { try logits(model) }]
    }
    let choices = [["a"], ["b"], ["a", "b"]]
    let expected = try choices.map(output)
    try model.mergeAdapters()
    #expect(try without() == Array(repeating: try logits(tinyModel()), count: 3))
    for (names, expected) in zip(choices, expected) {
      expectClose(actual: try output(names), expected: expected, atol: 1e-4, rtol: 0)
    }
    try model.renameAdapter("a", to: "z")
    #expect(model.mergedAdapterNames == ["z", "b"])
    try model.removeAdapter("b")
    #expect(model.mergedAdapterNames == ["z"])
    expectClose(actual: try output(["z"]), expected: expected[0], atol: 1e-4, rtol: 0)
  }

  /// DoRA, a bias of B, PiSSA and OLoRA: whatever a path computes is in the merged weight.
  @Test(arguments: [
    (LoRAInitialization.kaimingUniform, true, false), (.kaimingUniform, false, true),
    (.pissa(iterations: nil), false, false), (.olora, false, false), (.gaussian, false, false),
    (.pissa(iterations: nil), true, false), (.olora, true, false),
  ])
  func variants(
    initialization: LoRAInitialization, usesDoRA: Bool, hasBiasOfB: Bool
  ) throws {
    var configuration = LoRAConfiguration(rank: 4, alpha: 6, initialization: initialization)
    configuration.usesDoRA = usesDoRA
    configuration.hasBiasOfB = hasBiasOfB
    let model = try tinyModel()
    try model.loadAdapter("c", from: Fixture.path("merging/c"))
    try model.addAdapter("v", configuration, seed: 3)
    fill(model, "v", seed: 4)
    var random = Random(seed: 5)
    for (_, pair) in model.adapterPairs("v") {
      if let bias = pair.bias { bias.load(random.normal(bias.value.shape, deviation: 0.3)) }
      if let magnitude = pair.magnitude {
        magnitude.load(random.uniform(magnitude.value.shape, low: 0.5, high: 2))
      }
    }
    let before = try logits(model)
    let base = bits(weights(try tinyModel()))
    try model.mergeAdapters()
    expectClose(actual: try logits(model), expected: before, atol: 1e-4, rtol: 1e-4)
    try model.unmergeAdapters()
    #expect(bits(weights(model)) == base)
    #expect(try logits(model).map(\.bitPattern) == before.map(\.bitPattern))
    guard usesDoRA else { return }

    // DoRA stretches what was added before it.
    try model.mergeAdapters(["c"])
    expectClose(actual: try logits(model), expected: before, atol: 1e-4, rtol: 1e-4)
    try model.loadAdapter("b", from: Fixture.path("merging/b"))
    #expect(
      message { try model.mergeAdapters(["b"]) }
        == "the adapter \"v\" stretches what the adapters after it add to "
        + "model.layers.0.self_attn.q_proj (DoRA): they cannot be merged without it\n"
        + "hint: merge \"v\" too, or deactivate it")
    #expect(model.mergedAdapterNames == ["c"])
  }

  /// A merged adapter is saved as it was, and does not train.
  @Test func aMergedAdapterIsStillThere() throws {
    let folder = try TemporaryFolder()
    let model = try tinyModel()
    let adapter = try model.loadAdapter("a", from: Fixture.path("merging/a"))
    try model.mergeAdapters()
    try model.saveAdapter("a", adapter.configuration, to: folder.path)
    let saved = try FixtureTensors(contentsOf: folder.file("adapter_model.safetensors"))
    let original = try FixtureTensors("merging/a/adapter_model.safetensors")
    #expect(saved.names == original.names)
    for name in saved.names { #expect(try saved.bytes(name) == original.bytes(name)) }
  }
}

@Suite struct RoundingTests {
  /// The largest numbers of each type fit, the smallest that round to infinity do not.
  @Test(arguments: [
    (DType.float32, Float.greatestFiniteMagnitude, Float.infinity), (.float16, 65519.996, 65520),
    (.bfloat16, Float(bitPattern: 0x7F7F_7FFF), Float(bitPattern: 0x7F7F_8000)),
  ])
  func limits(dtype: DType, largest: Float, beyond: Float) {
    for sign: Float in [1, -1] {
      #expect(
        Tensor([0, sign * largest, -0.5], shape: [3]).firstElement(beyond: dtype)?.index == nil)
      let found = Tensor([0, 1, sign * beyond, .nan], shape: [4]).firstElement(beyond: dtype)
      #expect(found?.index == 2)
      #expect(found?.value == sign * beyond)
    }
    let rounded = Tensor([largest], shape: [1]).converted(to: dtype)
    #expect(rounded.elements[0].isFinite)
    #expect(!Tensor([beyond], shape: [1]).converted(to: dtype).elements[0].isFinite)
    #expect(Tensor([1, .nan], shape: [2]).firstElement(beyond: dtype)?.index == 1)
    #expect(Tensor([Float](), shape: [0]).firstElement(beyond: dtype)?.index == nil)
  }
}
