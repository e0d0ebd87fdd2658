// PEFT's adapters of embeddings and heads: its logits, its gradients, and the same once merged.

import LoRAAdapters
import LoRAFormats
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

@Suite struct EmbeddingAdapterTests {
  /// An adapter of Fixtures/embeddings.
  struct Case: CustomTestStringConvertible {
    let name: String
    var isTied = false
    var warnings: [String] = []
    var testDescription: String { name }
  }

  private static let copies =
    "left out base_model.model.lm_head.weight, base_model.model.model.embed_tokens.weight: copies of "
    + "base weights"
  static let cases = [
    Case(name: "dora"), Case(name: "dora-tied-base", isTied: true),
    Case(name: "weight-tying", isTied: true), Case(name: "weight-tying-dora", isTied: true),
    Case(name: "copies", warnings: [copies]),
    Case(name: "copies-tied-base", isTied: true, warnings: [copies]),
    Case(
      name: "copies-tokens", isTied: true,
      warnings: [
        "left out base_model.model.lm_head.token_adapter.base_layer.weight, "
          + "base_model.model.model.embed_tokens.token_adapter.base_layer.weight: copies of base weights",
        "left out base_model.model.lm_head.token_adapter.trainable_tokens_delta: the file says it "
          + "twice",
      ]),
    Case(
      name: "copies-whole",
      warnings: [
        "left out base_model.model.lm_head.original_module.weight, "
          + "base_model.model.model.embed_tokens.weight: copies of base weights",
        "left out base_model.model.lm_head.modules_to_save.weight: the file says it twice",
      ]),
  ]

  private let values: FixtureTensors

  init() throws { values = try FixtureTensors("embeddings/values.safetensors") }

  static func base(_ isTied: Bool) throws -> Llama {
    guard isTied else { return try tinyModel() }
    return try Llama(
      gguf: GGUFFile(contentsOf: Fixture.path("embeddings/tied.gguf")), computeType: .float32)
  }

  private func tokens() throws -> [Int32] { try values.integers("tokens").map(Int32.init) }

  @Test(arguments: cases) func logitsAreThoseOfPEFT(_ adapter: Case) throws {
    let model = try Self.base(adapter.isTied)
    let loaded = try model.loadAdapter("x", from: Fixture.path("embeddings/\(adapter.name)"))
    #expect(loaded.summary.warnings == adapter.warnings)
    let expected = try values.floats("\(adapter.name).logits")
    expectClose(actual: try logits(model), expected: expected, atol: 2e-5, rtol: 2e-5)

    // The same as one model's weights.
    let merged = try Self.base(adapter.isTied)
    let parameters = try model.mergedParameters(["x"])
    for (path, parameter) in merged.namedParameters {
      let new = try #require(parameters.first { $0.path == path })
      parameter.load(new.rows(0..<new.rowCount).reshaped(parameter.value.shape))
    }
    expectClose(actual: try logits(merged), expected: expected, atol: 2e-5, rtol: 2e-5)

    // And once more through our own files, which have no copies.
    let folder = try TemporaryFolder()
    try model.saveAdapter("x", loaded.configuration, to: folder.path)
    let other = try Self.base(adapter.isTied)
    #expect(try other.loadAdapter("y", from: folder.path).summary.warnings == [])
    #expect(try logits(other).map(\.bitPattern) == logits(model).map(\.bitPattern))
  }

