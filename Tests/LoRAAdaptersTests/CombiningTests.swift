// Combinations of adapters against PEFT's add_weighted_adapter, and what is refused.

import Foundation
import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

/// One case of Fixtures/merging/cases.json.
struct CombinationCase: Decodable, CustomTestStringConvertible {
  var name: String
  var method: String
  var adapters: [String]
  var weights: [Double]
  var rank: Int?
  var density: Double?
  var majority_sign: String?

  var testDescription: String { name }

  static let all: [CombinationCase] =
    (try? JSONDecoder().decode([CombinationCase].self, from: Fixture.data("merging/cases.json")))
    ?? []

  func options() throws -> CombinationOptions {
    CombinationOptions(
      method: try #require(CombinationMethod(rawValue: method)), rank: rank,
      density: density ?? 0.5,
      majoritySign: try #require(MajoritySign(rawValue: majority_sign ?? "total")))
  }
}

@Suite struct CombiningTests {
  private func weights(_ name: String) throws -> AdapterWeights {
    try AdapterWeights(Fixture.path("merging/\(name)"))
  }

  private func delta(_ module: AdapterWeights.Module) -> [Float] {
    (module.b.matmul(module.a) * Tensor(Float(module.scale))).elements
  }

  @Test func everyMethodIsCovered() {
    #expect(CombinationCase.all.count == 15)
    #expect(
      Set(CombinationCase.all.map(\.method)) == Set(CombinationMethod.allCases.map(\.rawValue)))
  }

  @Test(arguments: CombinationCase.all) func equalsPEFT(test: CombinationCase) throws {
    let adapters = try zip(test.adapters, test.weights).map { (try weights($0), $1) }
    let options = try test.options()
    // What the fixture's generator keeps in place of chance.
    let limit = Int((1000 * options.density).rounded())
    let combined = try AdapterWeights.combining(adapters, options) {
      Int($0.bitPattern) % 1000 < limit
    }
    let expected = try FixtureTensors("merging/combined.safetensors")
    let paths = expected.names.filter { $0.hasPrefix(test.name + "|") }
    #expect(paths.count == combined.modules.count)
    for module in combined.modules {
      expectClose(
        actual: delta(module), expected: try expected.floats("\(test.name)|\(module.path)"),
        atol: 1e-6, rtol: 1e-5, name: "\(test.name) \(module.path)")
    }
    if let rank = test.rank { #expect(combined.modules.allSatisfy { $0.rank <= rank }) }
  }

  /// An adapter alone with weight 1 is itself, whatever the method; what is written is read again.
  @Test(arguments: CombinationMethod.allCases, ["a", "stabilised", "patterns"])
  func oneIsItself(method: CombinationMethod, name: String) throws {
    let source = try weights(name)
    let combined = try AdapterWeights.combining(
      [(source, 1)], CombinationOptions(method: method, density: 1))
    let folder = try TemporaryFolder()
    try combined.write(to: folder.path)
    let read = try AdapterWeights(folder.path)
    #expect(read.modules.map(\.path) == source.modules.map(\.path))
    for (ours, theirs) in zip(read.modules, source.modules) {
      #expect(ours.scale == 1)
      expectClose(
        actual: delta(ours), expected: delta(theirs), atol: 1e-6, rtol: 1e-5, name: ours.path)
    }
    // The model takes it, and computes what it computed with the source.
    let model = try tinyModel()
    try model.loadAdapter("combined", from: folder.path)
    let original = try tinyModel()
    try original.loadAdapter("original", from: Fixture.path("merging/\(name)"))
    expectClose(actual: try logits(model), expected: try logits(original), atol: 1e-4, rtol: 0)
  }

  @Test func oppositesAreNothing() throws {
    let a = try weights("a")
    let combined = try AdapterWeights.combining(
      [(a, 1), (a, -1)], CombinationOptions(method: .cat))
    for module in combined.modules {
      #expect(module.rank == 8)
      expectClose(
        actual: delta(module), expected: [Float](repeating: 0, count: delta(module).count),
        atol: 1e-6, rtol: 0)
    }
  }

  /// DARE keeps about the share asked for, scales it up, and follows from the seed alone.
  @Test func randomElements() throws {
    let a = try weights("a")
    func combined(_ seed: UInt64) throws -> [Float] {
      try AdapterWeights.combining(
        [(a, 1)], CombinationOptions(method: .dareLinear, density: 0.3, seed: seed)
      ).modules.flatMap { $0.a.elements + $0.b.elements }
    }
    let first = try combined(1)
    #expect(try combined(1) == first)
    #expect(try combined(2) != first)
    let root = Float(2).squareRoot()
    let originals = a.modules.flatMap { $0.a.elements + $0.b.elements }
    let kept = zip(first, originals).filter { $0.0 != 0 }
    #expect(abs(Double(kept.count) / Double(first.count) - 0.3) < 0.03)
    for (value, original) in kept {
      #expect(abs(value - original * root / 0.3) <= 1e-5 * abs(value))
    }
  }

  /// What does not go together: (adapters, options, message).
  @Test func refused() throws {
    func text(
      _ adapters: [(AdapterWeights, Double)], _ options: CombinationOptions
    ) -> String {
      message(in: Fixture.path("merging")) { _ = try AdapterWeights.combining(adapters, options) }
    }
    let (a, c) = (try weights("a"), try weights("c"))
    #expect(
      text([], .init()) == "there is no adapter to combine\nhint: name one or more")
    for method in CombinationMethod.allCases where method != .cat && method != .svd {
      #expect(
        text([(a, 1), (c, 1)], .init(method: method))
          == "model.layers.0.self_attn.q_proj has rank 4 in DIR/a/adapter_model.safetensors, but 2 "
          + "in DIR/c/adapter_model.safetensors: \(method.rawValue) needs equal ranks\n"
          + "hint: use cat, which is exact, or svd")
    }
    for density in [0, -1, 1.5, .nan] {
      #expect(
        text([(a, 1)], .init(method: .ties, density: density))
          == "the density is \(density), which is not in (0, 1]\n"
          + "hint: it is the share of elements that is kept")
    }
    #expect(
      text([(a, 1)], .init(method: .svd, rank: 0))
        == "the rank is 0\nhint: give at least 1")
    #expect(
      text([(a, .infinity)], .init())
        == "DIR/a/adapter_model.safetensors: its weight is inf\nhint: give a number")
    var other = c
    other.modules[0].b = Tensor.zeros([5, 2])
    #expect(
      text([(a, 1), (other, 1)], .init())
        == "model.layers.0.self_attn.q_proj maps 16 to 16 features in "
        + "DIR/a/adapter_model.safetensors, but 16 to 5 features in "
        + "DIR/c/adapter_model.safetensors\nhint: the adapters were made for different models")
    var stretched = a
    stretched.modules[0].magnitude = Tensor.zeros([16])
    #expect(
      text([(stretched, 1)], .init())
        == "DIR/a/adapter_model.safetensors: the adapter is DoRA's "
        + "(model.layers.0.self_attn.q_proj has a magnitude), which a combination cannot hold\n"
        + "hint: merge the adapter into its model with lora merge instead")
  }
}

