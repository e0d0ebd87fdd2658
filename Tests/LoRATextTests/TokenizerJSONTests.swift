// tokenizer.json of every supported kind against `tokenizers`, and what is refused.

import Foundation
import LoRAJSON
import LoRATestSupport
import LoRAText
import Testing

struct TokenizerJSONTests {
  private static func file(_ name: String) throws -> JSONObject {
    let data = try Fixture.data("folder/tokenizers/\(name).json")
    return try #require(try JSONValue(parsing: data).objectValue)
  }

  private static func tokenizer(_ object: JSONObject) throws -> Tokenizer {
    try Tokenizer(TokenizerDescription(tokenizerJSON: object))
  }

  /// The cases that the GGUF tokenizers are held to: the two ways to the same tokenizer agree.
  @Test(arguments: ["gpt-2", "smollm", "llama-bpe", "qwen2"])
  func equalsTokenizers(kind: String) throws {
    let cases = try TokenizerFixtures.cases("tiny-\(kind).jsonl")
    #expect(cases.count > 250)
    let differences = TokenizerFixtures.differences(
      try Self.tokenizer(Self.file(kind)), cases)
    #expect(differences.isEmpty, "\(differences.prefix(5).joined(separator: "\n"))")
  }

  /// NFC, and tokens that are looked for in the normalised text.
  @Test(arguments: ["nfc", "late"]) func normalizedEqualsTokenizers(kind: String) throws {
    let tokenizer = try Self.tokenizer(Self.file(kind))
    let cases = try TokenizerFixtures.cases(
      URL(fileURLWithPath: Fixture.path("folder/tokenizers/\(kind).jsonl")))
    #expect(cases.count > 150)
    for test in cases {
      #expect(tokenizer.encode(test.t, addSpecialTokens: false) == test.i, "\(test.t)")
      #expect(
        tokenizer.encode(test.t, addSpecialTokens: false, parseSpecialTokens: false)
          == test.p ?? test.i, "\(test.t)")
    }
  }

  /// Merges as strings and as pairs, `type` left out, a gap in the ids.
  @Test func otherSpellings() throws {
    var object = try Self.file("gpt-2")
    var model = try #require(object["model"]?.objectValue)
    let merges = try #require(model["merges"]?.arrayValue).compactMap(\.stringValue)
    model["merges"] = .array(
      merges.map { .array($0.split(separator: " ").map { .string(String($0)) }) })
    model["type"] = nil
    object["model"] = .object(model)
    var added = try #require(object["added_tokens"]?.arrayValue)
    let count = try Self.tokenizer(object).vocabularySize
    added.append(["id": .integer(count + 2), "content": "<far>", "special": true])
    object["added_tokens"] = .array(added)
    let tokenizer = try Self.tokenizer(object)
    #expect(tokenizer.vocabularySize == count + 3)
    #expect(tokenizer.encode("<far>", addSpecialTokens: false) == [Int32(count) + 2])
    #expect(tokenizer.token(Int32(count)) == "[PAD\(count)]")
    let text = "[PAD\(count)] is text"
    #expect(tokenizer.decode(tokenizer.encode(text, addSpecialTokens: false)) == text)
    #expect(!tokenizer.encode(text, addSpecialTokens: false).contains(Int32(count)))
  }

  /// Where a value is changed, what to, and what must be said.
  static let faults: [(path: [String], value: JSONValue?, message: String)] = [
    (["model"], nil, "model: is missing or not an object"),
    (["extra"], 1, "extra: an unknown key"),
    (["model", "type"], "WordPiece", "model.type: \"WordPiece\" is not supported"),
    (["model", "byte_fallback"], true, "model.byte_fallback: true is not supported"),
    (["model", "dropout"], 0.1, "model.dropout: 0.1 is not supported"),
    (
      ["model", "end_of_word_suffix"], "</w>", "model.end_of_word_suffix: \"</w>\" is not supported"
    ),
    (["model", "surprise"], 1, "model.surprise: an unknown key"),
    (["model", "vocab"], nil, "model.vocab: is missing or not an object"),
    (["model", "vocab"], ["a": -1], "model.vocab: \"a\" has the id -1"),
    (["model", "vocab"], ["a": 99_999_999], "model.vocab: \"a\" has the id 99999999"),
    (["model", "vocab"], ["a": "x"], "model.vocab: \"a\" has the id \"x\""),
    (["model", "vocab"], ["a": 1, "b": 1], "model.vocab: the id 1 is that of \"a\" and of \"b\""),
    (["model", "vocab"], ["漢": 0], "model.vocab[0]: \"漢\" has characters outside"),
    (["model", "merges"], nil, "model.merges: is missing or not a list"),
    (["model", "merges"], [["a"]], "model.merges[0]: is neither"),
    (["model", "merges"], ["a zz"], "model.merges[0]: \"a zz\" is not two tokens"),
    (["model", "merges"], [], "model.merges: no merges, but tokens of several bytes"),
    (["model", "ignore_merges"], 1, "ignore_merges: is a number"),
    (["normalizer"], ["type": "NFKC"], "normalizer: {\"type\":\"NFKC\"} is not supported"),
    (["pre_tokenizer"], nil, "pre_tokenizer is null"),
    (["pre_tokenizer"], ["type": "Whitespace"], "pre_tokenizer: the type Whitespace is not known"),
    (
      ["pre_tokenizer"], ["type": "ByteLevel", "add_prefix_space": true],
      "pre_tokenizer: ByteLevel with add_prefix_space true is not supported"
    ),
    (
      ["pre_tokenizer"],
      ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false],
      "pre_tokenizer: the sequence ByteLevel without use_regex is not known"
    ),
    (
      ["pre_tokenizer"],
      ["type": "Split", "pattern": ["Regex": "\\d"], "behavior": "Isolated", "invert": false],
      "pre_tokenizer: Split by \\d is not known"
    ),
    (
      ["pre_tokenizer"],
      ["type": "Split", "pattern": ["String": " "], "behavior": "Isolated", "invert": false],
      "pre_tokenizer: a Split by something else than a Regex"
    ),
    (
      ["pre_tokenizer"],
      ["type": "Split", "pattern": ["Regex": "a"], "behavior": "Removed", "invert": false],
      "pre_tokenizer: Split with behavior \"Removed\" is not supported"
    ),
    (
      ["pre_tokenizer"],
      ["type": "Sequence", "pretokenizers": [["type": "Digits", "individual_digits": false]]],
      "pre_tokenizer.pretokenizers[0]: Digits with individual_digits false is not supported"
    ),
    (["decoder"], ["type": "Metaspace"], "decoder: {\"type\":\"Metaspace\"} is not ByteLevel"),
    (
      ["post_processor"], ["type": "BertProcessing"],
      "post_processor: the type BertProcessing is not supported"
    ),
    (
      ["post_processor"],
      [
        "type": "TemplateProcessing",
        "single": [["SpecialToken": ["id": "<|a|>"]], ["Sequence": ["id": "A"]]],
      ], "post_processor.single: \"<|a|>\" is not one token of special_tokens"
    ),
    (
      ["post_processor"],
      [
        "type": "TemplateProcessing", "single": [["Sequence": ["id": "B"]]], "special_tokens": [:],
      ], "post_processor.single: is not about one text"
    ),
    (
      ["post_processor"],
      [
        "type": "TemplateProcessing",
        "single": [["SpecialToken": ["id": "x"]], ["Sequence": ["id": "A"]]],
        "special_tokens": ["x": ["tokens": ["<no>"]]],
      ], "post_processor: the token \"<no>\" is not in the vocabulary"
    ),
    (["added_tokens"], 1, "added_tokens: is not a list"),
    (["added_tokens"], [["id": 1]], "added_tokens[0]: is no object with a content"),
    (
      ["added_tokens"], [["id": 1, "content": "<x>", "special": true]],
      "added_tokens[0]: the id 1 is that of"
    ),
    (
      ["added_tokens"], [["id": 999, "content": "!", "special": true]],
      "added_tokens[0]: \"!\" has the ids 0 and 999"
    ),
    (
      ["added_tokens"], [["id": 999, "content": "<x>", "lstrip": true]],
      "added_tokens[0].lstrip: is true for \"<x>\""
    ),
    (
      ["added_tokens"], [["id": 999, "content": "<x>", "colour": 1]],
      "added_tokens[0].colour: an unknown key"
    ),
  ]

  @Test(arguments: faults.indices) func isRefused(index: Int) throws {
    let fault = Self.faults[index]
    var object = try Self.file("gpt-2")
    if fault.path.count == 2 {
      var inner = try #require(object[fault.path[0]]?.objectValue)
      inner[fault.path[1]] = fault.value
      object[fault.path[0]] = .object(inner)
    } else {
      object[fault.path[0]] = fault.value
    }
    do {
      _ = try Self.tokenizer(object)
      Issue.record("nothing was thrown: \(fault.message)")
    } catch let error as TokenizerError {
      #expect(error.message.hasPrefix(fault.message), "\(error.message)")
      #expect(!error.hint.isEmpty)
    }
  }

  /// Bytes without a token are left out only where the model has no token for the unknown.
  @Test func unknownTokenNeedsAllBytes() throws {
    var object = try Self.file("gpt-2")
    var model = try #require(object["model"]?.objectValue)
    model["unk_token"] = "<|a|>"
    object["model"] = .object(model)
    _ = try Self.tokenizer(object)
    model["vocab"] = ["!": 0]
    model["merges"] = []
    object["model"] = .object(model)
    object["added_tokens"] = []
    #expect(throws: TokenizerError.self) { try Self.tokenizer(object) }
  }
}
