// Files that PEFT wrote, and files like PEFT's.

import Foundation
import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

@Suite struct PEFTFileTests {
  static let names = ["all-linear", "rank-stabilised", "o-proj"]

  @Test func baseEqualsTransformers() throws {
    let expected = try FixtureTensors("adapters/logits.safetensors").floats("base")
    expectClose(actual: try logits(tinyModel()), expected: expected, atol: 2e-5, rtol: 2e-5)
  }

  @Test(arguments: names) func adaptersOfPEFTGiveTheLogitsOfPEFT(name: String) throws {
    let model = try tinyModel()
    let loaded = try model.loadAdapter("x", from: Fixture.path("adapters/\(name)"))
    #expect(loaded.summary.warnings == [])
    #expect(loaded.summary.trainableParameterCount == 0)
    #expect(model.trainableParameters.isEmpty)
    let expected = try FixtureTensors("adapters/logits.safetensors").floats(name)
    expectClose(actual: try logits(model), expected: expected, atol: 2e-5, rtol: 2e-5, name: name)
  }

  /// A file of PEFT that is loaded and saved is the same file, but for the base's identity in its
  /// header: what we write PEFT would have written.
  @Test(arguments: names) func savedAgainIsTheSameFileByteForByte(name: String) throws {
    let model = try tinyModel()
    let loaded = try model.loadAdapter("x", from: Fixture.path("adapters/\(name)"))
    let folder = try TemporaryFolder()
    try model.saveAdapter("x", loaded.configuration, to: folder.path)
    #expect(folder.contents == ["adapter_config.json", "adapter_model.safetensors"])
    let written = try String(contentsOfFile: folder.file("adapter_config.json"), encoding: .utf8)
    #expect(written == (try Fixture.text("adapters/\(name)/adapter_config.json")))
    if name != "rank-stabilised" {  // BF16 there, F32 here
      let path = folder.file("adapter_model.safetensors")
      let metadata = try SafeTensorsFile(contentsOf: path).metadata
      let identity = try #require(metadata["base_weights_sha256"])
      #expect(metadata == ["format": "pt", "base_weights_sha256": identity])
      var header = try String(
        decoding: Data(contentsOf: URL(fileURLWithPath: path)).dropFirst(8), as: UTF8.self)
      header = header.replacing(#","base_weights_sha256":"\#(identity)""#, with: "")
      let expected = String(
        decoding: try Fixture.data("adapters/\(name)/adapter_model.safetensors").dropFirst(8),
        as: UTF8.self)
      #expect(header.trimmedPadding == expected.trimmedPadding)
    }
  }

  @Test func configurationsOfPEFT() throws {
    func configuration(_ name: String) throws -> LoRAConfiguration {
      try tinyModel().loadAdapter("x", from: Fixture.path("adapters/\(name)")).configuration
    }
    #expect(
      try configuration("rank-stabilised")
        == LoRAConfiguration(
          rank: 3, alpha: 4.5, dropout: 0.05, targets: .names(["down_proj", "q_proj"]),
          baseModel: "tiny/llama-ü", isRankStabilized: true))
    #expect(
      try configuration("o-proj")
        == LoRAConfiguration(
          rank: 2, alpha: 2, targets: .names(["o_proj"]), baseModel: "tiny/llama-ü"))
    guard case .names(let targets) = try configuration("all-linear").targets else {
      Issue.record("the targets are not names")
      return
    }
    #expect(Set(targets) == Set(allPaths))
  }

  @Test(arguments: [
    LoRAConfiguration(rank: 4), LoRAConfiguration(rank: 3, alpha: 7.5, baseModel: "a/b"),
    LoRAConfiguration(
      rank: 2, alpha: 16, dropout: 0.1, targets: .names(["v_proj", "mlp.up_proj"])),
    LoRAConfiguration(rank: 5, alpha: 16, isRankStabilized: true),
  ])
  func savedAndLoadedIsTheSame(configuration: LoRAConfiguration) throws {
    let model = try tinyModel()
    try model.addAdapter("x", configuration, seed: 5)
    fill(model, "x", seed: 6)
    let expected = try logits(model)
    let folder = try TemporaryFolder()
    let path = folder.file("deep/er")
    try model.saveAdapter("x", configuration, to: path)

    let other = try tinyModel()
    let loaded = try other.loadAdapter("y", from: path, isTrainable: true)
    #expect(loaded.summary.modulePaths == model.adapterPairs("x").map(\.path))
    #expect(loaded.summary.trainableParameterCount == loaded.summary.parameterCount)
    #expect(other.trainableParameters.count == 2 * loaded.summary.modulePaths.count)
    for (a, b) in zip(model.adapterPairs("x"), other.adapterPairs("y")) {
      #expect(a.pair.a.value.elements == b.pair.a.value.elements)
      #expect(a.pair.b.value.elements == b.pair.b.value.elements)
      #expect(a.pair.scale == b.pair.scale && b.pair.dropout == configuration.dropout)
    }
    #expect(try logits(other).map(\.bitPattern) == expected.map(\.bitPattern))

    try other.saveAdapter("y", loaded.configuration, to: folder.file("again"))
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
      #expect(
        FileManager.default.contents(atPath: path + "/" + file)
          == FileManager.default.contents(atPath: folder.file("again/" + file)))
    }
  }

  @Test func allLinearIsWrittenAsSuffixes() throws {
    let model = try tinyModel()
    let configuration = LoRAConfiguration(rank: 4)
    try model.addAdapter("x", configuration, seed: 5)
    let folder = try TemporaryFolder()
    try model.saveAdapter("x", configuration, to: folder.path)
    let text = try String(contentsOfFile: folder.file("adapter_config.json"), encoding: .utf8)
    let object = try #require(try JSONValue(parsing: text).objectValue)
    #expect(
      object["target_modules"] == [
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
      ])
    // With alpha unset the scale is 1.
    #expect(object["lora_alpha"] == 4 && object["r"] == 4)
    #expect(object.count == 41)
  }

  /// A suffix that would also select a layer that stays plain is made longer.
  @Test func suffixesSelectNothingElse() throws {
    final class Block: Module {
      var fc: any LinearLayer = Linear(4, 4)
      let plain: Bool
      init(plain: Bool) { self.plain = plain }
      var children: [ModuleChild] {
        [plain ? ModuleChild("fc", fc) : ModuleChild("fc", in: self, \.fc)]
      }
    }
    final class Network: Module {
      let blocks = [Block(plain: false), Block(plain: true), Block(plain: false)]
      var children: [ModuleChild] {
        blocks.enumerated().map { ModuleChild("blocks.\($0)", $1) }
      }
    }
    let network = Network()
    try network.addAdapter("x", LoRAConfiguration(rank: 2), seed: 1)
    let folder = try TemporaryFolder()
    try network.saveAdapter("x", LoRAConfiguration(rank: 2), to: folder.path)
    let text = try String(contentsOfFile: folder.file("adapter_config.json"), encoding: .utf8)
    let targets = try JSONValue(parsing: text).objectValue?["target_modules"]
    #expect(targets == ["0.fc", "2.fc"])
  }

  @Test func factorsMayBeTrainedAfterLoading() throws {
    let model = try tinyModel()
    let files = try AdapterFolder()
    let folder = try files.write()
    try model.loadAdapter("x", from: folder, isTrainable: true)
    let parameters = model.trainableParameters.map(\.parameter)
    #expect(parameters.count == 4)
    let optimizer = AdamW(parameters, learningRate: 0.1)
    let gradients = parameters.map { Tensor.full($0.value.shape, 1) }
    optimizer.step(gradients)
    #expect(parameters[0].value.elements.allSatisfy { $0 != 0.5 })
    #expect(try tinyModel().loadAdapter("x", from: folder).summary.warnings == [])
    withExtendedLifetime(files) {}
  }

  @Test(arguments: [DType.float16, .bfloat16]) func halfPrecisionBecomesFloat32(type: DType) throws
  {
    var adapter = try AdapterFolder()
    adapter.tensors = adapter.tensors.map { ($0.name, $0.tensor.converted(to: type)) }
    let model = try tinyModel()
    try model.loadAdapter("x", from: adapter.write())
    for (_, pair) in model.adapterPairs("x") {
      #expect(pair.a.value.dtype == .float32 && pair.b.value.dtype == .float32)
      #expect(pair.a.value.elements.allSatisfy { $0 == 0.5 })
    }
  }

  @Test func theNameDefaultMayBeInTheFile() throws {
    var adapter = try AdapterFolder()
    adapter.tensors = adapter.tensors.map {
      ($0.name.replacingOccurrences(of: ".weight", with: ".default.weight"), $0.tensor)
    }
    #expect(
      try tinyModel().loadAdapter("x", from: adapter.write()).summary.modulePaths.count == 2)
  }

  /// What says nothing may be said in other words, or not at all.
  @Test func fewKeysAreEnough() throws {
    var adapter = try AdapterFolder()
    adapter.configuration = [
      "peft_type": "LORA", "r": 2, "lora_alpha": 4.0, "target_modules": ["o_proj"],
      "rank_pattern": nil, "modules_to_save": [], "layers_to_transform": [], "use_bdlora": false,
      "init_lora_weights": "gaussian", "task_type": nil,
      "auto_mapping": ["base_model_class": "LlamaForCausalLM"], "revision": "main",
      "inference_mode": false, "peft_version": "0.9.0",
    ]
    let loaded = try tinyModel().loadAdapter("x", from: adapter.write())
    #expect(
      loaded.configuration == LoRAConfiguration(rank: 2, alpha: 4, targets: .names(["o_proj"])))
  }

  @Test func warnings() throws {
    var adapter = try AdapterFolder()
    adapter.configuration["target_modules"] = ["o_proj", "c_attn"]
    for layer in 0..<2 { adapter.set(AdapterFolder.name(layer, "B"), .zeros([16, 2])) }
    #expect(
      try tinyModel().loadAdapter("x", from: adapter.write()).summary.warnings == [
        "target_modules names \"c_attn\", which matches no module of the model",
        "every lora_B of the adapter, or its scale, is 0: it changes nothing, as before training",
      ])
  }

  @Test func otherAdaptersStayAsTheyAre() throws {
    let model = try tinyModel()
    try model.addAdapter("a", LoRAConfiguration(rank: 2), seed: 1)
    let files = try AdapterFolder()
    let folder = try files.write()
    try model.loadAdapter("b", from: folder)
    #expect(model.trainableParameters.count == 28)
    try model.loadAdapter("c", from: folder, isTrainable: true)
    #expect(model.trainableParameters.map(\.path).allSatisfy { $0.contains(".c.") })
    #expect(model.adapterNames == ["a", "b", "c"])
    withExtendedLifetime(files) {}
  }

  @Test func savingWhatIsNotThere() throws {
    let model = try tinyModel()
    let folder = try TemporaryFolder()
    let configuration = LoRAConfiguration(rank: 2, alpha: 4, targets: .names(["q_proj"]))
    func save(_ name: String, _ configuration: LoRAConfiguration, to path: String? = nil) -> String
    {
      message(in: folder.path) {
        try model.saveAdapter(name, configuration, to: path ?? folder.file("out"))
      }
    }
    #expect(
      save("x", configuration) == "the model has no adapter \"x\"\nhint: add or load one first")
    try model.addAdapter("x", configuration, seed: 1)
    let hint = "\nhint: save an adapter with the configuration it was added or loaded with"
    #expect(
      save("x", LoRAConfiguration(rank: 3, targets: .names(["q_proj"])))
        == "the pair at model.layers.0.self_attn.q_proj has rank 2 and scale 2.0, the configuration "
        + "rank 3 and scale 1.0" + hint)
    #expect(
      save("x", LoRAConfiguration(rank: 2, alpha: 4, targets: .names(["q_proj", "o_proj"])))
        == "the configuration's targets and the adapter differ at "
        + "model.layers.0.self_attn.o_proj, model.layers.1.self_attn.o_proj" + hint)
    try folder.write([1], to: "file")
    #expect(
      save("x", configuration, to: folder.file("file"))
        == "DIR/file: cannot make the folder: DIR/file is a file\nhint: choose another name")
    #expect(
      save("x", configuration, to: folder.file("file/below"))
        == "DIR/file/below: cannot make the folder: DIR/file is a file\nhint: choose another name")
    model.adapterPairs("x")[1].pair.b.load(Tensor.full([16, 2], .infinity))
    #expect(
      save("x", configuration)
        == "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight has the value inf at 0: "
        + "the adapter is broken\n"
        + "hint: the training diverged: use a lower learning rate, or an earlier checkpoint")
    #expect(folder.contents == ["file"])
  }
}

extension String {
  /// Without the spaces that pad a header to a multiple of 8 bytes.
  fileprivate var trimmedPadding: String {
    replacing(/}}\ */, with: "}}")
  }
}