@Suite struct ExtractionTests {
  private func merged(_ names: [String], into folder: TemporaryFolder) throws -> Llama {
    let model = try tinyModel()
    for name in names { try model.loadAdapter(name, from: Fixture.path("merging/\(name)")) }
    try model.mergeAdapters()
    return model
  }

  /// Merged weights in plain layers, as a tuned model has them.
  private func tuned(_ adapter: String) throws -> Llama {
    let model = try tinyModel()
    try model.loadAdapter("x", from: Fixture.path("merging/\(adapter)"))
    try model.mergeAdapters()
    for (_, child) in model.namedModules {
      guard let layer = child.module as? LoRALinear, let replace = child.replace else { continue }
      replace(Linear(weight: layer.operand.weight, bias: layer.operand.bias))
    }
    return model
  }

  @Test func aMergedAdapterComesOutAgain() throws {
    let model = try tuned("b")
    let result = try AdapterExtraction(base: tinyModel(), tuned: model, rank: 4)
    let source = try AdapterWeights(Fixture.path("merging/b"))
    #expect(result.layers.map(\.path) == source.modules.map(\.path))
    #expect(result.remainders.isEmpty)
    #expect(result.explained > 0.999_999)
    #expect(result.layers.allSatisfy { $0.explained > 0.999_999 && $0.rank == 4 })
    let folder = try TemporaryFolder()
    try result.adapter.write(to: folder.path)
    let adapted = try tinyModel()
    try adapted.loadAdapter("x", from: folder.path)
    expectClose(actual: try logits(adapted), expected: try logits(model), atol: 1e-4, rtol: 0)
  }

  /// Of a lower rank: the share of the squares that the largest singular values have.
  @Test func sharesAreThoseOfTheSingularValues() throws {
    let result = try AdapterExtraction(base: tinyModel(), tuned: tuned("a"), rank: 2)
    let source = try AdapterWeights(Fixture.path("merging/a"))
    for (layer, module) in zip(result.layers, source.modules) {
      let delta = module.b.matmul(module.a) * Tensor(Float(module.scale))
      let squares = try delta.singularValueDecomposition().s.map { Double($0) * Double($0) }
      let expected = squares.prefix(2).reduce(0, +) / squares.reduce(0, +)
      #expect(layer.path == module.path)
      #expect(abs(layer.explained - expected) < 1e-4, "\(layer.path)")
    }
    #expect(result.explained < 0.999)
  }

  @Test func whatAnAdapterCannotHold() throws {
    let model = try tuned("b")
    let (path, norm) = try #require(model.namedParameters.first { $0.path == "model.norm.weight" })
    norm.load(norm.value * Tensor(1.5))
    let result = try AdapterExtraction(
      base: tinyModel(), tuned: model, rank: 4, targets: ["q_proj", "v_proj"])
    #expect(Set(result.layers.map { $0.path.split(separator: ".").last }) == ["q_proj", "v_proj"])
    #expect(result.remainders.contains { $0.path == path && abs($0.change - 0.5) < 1e-5 })
    #expect(result.remainders.contains { $0.path == "model.layers.0.mlp.down_proj.weight" })
  }

  @Test func refused() throws {
    #expect(
      message { _ = try AdapterExtraction(base: tinyModel(), tuned: tinyModel(), rank: 4) }
        == "the models do not differ in any of the linear layers\n"
        + "hint: they hold the same numbers: name the tuned model with --tuned")
    let folder = try Llama(
      folder: ModelFolder(contentsOf: Fixture.path("folder/tied-f32")), computeType: .float32)
    #expect(
      message { _ = try AdapterExtraction(base: tinyModel(), tuned: folder, rank: 4) }
        == "model.embed_tokens.weight has the shape [40, 16] in the base, but [269, 16] in the "
        + "tuned model\nhint: both must be the same model before and after training")
    let text = message {
      _ = try AdapterExtraction(base: tinyModel(), tuned: tuned("b"), rank: 4, targets: ["q_prj"])
    }
    #expect(
      text.hasPrefix("the target \"q_prj\" matches no module of the model\nhint: did you mean "))
  }
}