  @Test(arguments: cases) func gradientsAreThoseOfPEFT(_ adapter: Case) throws {
    let model = try Self.base(adapter.isTied)
    guard !adapter.name.hasPrefix("weight-tying") else {
      #expect(
        message {
          try model.loadAdapter(
            "x", from: Fixture.path("embeddings/\(adapter.name)"), isTrainable: true)
        }.hasSuffix(
          """
          adapter_config.json: ensure_weight_tying: an adapter that is tied is read, scored and \
          merged, not trained
          hint: set ensure_weight_tying to false: embedding and head then learn apart
          """))
      return
    }
    try model.loadAdapter(
      "x", from: Fixture.path("embeddings/\(adapter.name)"), isTrainable: true)
    let tokens = try tokens()
    let trained = model.trainableParameters
    let (loss, gradients) = valueAndGradient(of: trained.map(\.parameter)) {
      let hidden = model.hiddenStates(tokens, packing: Packing(lengths: [tokens.count]))
      let rows = gatherRows(hidden, Array(0..<tokens.count - 1))
      return logitCrossEntropy(
        model.logits(rows), targets: Array(tokens.dropFirst()), scale: 1 / Float(tokens.count - 1)
      ).loss
    }
    expectClose(
      actual: [loss.item], expected: try values.floats("\(adapter.name).loss"), atol: 1e-5,
      rtol: 1e-5)
    #expect(!trained.isEmpty)
    for ((path, _), gradient) in zip(trained, gradients) {
      let name = path.replacing("modules_to_save.x.", with: "").replacing(".x", with: "")
      let expected = try values.floats("\(adapter.name).base_model.model.\(name)")
      expectClose(
        actual: gradient.elements, expected: expected, atol: 2e-5, rtol: 1e-3, name: name)
    }
  }

  /// Merged once: the table of both is one, as it was.
  @Test func aTiedPairKeepsTheTie() throws {
    let model = try Self.base(true)
    try model.loadAdapter("x", from: Fixture.path("embeddings/weight-tying"))
    let parameters = try model.mergedParameters(["x"])
    let table = try #require(parameters.first { $0.path == "model.embed_tokens.weight" })
    let head = try #require(parameters.first { $0.path == "lm_head.weight" })
    #expect(table.isChanged && head.equals(table))
    // With DoRA each side has lengths of its own.
    let other = try Self.base(true)
    try other.loadAdapter("x", from: Fixture.path("embeddings/weight-tying-dora"))
    let apart = try other.mergedParameters(["x"])
    #expect(
      try !#require(apart.first { $0.path == "lm_head.weight" }).equals(
        #require(apart.first { $0.path == "model.embed_tokens.weight" })))
  }

  /// What is left out beside a model is left out without one, and said.
  @Test func copiesAreLeftOutWithoutAModel() throws {
    let path = Fixture.path("embeddings/copies")
    let weights = try AdapterWeights(path)
    #expect(weights.warnings == [])
    #expect(
      try weights.leftOut(comparedWith: nil) == [
        Self.copies + ", not compared without the model's weights"
      ])
    #expect(try weights.leftOut(comparedWith: tinyModel()) == [Self.copies])
    #expect(try AdapterInspection(path, model: tinyModel()).warnings == [Self.copies])
    let folder = try TemporaryFolder()
    for target in [AdapterTarget.gguf, .mlx, .portable] {
      let report = try AdapterConversion(
        path, to: target, layout: tinyLayout, base: { try? tinyModel() }
      ).write(to: folder.file(target.rawValue), overwrite: false)
      #expect(report.warnings == [Self.copies])
    }
    let combined = try AdapterWeights.combining([(weights, 1)], CombinationOptions(method: .cat))
    #expect(combined.modules.map(\.path) == weights.modules.map(\.path))
  }

  /// PEFT puts a copy in the place of the model's own weight: one that differs would have to act.
  @Test func copiesOfOtherWeightsAreRefused() throws {
    var files = try AdapterFolder()
    let table = try #require(
      tinyModel().namedParameters.first { $0.path == "model.embed_tokens.weight" }
    ).parameter.value
    let name = "base_model.model.model.embed_tokens.weight"
    files.set(name, table + Tensor(0.01))
    let path = try files.write()
    let expected = """
      DIR/adapter_model.safetensors: the tensor \(name) is a copy of a base weight and differs from \
      the model's by 4.0% of its length
      hint: the adapter was made on other weights: use that base, or train the module with \
      modules_to_save
      """
    #expect(message(in: path) { try tinyModel().loadAdapter("x", from: path) } == expected)
    let weights = try AdapterWeights(path)
    #expect(message(in: path) { _ = try weights.leftOut(comparedWith: tinyModel()) } == expected)
    // Rounded once it is a copy all the same.
    files.set(name, table.converted(to: .bfloat16))
    let rounded = try files.write()
    #expect(
      try tinyModel().loadAdapter("x", from: rounded).summary.warnings == [
        "left out \(name): a copy of a base weight"
      ])
    // Of a base with another vocabulary.
    files.set(name, .zeros([42, 16]))
    #expect(
      message(in: path) { _ = try tinyModel().loadAdapter("x", from: files.write()) } == """
        DIR/adapter_model.safetensors: the tensor \(name) is a copy of a base weight of the shape \
        [42, 16], the model's is [40, 16]
        hint: the vocabulary of the adapter's base was resized: use that base
        """)
  }

  @Test func anEmbeddingsMagnitudesHaveNoPlaceInMLX() throws {
    let path = Fixture.path("embeddings/dora")
    #expect(
      message(in: path) { _ = try AdapterConversion(path, to: .mlx, layout: tinyLayout) } == """
        DIR/adapter_model.safetensors: model.embed_tokens has DoRA's magnitude of each dimension, \
        where MLX has one of each token
        hint: merge the adapter into its model with lora merge instead
        """)
  }
}
