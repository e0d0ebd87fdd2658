// What carries loss under the templates of twenty model families, against transformers' masks.

import Foundation
import LoRAFormats
import LoRAJSON
import LoRATestSupport
import LoRAText
import LoRATraining
import Testing

struct AssistantMaskTests {
  private let tokenizer: Tokenizer
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    for (from, name) in [
      ("masks/tokenizer", "tokenizer.json"), ("masks/tokenizer", "tokenizer_config.json"),
      ("folder/tied-f32", "config.json"),
    ] {
      try folder.write(Array(Fixture.data(from + "/" + name)), to: name)
    }
    // Granite's end of a turn is its end of text; here it is a second one.
    try folder.write(Array(#"{"eos_token_id": [284]}"#.utf8), to: "generation_config.json")
    tokenizer = try TextEncoder(folder: ModelFolder(contentsOf: folder.path)).tokenizer
  }

  /// 21 families, 95 conversations: several turns, system messages, tools, special tokens that the
  /// user wrote. The prefix rule finds what `{% generation %}` marks, token for token.
  @Test func everyMaskIsTransformers() throws {
    let cases = try Fixture.text("masks/cases.jsonl").split(separator: "\n").map {
      try #require(try JSONValue(parsing: String($0)).objectValue)
    }
    #expect(cases.count == 95)
    var refused: [String] = []
    for (number, row) in cases.enumerated() {
      let template = try #require(row["template"]?.stringValue)
      let encoder = TextEncoder(tokenizer: tokenizer, chatTemplate: try ChatTemplate(template))
      var line = JSONObject()
      line["messages"] = row["messages"]
      if row["tools"] != .null { line["tools"] = row["tools"] }
      let file = try folder.write(
        Array(JSONValue.object(line).serialized(.compact).utf8), to: "rows.jsonl")
      let family = row["family"]?.stringValue ?? ""
      let example: Example
      do {
        example = try #require(try Dataset(contentsOf: file, encoder: encoder).examples.first)
      } catch let error as DataError where error.message.contains("differently with what follows") {
        refused.append(family)
        continue
      }
      let tokens = try #require(row["tokens"]?.arrayValue).compactMap(\.integerValue)
      let mask = try #require(row["mask"]?.arrayValue).map { $0.integerValue == 1 }
      let name = "\(family) in line \(number + 1)"
      #expect(example.tokens.map(Int.init) == tokens, "the tokens of \(name)")
      #expect(example.mask == mask, "the mask of \(name)")
      #expect(example.endsWithStop, "\(name)")
    }
    // Mistral's moves the system message to the last user message: what an earlier turn was is then
    // not certain, and nothing is guessed.
    #expect(refused == ["mistral3", "mistral3"])
  }
}
