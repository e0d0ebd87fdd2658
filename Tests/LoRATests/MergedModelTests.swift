// Models with everything that an adapter may have, merged into a folder: it computes the same.

import LoRA
import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

/// An adapter's configuration, the model it is for, and whether the embeddings stay one tensor.
struct MergedCase: CustomTestStringConvertible {
  var name: String
  var model = "tied-f32"
  var staysTied = true
  var configuration: LoRAConfiguration

  var testDescription: String { name }

  init(
    _ name: String, model: String = "tied-f32", staysTied: Bool = true,
    targets: [String] = ["q_proj", "down_proj"],
    _ change: (inout LoRAConfiguration) -> Void = { _ in }
  ) {
    self.name = name
    self.model = model
    self.staysTied = staysTied
    configuration = LoRAConfiguration(rank: 4, alpha: 6, targets: .names(targets))
    change(&configuration)
  }

  static let all = [
    MergedCase("pairs"), MergedCase("DoRA") { $0.usesDoRA = true },
    MergedCase("embedding", staysTied: false, targets: ["embed_tokens", "v_proj"]),
    MergedCase("head", staysTied: false, targets: ["lm_head"]),
    MergedCase("embedding and head", staysTied: false, targets: ["lm_head", "embed_tokens"]),
    MergedCase("trained tokens") { $0.trainedTokens = [TrainedTokens([3, 7, 268])] },
    MergedCase("a norm trained whole") { $0.modulesToSave = ["model.norm"] },
    MergedCase("the embedding trained whole", staysTied: false) {
      $0.modulesToSave = ["embed_tokens"]
    },
    MergedCase("the head trained whole", staysTied: false) { $0.modulesToSave = ["lm_head"] },
    MergedCase("a head of its own", model: "sharded-bf16", staysTied: false, targets: ["lm_head"]),
    MergedCase("biases", model: "biased-f32", staysTied: false) { $0.biases = .all },
    MergedCase("biases of layers", model: "biased-f32", staysTied: false) {
      $0.biases = .adaptedLayers
    },
    MergedCase("biases of B", model: "biased-f32", staysTied: false) { $0.hasBiasOfB = true },
  ]
}

@Suite struct MergedModelTests {
  private func logits(_ model: Llama) -> [Float] {
    let tokens: [Int32] = [0, 7, 3, 31, 3, 30, 12, 1]
    let hidden = model.hiddenStates(tokens, packing: Packing(lengths: [tokens.count]))
    return model.logits(hidden).elements
  }

  @Test(arguments: MergedCase.all) func computesTheSame(test: MergedCase) throws {
    let source = try ModelSource(path: Fixture.path("folder/\(test.model)"))
    let network = try source.network(computeType: .float32, asStored: true)
    let plain = logits(network)
    try network.addAdapter("x", test.configuration, seed: 1)
    var random = Random(seed: 2)
    for (_, parameter) in network.trainableParameters {
      let noise = random.normal(parameter.value.shape, deviation: 0.2)
      parameter.load(parameter.value + noise)
    }
    let expected = logits(network)
    #expect(zip(expected, plain).contains { abs($0 - $1) > 0.05 })

    let folder = try TemporaryFolder()
    let merged = try MergedModel(network, of: source, adapters: ["x"], dtype: .float32)
    #expect(merged.tiesEmbeddings == test.staysTied)
    try merged.write(to: folder.path, maximumShardBytes: 10_000) { _ in }
    let read = try ModelFolder(contentsOf: folder.path)
    #expect(read.configuration["tie_word_embeddings"] == .bool(test.staysTied))
    let names = try SafeTensorsShards(read).tensorNames
    #expect(names.contains("lm_head.weight") == !test.staysTied)
    let result = try Llama(folder: read, computeType: .float32)
    expectClose(actual: logits(result), expected: expected, atol: 1e-4, rtol: 1e-5)

    // Without adapters, it is the base that is written.
    let base = try MergedModel(network, of: source, adapters: [])
    #expect(base.dtype == (test.model == "sharded-bf16" ? .bfloat16 : .float32))
    #expect(base.tiesEmbeddings == network.configuration.tiesEmbeddings)
  }

  @Test func aBiasWithoutAPlaceIsRefused() throws {
    let source = try ModelSource(path: Fixture.path("folder/tied-f32"))
    let network = try source.network(computeType: .float32)
    var configuration = LoRAConfiguration(rank: 2, targets: .names(["q_proj"]))
    configuration.hasBiasOfB = true
    try network.addAdapter("x", configuration, seed: 1)
    #expect {
      _ = try MergedModel(network, of: source, adapters: ["x"])
    } throws: {
      "\($0)"
        == "the adapter adds a bias to model.layers.0.self_attn.q_proj (lora_bias), which has "
        + "none in the model\nhint: the merged model would be one that transformers does not know: "
        + "use the adapter as it is"
    }
  }

  /// Two networks that say the same, one that does not, and one that says nothing.
  @Test func differencesOfLogits() throws {
    let source = try ModelSource(path: Fixture.path("folder/tied-f32"))
    let (a, b) = (
      try source.network(computeType: .float32), try source.network(computeType: .float32)
    )
    let same = LogitDifference(of: a, b, over: [[1, 2, 3], [4]])
    #expect(same.count == 4)
    #expect(same.maximum == 0 && same.meanDivergence < 1e-6 && same.agreement == 1)
    let scale: Float = 2
    let norm = try #require(b.namedParameters.first { $0.path == "model.norm.weight" }).parameter
    norm.load(norm.value * Tensor(scale))
    let different = LogitDifference(of: a, b, over: [[1, 2, 3], [4]])
    let x = a.logits(a.hiddenStates([4], packing: Packing(lengths: [1]))).elements
    let largest = x.map { abs($0) }.max() ?? 0
    #expect(different.maximum >= largest * 0.999)
    #expect(different.agreement == 1)
    #expect(different.meanDivergence > 1e-3)
    #expect(different.maximumDivergence >= different.meanDivergence)
    norm.load(norm.value * Tensor(.nan))
    let broken = LogitDifference(of: a, b, over: [[4]])
    #expect(broken.maximum.isNaN && broken.meanDivergence.isNaN)
  }
}
