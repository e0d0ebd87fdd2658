// Adapters to llama.cpp's, MLX's and portable files and back: the same numbers, the same logits.

import Foundation
import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

/// The modules of the tiny Llama.
let tinyLayout = LlamaLayout(
  layerCount: 2, hiddenSize: 16, intermediateSize: 24, headCount: 4, keyValueHeadCount: 2,
  headDimension: 4, vocabularySize: 40, tiesEmbeddings: false)

/// Converts an adapter to a new file or folder and returns its path.
@discardableResult
func convert(
  _ adapter: String, _ target: AdapterTarget, _ output: String, layout: LlamaLayout? = tinyLayout,
  dtype: DType? = nil, overwrite: Bool = false
) throws -> ConversionReport {
  try AdapterConversion(adapter, to: target, layout: layout, dtype: dtype)
    .write(to: output, overwrite: overwrite)
}

@Suite struct ConversionTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func bytes(_ path: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: path))
  }

  @Test(
    arguments: PEFTFileTests.names, [AdapterTarget.gguf, .mlx])
  func thereAndBackIsTheSameFileByteForByte(name: String, target: AdapterTarget) throws {
    let original = Fixture.path("adapters/\(name)")
    let report = try convert(original, target, folder.file("there"))
    #expect(report.isExact && report.warnings == [])
    try convert(folder.file("there"), .peft, folder.file("back"))
    #expect(
      try bytes(folder.file("back/adapter_model.safetensors"))
        == Fixture.data("adapters/\(name)/adapter_model.safetensors"))
    let model = try tinyModel()
    try model.loadAdapter("x", from: folder.file("back"))
    let expected = try FixtureTensors("adapters/logits.safetensors").floats(name)
    expectClose(actual: try logits(model), expected: expected, atol: 2e-5, rtol: 2e-5, name: name)
  }

  @Test(arguments: PEFTFileTests.names) func portableGivesTheLogitsOfPEFT(name: String) throws {
    try convert(Fixture.path("adapters/\(name)"), .portable, folder.file("out"))
    let model = try tinyModel()
    let loaded = try model.loadAdapter("x", from: folder.file("out"))
    #expect(loaded.configuration.alpha == Float(loaded.configuration.rank))
    #expect(!loaded.configuration.isRankStabilized)
    let expected = try FixtureTensors("adapters/logits.safetensors").floats(name)
    expectClose(actual: try logits(model), expected: expected, atol: 2e-5, rtol: 2e-5, name: name)
  }

  @Test func rowsOfQueriesAndKeysAreInLlamaCppsOrder() throws {
    // B's element is its row's number; 4 heads of 4 rows: the halves of a head become neighbours.
    var adapter = try AdapterFolder()
    adapter.configuration["target_modules"] = ["k_proj", "q_proj"]
    adapter.tensors = []
    for layer in 0..<2 {
      for (name, rows) in [("q_proj", 16), ("k_proj", 8)] {
        let path = "base_model.model.model.layers.\(layer).self_attn.\(name)"
        let b = Tensor((0..<rows * 2).map { Float($0 / 2) }, shape: [rows, 2])
        adapter.set(path + ".lora_A.weight", Tensor.full([2, 16], 0.5))
        adapter.set(path + ".lora_B.weight", b)
      }
    }
    try convert(adapter.write(), .gguf, folder.file("a.gguf"))
    let file = try GGUFFile(contentsOf: folder.file("a.gguf"))
    func rows(_ name: String) throws -> [Float] {
      let values = Tensor(try file.bytes(of: name)).elements
      return stride(from: 0, to: values.count, by: 2).map { values[$0] }
    }
    let expected: [Float] = [0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15]
    #expect(try rows("blk.0.attn_q.weight.lora_b") == expected)
    #expect(try rows("blk.1.attn_k.weight.lora_b") == Array(expected.prefix(8)))
    #expect(file.tensorInfo("blk.0.attn_q.weight.lora_a")?.shape == [2, 16])
    #expect(try file.string("general.architecture") == "llama")
    #expect(try file.string("general.type") == "adapter")
    #expect(try file.string("adapter.type") == "lora")
    #expect(try file.value("adapter.lora.alpha") == .float32(2))
    #expect(try file.string("general.base_model.0.name") == "tiny/llama-ü")
  }

  /// An adapter whose layers have alphas 4, 4, 8 and 5: two as they are, one times 2, one rounded.
  private func mixedAlphas() throws -> AdapterFolder {
    var adapter = try AdapterFolder()
    adapter.configuration["target_modules"] = ["o_proj", "v_proj"]
    adapter.configuration["lora_alpha"] = 4
    adapter.configuration["alpha_pattern"] = [
      "layers.0.self_attn.o_proj": 8, "layers.1.self_attn.o_proj": 5,
    ]
    var random = Random(seed: 1)
    for layer in 0..<2 {
      let path = "base_model.model.model.layers.\(layer).self_attn."
      adapter.set(path + "v_proj.lora_A.weight", random.normal([2, 16]))
      adapter.set(path + "v_proj.lora_B.weight", random.normal([8, 2]))
      adapter.set(path + "o_proj.lora_B.weight", random.normal([16, 2]))
    }
    return adapter
  }

  @Test func whatDoesNotFitOneAlphaIsFoldedIntoBInOneRounding() throws {
    let adapter = try mixedAlphas()
    let report = try convert(adapter.write(), .gguf, folder.file("a.gguf"))
    #expect(report.exactlyFolded == 1 && report.roundedFolded == 1 && report.padded == 0)
    let file = try GGUFFile(contentsOf: folder.file("a.gguf"))
    #expect(try file.value("adapter.lora.alpha") == .float32(4))
    for (layer, factor) in [(0, 2.0), (1, 1.25)] {
      let old = try #require(
        adapter.tensors.first { $0.name == AdapterFolder.name(layer, "B") }
      ).tensor.elements
      let new = Tensor(try file.bytes(of: "blk.\(layer).attn_output.weight.lora_b")).elements
      #expect(new == old.map { Float(Double($0) * factor) })
    }
    let (before, after) = (try tinyModel(), try tinyModel())
    try before.loadAdapter("x", from: adapter.folder.path)
    for target in [AdapterTarget.peft] {
      try convert(folder.file("a.gguf"), target, folder.file("back"))
      try after.loadAdapter("x", from: folder.file("back"))
    }
    expectClose(
      actual: try logits(after), expected: try logits(before), atol: 1e-5, rtol: 1e-5)
  }

  @Test func ranksThatDifferAreKeptWhereTheFormHasThem() throws {
    var adapter = try AdapterFolder()
    adapter.configuration["rank_pattern"] = ["layers.1.self_attn.o_proj": 3]
    var random = Random(seed: 2)
    adapter.set(AdapterFolder.name(1, "A"), random.normal([3, 16]))
    adapter.set(AdapterFolder.name(1, "B"), random.normal([16, 3]))
    let path = try adapter.write()
    let original = try bytes(path + "/adapter_model.safetensors")
    let expected = try {
      let model = try tinyModel()
      try model.loadAdapter("x", from: path)
      return try logits(model)
    }()
    for (target, padded) in [(AdapterTarget.gguf, 0), (.mlx, 1), (.portable, 1)] {
      let output = folder.file(target.rawValue)
      #expect(try convert(path, target, output).padded == padded)
      let back = target == .portable ? output : output + "-back"
      if back != output { try convert(output, .peft, back) }
      let model = try tinyModel()
      #expect(try model.loadAdapter("x", from: back).summary.warnings == [])
      expectClose(actual: try logits(model), expected: expected, atol: 1e-5, rtol: 1e-5)
      let isSame = try bytes(back + "/adapter_model.safetensors") == original
      #expect(isSame == (target == .gguf))
    }
  }

  @Test func keysOfMLXAreShortWhereTheLastLayersAreAlike() throws {
    func selection(_ layers: [Int], layout: LlamaLayout?) throws -> (JSONValue?, JSONValue?) {
      var adapter = try AdapterFolder()
      adapter.configuration["layers_to_transform"] = .array(layers.map { .integer($0) })
      for layer in 0..<2 where !layers.contains(layer) {
        adapter.remove(AdapterFolder.name(layer, "A"))
        adapter.remove(AdapterFolder.name(layer, "B"))
      }
      let output = folder.file(UUID().uuidString)
      try convert(adapter.write(), .mlx, output, layout: layout)
      let text = try String(contentsOfFile: output + "/adapter_config.json", encoding: .utf8)
      let object = try #require(try JSONValue(parsing: text).objectValue)
      return (object["num_layers"], object["lora_parameters"]?.objectValue?["keys"])
    }
    #expect(try selection([0, 1], layout: tinyLayout) == (2, ["self_attn.o_proj"]))
    #expect(try selection([1], layout: tinyLayout) == (1, ["self_attn.o_proj"]))
    // The first layer alone, and layers of a stack of unknown height.
    #expect(
      try selection([0], layout: tinyLayout) == (1, ["model.layers.0.self_attn.o_proj"]))
    #expect(try selection([1], layout: nil) == (2, ["model.layers.1.self_attn.o_proj"]))
  }

  /// Each number is the input's, rounded; PEFT's own folders too get another type.
  @Test(arguments: AdapterTarget.allCases, [DType.float16, .bfloat16])
  func otherElementTypes(target: AdapterTarget, dtype: DType) throws {
    let path = Fixture.path("adapters/o-proj")
    let report = try convert(path, target, folder.file("new"), dtype: dtype)
    let (old, new) = (
      try AdapterWeights(path), try AdapterWeights(folder.file("new"), layout: tinyLayout)
    )
    #expect(report.dtype == dtype && !report.isExact && report.vanished == 0)
    #expect(report.narrowed == 2 * old.modules.count)
    for (mine, theirs) in zip(new.modules, old.modules) {
      #expect(mine.a.dtype == dtype && mine.b.dtype == dtype)
      #expect(mine.a.elements == theirs.a.converted(to: dtype).elements)
      let factor = Float(theirs.scale / mine.scale)
      let b = (theirs.b.converted(to: .float32) * Tensor(factor)).converted(to: dtype)
      #expect(mine.b.elements == b.elements)
    }
    #expect(
      try convert(folder.file("new"), .peft, folder.file("wide"), dtype: .float32).narrowed == 0)
    let model = try tinyModel()
    try model.loadAdapter("x", from: folder.file("wide"))
    let expected = try FixtureTensors("adapters/logits.safetensors").floats("o-proj")
    expectClose(actual: try logits(model), expected: expected, atol: 0.02, rtol: 0.02)
  }

  @Test func numbersBeyondTheTypeAreNamed() throws {
    var adapter = try AdapterFolder()
    var values = [Float](repeating: 1e-9, count: 32)
    adapter.set(AdapterFolder.name(0, "B"), Tensor(values, shape: [16, 2]))
    let small = try convert(adapter.write(), .mlx, folder.file("small"), dtype: .float16)
    #expect(small.vanished == 32 && small.narrowed == 1)
    values[5] = 65_520
    adapter.set(AdapterFolder.name(0, "B"), Tensor(values, shape: [16, 2]))
    let path = try adapter.write()
    let place = "IN/adapter_model.safetensors: "
    for (target, name) in [
      (AdapterTarget.peft, "the tensor \(AdapterFolder.name(0, "B"))"),
      (.gguf, "B of model.layers.0.self_attn.o_proj"),
      (.mlx, "B of model.layers.0.self_attn.o_proj"),
    ] {
      let text = message { try convert(path, target, folder.file("new"), dtype: .float16) }
      #expect(
        text.replacing(path, with: "IN") == place
          + "\(name) has the value 65520.0 at 5, beyond what float16 holds\n"
          + "hint: take --dtype bf16 or f32")
    }
    #expect(folder.contents == ["small"])
    try convert(path, .gguf, folder.file("new"), dtype: .bfloat16)
  }

  /// PEFT's folder with another type keeps what only PEFT's files can hold.
  @Test(arguments: TrainedPartsTests.kinds.indices, [false, true])
  func whatOnlyPEFTHoldsIsKept(kind: Int, hasBiasOfB: Bool) throws {
    var configuration = LoRAConfiguration(rank: 2, alpha: 4, targets: .names(["q_proj"]))
    configuration.hasBiasOfB = hasBiasOfB
    TrainedPartsTests.kinds[kind].change(&configuration)
    if hasBiasOfB, configuration.targets != .names(["q_proj"]) { return }
    let model = try tinyModel()
    try model.addAdapter("a", configuration, seed: 1)
    var random = Random(seed: 2)
    for (_, parameter) in model.trainableParameters {
      parameter.load(parameter.value + random.normal(parameter.value.shape, deviation: 0.2))
    }
    let original = folder.file("original")
    try model.saveAdapter("a", configuration, to: original)
    let file = "/adapter_model.safetensors"
    try convert(original, .peft, folder.file("same"), dtype: .float32)
    #expect(try bytes(folder.file("same") + file) == bytes(original + file))
    let report = try convert(original, .peft, folder.file("half"), dtype: .float16)
    #expect(report.warnings == [])
    #expect(
      try bytes(folder.file("half/adapter_config.json"))
        == bytes(original + "/adapter_config.json"))
    let other = try tinyModel()
    let loaded = try other.loadAdapter("b", from: folder.file("half"))
    #expect(loaded.configuration == configuration && loaded.summary.warnings == [])
    expectClose(actual: try logits(other), expected: try logits(model), atol: 0.02, rtol: 0.02)
  }

  @Test func aScaleOfZeroBecomesAnEmptyB() throws {
    var adapter = try AdapterFolder()
    adapter.configuration["lora_alpha"] = 0
    let path = try adapter.write()
    let base = try logits(tinyModel())
    // llama.cpp takes an alpha of 0 for a scale of 1.
    for target in [AdapterTarget.gguf, .portable] {
      try convert(path, target, folder.file(target.rawValue))
      let weights = try AdapterWeights(folder.file(target.rawValue), layout: tinyLayout)
      #expect(weights.modules.allSatisfy { $0.b.elements.allSatisfy { $0 == 0 } })
    }
    let model = try tinyModel()
    try model.loadAdapter("x", from: folder.file("portable"))
    expectClose(actual: try logits(model), expected: base, atol: 1e-6, rtol: 1e-6)
  }
}
