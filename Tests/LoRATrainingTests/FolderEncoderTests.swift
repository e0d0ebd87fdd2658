// The tokenizer, template and stop tokens of a folder, against transformers; and what is refused.

import Foundation
import LoRAFormats
import LoRAJSON
import LoRATestSupport
import LoRAText
import LoRATraining
import Testing

struct FolderEncoderTests {
  private static let names = [
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
  ]

  /// A copy of the text files of Fixtures/folder/tied-f32.
  private static func copy() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for name in names {
      try folder.write([UInt8](Fixture.data("folder/tied-f32/" + name)), to: name)
    }
    return folder
  }

  private static func edit(
    _ folder: TemporaryFolder, _ name: String, _ change: (inout JSONObject) -> Void
  ) throws {
    let bytes = try Data(contentsOf: URL(fileURLWithPath: folder.file(name)))
    var object = try #require(try JSONValue(parsing: bytes).objectValue)
    change(&object)
    try folder.write(Array(JSONValue.object(object).serialized(.compact).utf8), to: name)
  }

  private static func encoder(_ path: String) throws -> TextEncoder {
    try TextEncoder(folder: ModelFolder(contentsOf: path))
  }

  private func ids(_ value: JSONValue?) -> [Int32] {
    (value?.arrayValue ?? []).compactMap { $0.integerValue.map(Int32.init) }
  }

  @Test func equalsTransformers() throws {
    let path = Fixture.path("folder/tied-f32")
    let encoder = try Self.encoder(path)
    let expected = try #require(
      try JSONValue(parsing: Fixture.text("folder/tied-f32/encoding.json")).objectValue)
    let texts = try #require(expected["texts"]?.arrayValue)
    #expect(texts.count == 4)
    for entry in texts {
      let pair = try #require(entry.arrayValue)
      let text = try #require(pair[0].stringValue)
      #expect(encoder.tokenizer.encode(text, addSpecialTokens: true) == ids(pair[1]), "\(text)")
      #expect(encoder.prompt(text: text) == ids(pair[1]), "\(text)")
    }
    let messages = try #require(expected["messages"]?.arrayValue)
    #expect(try encoder.prompt(messages: messages) == ids(expected["prompt"]))
    #expect(encoder.tokenizer.bosTokenID == 0)
    // <|end|> by the settings; <|eos|> and <|system|> by generation_config.json.
    #expect(encoder.tokenizer.eosTokenID == 2)
    #expect(encoder.tokenizer.endOfGenerationTokenIDs == [1, 2, 5])
  }

  /// add_bos_token decides where it is given; the template file before the settings' template.
  @Test func settingsDecide() throws {
    let folder = try Self.copy()
    try Self.edit(folder, "tokenizer_config.json") {
      $0["add_bos_token"] = false
      $0["add_eos_token"] = true
    }
    try folder.write(Array("{{ messages[0].content }}<|end|>".utf8), to: "chat_template.jinja")
    try FileManager.default.removeItem(atPath: folder.file("generation_config.json"))
    let encoder = try Self.encoder(folder.path)
    #expect(!encoder.tokenizer.addsBOS)
    #expect(encoder.tokenizer.addsEOS)
    #expect(encoder.prompt(text: "hello") == [265])
    #expect(try encoder.prompt(messages: [("user", "hello")]) == [265, 2])
    #expect(encoder.tokenizer.endOfGenerationTokenIDs == [1, 2])
  }

  /// Without tokenizer_config.json: special_tokens_map.json, else config.json's ids.
  @Test func otherFiles() throws {
    let folder = try Self.copy()
    try FileManager.default.removeItem(atPath: folder.file("tokenizer_config.json"))
    var encoder = try Self.encoder(folder.path)
    #expect(encoder.tokenizer.eosTokenID == 1)
    #expect(encoder.tokenizer.addsBOS)
    #expect(encoder.chatTemplate == nil)
    try folder.write(Array(#"{"eos_token": "<|user|>"}"#.utf8), to: "special_tokens_map.json")
    encoder = try Self.encoder(folder.path)
    #expect(encoder.tokenizer.eosTokenID == 3)
  }

  @Test func namedTemplates() throws {
    let folder = try Self.copy()
    try Self.edit(folder, "tokenizer_config.json") {
      $0["chat_template"] = [
        ["name": "tool_use", "template": "tools"], ["name": "default", "template": "hello"],
      ]
    }
    #expect(try Self.encoder(folder.path).prompt(messages: [("user", "x")]) == [265])
  }

  /// The file, the key, its new value (nil: the file is removed), and the message.
  static let faults: [(file: String, key: String?, value: JSONValue, message: String)] = [
    ("tokenizer.json", nil, .null, "DIR: the folder has no tokenizer.json"),
    (
      "tokenizer.json", "pre_tokenizer", ["type": "Metaspace"],
      "DIR/tokenizer.json: pre_tokenizer: the type Metaspace is not known"
    ),
    ("tokenizer.json", "model", [:], "DIR/tokenizer.json: model.vocab: is missing"),
    (
      "tokenizer_config.json", "bos_token", "<no>",
      "DIR/tokenizer_config.json: bos_token: \"<no>\" is not a token of tokenizer.json"
    ),
    (
      "tokenizer_config.json", "bos_token", "<|user|>",
      "DIR/tokenizer_config.json: bos_token: is the token 3, but tokenizer.json adds the token 0"
    ),
    (
      "tokenizer_config.json", "eos_token", 7,
      "DIR/tokenizer_config.json: eos_token: is a number, not a token"
    ),
    (
      "tokenizer_config.json", "add_bos_token", "yes",
      "DIR/tokenizer_config.json: add_bos_token: is a string"
    ),
    (
      "tokenizer_config.json", "added_tokens_decoder", ["300": ["content": "<new>"]],
      "DIR/tokenizer_config.json: added_tokens_decoder.300: \"<new>\" is not this token"
    ),
    (
      "tokenizer_config.json", "chat_template", "{% for",
      "DIR/tokenizer_config.json: chat_template: "
    ),
    (
      "tokenizer_config.json", "chat_template", [["name": "other", "template": "x"]],
      "DIR/tokenizer_config.json: chat_template: is neither a template nor a list with one named"
    ),
    (
      "generation_config.json", "eos_token_id", ["x"],
      "DIR/generation_config.json: eos_token_id: [\"x\"] is not an id or a list of ids"
    ),
  ]

  @Test(arguments: faults.indices) func isRefused(index: Int) throws {
    let fault = Self.faults[index]
    let folder = try Self.copy()
    if let key = fault.key {
      try Self.edit(folder, fault.file) { $0[key] = fault.value }
    } else {
      try FileManager.default.removeItem(atPath: folder.file(fault.file))
    }
    do {
      _ = try Self.encoder(folder.path)
      Issue.record("nothing was thrown: \(fault.message)")
    } catch let error as ModelFileError {
      let text = "\(error)".replacingOccurrences(of: folder.path, with: "DIR")
      #expect(text.hasPrefix(fault.message), "\(text)")
    }
  }
}
