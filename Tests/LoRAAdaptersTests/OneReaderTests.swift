// One rule for PEFT's files, beside a model (generate, score, merge) and without one (convert, combine,
// inspect): what one refuses the other refuses, what one says the other says.

import Foundation
import LoRAAdapters
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

@Suite struct OneReaderTests {
  /// Refused by both, in other words: without a model a pair is looked at as a whole, and targets only
  /// where the file has tensors.
  private static let otherWords: Set<String> = [
    "A transposed", "B transposed", "A and B exchanged", "rank of the tensors",
    "rank of one factor", "rank of the configuration", "wider base", "A of three axes",
    "A of one axis", "A without elements", "trained tokens beyond the vocabulary",
    "a regular expression that never ends", "targets that match nothing", "targets of a container",
    "a rank pattern that the tensors do not have", "layers without their targets",
    "everything is excluded",
  ]
  /// What the file alone does not show.
  private static let needBase: Set<String> = [
    "layer missing", "layer beyond the model", "wider base", "a module to save is missing",
    "a module to save of another size",
  ]

  @Test(arguments: HostileAdapterTests.cases)
  func spoiltAdaptersAreRefusedAlike(adapter: HostileAdapter) throws {
    var files = try AdapterFolder()
    adapter.spoil(&files)
    let path = try files.write()
    if let file = adapter.file {
      let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path + "/" + file)))
      try files.folder.write(adapter.change(bytes), to: file)
    }
    let name = adapter.testDescription
    let found = message(in: path) { _ = try AdapterWeights(path, layout: tinyLayout) }
    #expect(
      Self.otherWords.contains(name)
        ? found != "nothing was thrown" && found.hasPrefix("DIR/") : found == adapter.expected,
      "\(found)")
    let bare = message(in: path) { _ = try AdapterWeights(path) }
    #expect((bare == "nothing was thrown") == Self.needBase.contains(name), "\(bare)")
  }

  // MARK: - Keys that PEFT 0.21.2 does not have

  private static let off: [(String, JSONValue, String)] = [
    ("lora_next", .null, "null"), ("lora_next", false, "false"), ("lora_next", [:], "{}"),
    ("lora_next", [], "[]"), ("enable_lora", .null, "null"), ("merge_weights", false, "false"),
  ]

  @Test(arguments: off)
  func anUnknownKeyThatIsOffIsSaid(key: String, value: JSONValue, text: String) throws {
    var files = try AdapterFolder()
    files.configuration[key] = value
    let path = try files.write()
    let expected = [
      "adapter_config.json: the key \"\(key)\" is unknown and ignored, since it is \(text)"
    ]
    #expect(try tinyModel().loadAdapter("x", from: path).summary.warnings == expected)
    #expect(try AdapterWeights(path).warnings == expected)
    #expect(try AdapterInspection(path).warnings == expected)
  }

  @Test func aKeyThatIsNearlyKnownIsNamed() throws {
    var files = try AdapterFolder()
    files.configuration["use_rslorra"] = false
    #expect(
      try AdapterWeights(files.write()).warnings == [
        "adapter_config.json: the key \"use_rslorra\" is unknown and ignored, since it is false; did "
          + "you mean \"use_rslora\"?"
      ])
  }

  @Test(arguments: [true, 0, 1, "", "x", [0], ["a": .null]] as [JSONValue])
  func anUnknownKeyThatIsSetIsRefused(value: JSONValue) throws {
    var files = try AdapterFolder()
    files.configuration["enable_lora"] = value
    let path = try files.write()
    for read in [
      { _ = try tinyModel().loadAdapter("x", from: path) }, { _ = try AdapterWeights(path) },
    ] as [() throws -> Void] {
      #expect(
        message(in: path, read) == """
          DIR/adapter_config.json: the key "enable_lora" is unknown
          hint: PEFT 0.21.2 has no such key: remove it if the adapter does not depend on it
          """)
    }
  }

  // MARK: - Dropout of everything

  @Test func dropoutOfEverythingIsReadAndNotTrained() throws {
    var files = try AdapterFolder()
    files.configuration["lora_dropout"] = 1.0
    let path = try files.write()
    let model = try tinyModel()
    let loaded = try model.loadAdapter("x", from: path)
    #expect(loaded.configuration.dropout == 1 && loaded.summary.warnings == [])
    files.configuration["lora_dropout"] = 0.0
    let plain = try tinyModel()
    try plain.loadAdapter("x", from: files.write())
    #expect(try logits(model) == logits(plain))

    let folder = try TemporaryFolder()
    try model.saveAdapter("x", loaded.configuration, to: folder.file("again"))
    #expect(try tinyModel().loadAdapter("y", from: folder.file("again")).configuration.dropout == 1)
    files.configuration["lora_dropout"] = 1.0
    _ = try files.write()
    #expect(
      message(in: path) { try tinyModel().loadAdapter("x", from: path, isTrainable: true) } == """
        DIR/adapter_config.json: lora_dropout is 1: every input of the adapter is dropped while it \
        is trained
        hint: write a lora_dropout below 1 to train it; generate, score, merge and convert read it
        """)
    for target in [AdapterTarget.gguf, .portable] {
      try convert(path, target, folder.file(target.rawValue))
    }
    // mlx-lm refuses a dropout of 1.
    #expect(
      try convert(path, .mlx, folder.file("mlx")).warnings == [
        "dropout 1 is written as 0, since MLX refuses it; it counts in training alone"
      ])
    #expect(try AdapterWeights(folder.file("mlx")).dropout == 0)
    files.configuration["lora_dropout"] = 1.5
    #expect(
      message(in: path) { _ = try AdapterWeights(files.write()) } == """
        DIR/adapter_config.json: dropout is 1.5, which is not in [0, 1)
        hint: it is the share of inputs to drop: 0 for none, 0.05 for one in twenty
        """)
  }

  // MARK: - What only the file tells

  @Test func namesOfWhichTheFileHoldsNothingAreSaid() throws {
    var files = try AdapterFolder()
    files.configuration["target_modules"] = ["o_proj", "c_attn"]
    files.configuration["modules_to_save"] = ["score"]
    let path = try files.write()
    #expect(
      try AdapterWeights(path).warnings == [
        "target_modules names \"c_attn\", of which the file holds nothing",
        "modules_to_save names \"score\", of which the file holds nothing",
      ])
    #expect(
      try tinyModel().loadAdapter("x", from: path).summary.warnings == [
        "target_modules names \"c_attn\", which matches no module of the model",
        "modules_to_save names \"score\", which matches no module of the model",
      ])
  }
}
