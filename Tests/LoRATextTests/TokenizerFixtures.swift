// What the tokenizer's tests share: the cases that Scripts/fixtures/tokenizer.py wrote, and the models.

import Foundation
import LoRAText

/// One line of a fixture: a text and what Hugging Face's `tokenizers` makes of it.
struct TokenizerCase: Decodable {
  /// The text.
  var t: String
  /// Its tokens.
  var i: [Int32]
  /// Its tokens without special parsing, where they differ.
  var p: [Int32]?
  /// Its tokens with special tokens added, where they differ.
  var b: [Int32]?
  /// What decoding gives, where it is not the text.
  var d: String?
}

enum TokenizerFixtures {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../Fixtures/tokenizer").standardizedFileURL

  static func cases(_ file: URL) throws -> [TokenizerCase] {
    let decoder = JSONDecoder()
    return try Data(contentsOf: file).split(separator: 0x0A).map {
      try decoder.decode(TokenizerCase.self, from: $0)
    }
  }

  static func cases(_ name: String) throws -> [TokenizerCase] {
    try cases(folder.appending(path: name))
  }

  /// The little model's description under a pre-tokenizer.
  static func tinyModel(_ preTokenizer: String) throws -> TokenizerDescription {
    struct Model: Decodable {
      var tokens: [String]
      var token_types: [Int32]
      var merges: [String]
      var bos: Int32
      var eos: Int32
    }
    let data = try Data(contentsOf: folder.appending(path: "tiny-model.json"))
    let model = try JSONDecoder().decode(Model.self, from: data)
    return TokenizerDescription(
      model: "gpt2", preTokenizer: preTokenizer, tokens: model.tokens,
      tokenTypes: model.token_types, merges: model.merges, bosTokenID: model.bos,
      eosTokenID: model.eos)
  }

  /// What differs between the tokenizer and the cases, a line each.
  static func differences(_ tokenizer: Tokenizer, _ cases: [TokenizerCase]) -> [String] {
    var lines: [String] = []
    func compare<Value: Equatable>(_ what: String, _ text: String, _ got: Value, _ want: Value) {
      if got != want {
        lines.append("\(what) of \(text.debugDescription): \(got) instead of \(want)")
      }
    }
    for test in cases {
      let tokens = tokenizer.encode(test.t, addSpecialTokens: false)
      compare("tokens", test.t, tokens, test.i)
      compare(
        "plain tokens", test.t,
        tokenizer.encode(test.t, addSpecialTokens: false, parseSpecialTokens: false),
        test.p ?? test.i)
      compare(
        "tokens with BOS", test.t, tokenizer.encode(test.t, addSpecialTokens: true),
        test.b ?? test.i)
      // Bytes, because Swift's equality of strings is canonical equivalence.
      compare(
        "decoding", test.t, Array(tokenizer.decode(tokens).utf8), Array((test.d ?? test.t).utf8))
      compare(
        "losslessness", test.t, tokenizer.unencodableCharacters(in: test.t).isEmpty, test.d == nil)
      var stream = StreamingDecoder(tokenizer)
      let streamed = tokens.map { stream.append($0) }.joined() + stream.finish()
      compare("streaming", test.t, Array(streamed.utf8), Array((test.d ?? test.t).utf8))
    }
    return lines
  }
}
