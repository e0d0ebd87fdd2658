// Putting adapters into a model.

import LoRAAdapters
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

@Suite struct InjectionTests {
  @Test func allLinearAdaptsEveryLayerButTheHead() throws {
    let model = try tinyModel()
    let summary = try model.addAdapter("a", LoRAConfiguration(rank: 4, alpha: 8), seed: 1)
    #expect(summary.modulePaths == allPaths)
    // q 16→16, k and v 16→8, o 16→16, gate and up 16→24, down 24→16, times two layers.
    #expect(summary.parameterCount == 2 * 4 * (32 + 24 + 24 + 32 + 40 + 40 + 40))
    #expect(summary.trainableParameterCount == summary.parameterCount)
    #expect(summary.warnings == [])
    #expect(model.adapterPairs("a").map(\.path) == allPaths)
    #expect(model.adapterPairs("a").allSatisfy { $0.pair.scale == 2 && $0.pair.rank == 4 })
    #expect(model.adapterPairs("b").isEmpty)
  }

  @Test func onlyTheFactorsAreTrainable() throws {
    let model = try tinyModel()
    for (_, parameter) in model.namedParameters { parameter.isTrainable = true }
    try model.addAdapter("a", LoRAConfiguration(rank: 4), seed: 1)
    let expected = allPaths.flatMap { ["\($0).lora_A.a.weight", "\($0).lora_B.a.weight"] }
    #expect(model.trainableParameters.map(\.path) == expected)
    try model.addAdapter("b", LoRAConfiguration(rank: 2, targets: .names(["q_proj"])), seed: 1)
    #expect(
      model.trainableParameters.map(\.path)
        == (0..<2).flatMap { layer in
          ["A", "B"].map { "model.layers.\(layer).self_attn.q_proj.lora_\($0).b.weight" }
        })
  }

  @Test(arguments: [
    LoRAConfiguration(), LoRAConfiguration(rank: 3, alpha: 30, dropout: 0.5),
    LoRAConfiguration(targets: .names(["mlp.down_proj", "model.layers.0.self_attn.v_proj"])),
    LoRAConfiguration(rank: 1, alpha: 4, isRankStabilized: true),
    LoRAConfiguration(initialization: .normal(deviation: 0.02)),
  ])
  func freshAdapterLeavesTheLogitsBitForBit(configuration: LoRAConfiguration) throws {
    let model = try tinyModel()
    let before = try logits(model)
    try model.addAdapter("a", configuration, seed: 3)
    #expect(try logits(model).map(\.bitPattern) == before.map(\.bitPattern))
  }

  @Test func sameSeedSameFactors() throws {
    func factors(_ seed: UInt64) throws -> [Float] {
      let model = try tinyModel()
      try model.addAdapter("a", LoRAConfiguration(rank: 4), seed: seed)
      return model.adapterPairs("a").flatMap { $0.pair.a.value.elements }
    }
    let first = try factors(7)
    #expect(try factors(7) == first)
    #expect(try factors(8) != first)
    #expect(Set(first).count > first.count / 2)
  }

  @Test func kaimingUniformIsInItsBounds() throws {
    let model = try tinyModel()
    try model.addAdapter("a", LoRAConfiguration(rank: 16, targets: .names(["q_proj"])), seed: 1)
    for (_, pair) in model.adapterPairs("a") {
      let a = pair.a.value.elements
      #expect(a.allSatisfy { abs($0) <= 0.25 })
      #expect((a.max() ?? 0) > 0.2 && (a.min() ?? 0) < -0.2)
      #expect(pair.b.value.elements.allSatisfy { $0 == 0 })
    }
  }

  @Test func adaptersCanBeSwitchedAndAdd() throws {
    let model = try tinyModel()
    let base = try logits(model)
    try model.addAdapter("a", LoRAConfiguration(rank: 2), seed: 1)
    fill(model, "a", seed: 2)
    let withA = try logits(model)
    #expect(withA != base)
    let summary = try model.addAdapter("b", LoRAConfiguration(rank: 3), seed: 1)
    #expect(summary.modulePaths == allPaths)
    // Not bit for bit: the products over the pairs of both adapters have another width.
    for (now, before) in zip(try logits(model), withA) { #expect(abs(now - before) < 1e-5) }
    fill(model, "b", seed: 3)
    let withBoth = try logits(model)
    #expect(withBoth != withA)
    #expect(model.adapterNames == ["a", "b"])
    try model.setAdapterEnabled("a", false)
    let withB = try logits(model)
    try model.setAdapterEnabled("b", false)
    #expect(try logits(model).map(\.bitPattern) == base.map(\.bitPattern))
    try model.setAdapterEnabled("a", true)
    #expect(try logits(model).map(\.bitPattern) == withA.map(\.bitPattern))
    try model.setAdapterEnabled("b", true)
    #expect(try logits(model) == withBoth)
    #expect(withB != withA)
  }

  @Test func largeRankWarnsOncePerKind() throws {
    let model = try tinyModel()
    let summary = try model.addAdapter(
      "a", LoRAConfiguration(rank: 12, targets: .names(["k_proj", "v_proj", "q_proj"])), seed: 1)
    #expect(
      summary.warnings == [
        "model.layers.0.self_attn.k_proj and 3 more: rank 12 is larger than the layer's smaller "
          + "side (16 → 8): a product of such factors cannot have more rank than 8"
      ])
  }

  static let available =
    "the linear layers are: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"

  @Test(arguments: [
    (
      ["q_prj"],
      """
      the target "q_prj" matches no module of the model
      hint: did you mean "q_proj" (model.layers.0.self_attn.q_proj, \
      model.layers.1.self_attn.q_proj)? \(available)
      """
    ),
    (
      ["q_proj", "self_atn.o_proj"],
      """
      the target "self_atn.o_proj" matches no module of the model
      hint: did you mean "self_attn.o_proj" (model.layers.0.self_attn.o_proj, \
      model.layers.1.self_attn.o_proj)? \(available)
      """
    ),
    (
      ["attn.q_proj"],
      """
      the target "attn.q_proj" matches no module of the model
      hint: \(available)
      """
    ),
    (
      [".*\\.(query|value)"],
      """
      the target ".*\\.(query|value)" matches no module of the model
      hint: names are plain endings of paths, not regular expressions; \(available)
      """
    ),
    (
      ["all-linear"],
      "the target \"all-linear\" matches no module of the model\nhint: \(available)"
    ),
    (
      ["self_attn"],
      """
      the target "self_attn" selects model.layers.0.self_attn, which is no linear layer or embedding \
      that can be replaced
      hint: \(available)
      """
    ),
    (
      [],
      """
      the list of target modules is empty\nhint: name the layers to adapt, like q_proj and v_proj, or \
      take all-linear
      """
    ),
    (["q_proj", ""], "the list of target modules has an empty name\nhint: remove it"),
  ])
  func targetsThatCannotBe(names: [String], expected: String) throws {
    let model = try tinyModel()
    let configuration = LoRAConfiguration(rank: 4, targets: .names(names))
    #expect(message { try model.addAdapter("a", configuration, seed: 1) } == expected)
    #expect(model.adapterNames == [])
  }

  @Test func baseLayersAreNotTargetedAgain() throws {
    let model = try tinyModel()
    try model.addAdapter("a", LoRAConfiguration(rank: 2, targets: .names(["q_proj"])), seed: 1)
    #expect(
      message {
        try model.addAdapter("b", LoRAConfiguration(targets: .names(["base_layer"])), seed: 1)
      }.hasPrefix("the target \"base_layer\" matches no module of the model"))
    #expect(
      try model.addAdapter("b", LoRAConfiguration(rank: 2), seed: 1).modulePaths == allPaths)
  }

  @Test(arguments: [
    (LoRAConfiguration(rank: 0), "rank is 0"), (LoRAConfiguration(rank: -1), "rank is -1"),
    (LoRAConfiguration(rank: 65_537), "rank is 65537, more than 65536"),
    (LoRAConfiguration(rank: .max), "rank is 9223372036854775807, more than 65536"),
    (LoRAConfiguration(dropout: 1), "dropout is 1.0"),
    (LoRAConfiguration(dropout: -0.1), "dropout is -0.1"),
    (LoRAConfiguration(dropout: .nan), "dropout is nan"),
    (LoRAConfiguration(alpha: .infinity), "alpha is inf"),
    (LoRAConfiguration(isRankStabilized: true), "the rank-stabilised scale alpha/√rank needs an"),
  ])
  func configurationsThatCannotBe(configuration: LoRAConfiguration, expected: String) throws {
    let model = try tinyModel()
    let text = message { try model.addAdapter("a", configuration, seed: 1) }
    #expect(text.hasPrefix(expected), "\(text)")
  }

  @Test func namesThatCannotBe() throws {
    let model = try tinyModel()
    try model.addAdapter("a", LoRAConfiguration(rank: 2), seed: 1)
    let second = LoRAConfiguration(rank: 2)
    #expect(
      message { try model.addAdapter("a", second, seed: 1) }
        == "the model has an adapter \"a\" already\nhint: choose another name")
    for name in ["", "a.b"] {
      #expect(
        message { try model.addAdapter(name, second, seed: 1) }
          == "\"\(name)\" cannot be the name of an adapter\n"
          + "hint: a name is part of the parameters' paths: not empty, and without a dot")
    }
    #expect(
      message { try model.setAdapterEnabled("b", true) }
        == "the model has no adapter \"b\"\nhint: it has \"a\"")
  }

  @Test func modulesOfOnesOwn() throws {
    final class Network: Module {
      var first: any LinearLayer = Linear(6, 4, seed: 1)
      let fixed = Linear(4, 4, seed: 2)
      var lm_head: any LinearLayer = Linear(4, 3, seed: 3)
      var children: [ModuleChild] {
        [
          ModuleChild("first", in: self, \.first), ModuleChild("fixed", fixed),
          ModuleChild("lm_head", in: self, \.lm_head),
        ]
      }
    }
    let network = Network()
    #expect(
      try network.addAdapter("a", LoRAConfiguration(rank: 2), seed: 1).modulePaths == ["first"])
    #expect(network.first is LoRALinear)
    #expect(
      message {
        try network.addAdapter("b", LoRAConfiguration(rank: 2, targets: .names(["fixed"])), seed: 1)
      } == "the target \"fixed\" selects fixed, which is no linear layer or embedding that can be "
        + "replaced\n"
        + "hint: the linear layers are: first")
    #expect(
      message { try Linear(3, 3).addAdapter("a", LoRAConfiguration(), seed: 1) }
        == "the model has no linear layer that can be adapted\n"
        + "hint: a module offers its layers by ModuleChild(_:in:_:) in `children`")
  }

  /// Each layer drops other inputs, and the place of a layer, not its turn, decides which.
  @Test func dropoutStreamsAreThoseOfTheLayers() throws {
    func outputs(_ targets: TargetModules) throws -> [String: [Float]] {
      let model = try tinyModel()
      try model.addAdapter(
        "a", LoRAConfiguration(rank: 4, dropout: 0.5, targets: targets), seed: 1)
      var result: [String: [Float]] = [:]
      for (path, child) in model.namedModules {
        guard let layer = child.module as? LoRALinear, layer.inFeatures == 16 else { continue }
        let pair = layer.pairs[0].pair
        pair.a.load(Tensor.full([4, 16], 1))
        pair.b.load(Tensor.full([layer.outFeatures, 4], 1))
        let x = Tensor.full([3, 16], 1)
        let all = PassContext.training { layer(x) }.elements
        try model.setAdapterEnabled("a", false)
        let base = layer(x).elements
        try model.setAdapterEnabled("a", true)
        result[path] = (0..<3).map {
          ((all[$0 * layer.outFeatures] - base[$0 * layer.outFeatures]) / 8).rounded()
        }
      }
      return result
    }
    let all = try outputs(.allLinear)
    let some = try outputs(.names(["o_proj", "up_proj"]))
    #expect(all.count == 12 && some.count == 4)
    for (path, values) in some { #expect(all[path] == values) }
    #expect(Set(all.values).count > 6)
  }
}
