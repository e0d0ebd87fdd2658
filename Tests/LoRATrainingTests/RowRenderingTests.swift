// Rows as people have them, rendered: the same text as transformers' (Scripts/fixtures/row_rendering.py).

import Foundation
import LoRAFormats
import LoRAJSON
import LoRATestSupport
import LoRAText
import LoRATraining
import Testing

struct RowRenderingTests {
  private let rows = try? RowFile()

  /// OpenAI's rows (arguments as text, parts, nulls, developer), ShareGPT's and Alpaca's, under
  /// templates that want an object, paste a text, ask for null, iterate, or know the role developer.
  @Test func everyRowIsRenderedAsByTransformers() throws {
    let fixture = try #require(
      try JSONValue(parsing: Fixture.text("rows/rendering.json")).objectValue)
    let templates = try #require(fixture["templates"]?.objectValue)
    let rows = try #require(self.rows)
    var refused: [String] = []
    for (number, entry) in try #require(fixture["rows"]?.arrayValue).enumerated() {
      let entry = try #require(entry.objectValue)
      let name = try #require(entry["template"]?.stringValue)
      let encoder = try rows.encoder(template: #require(templates[name]?.stringValue))
      let row = try #require(entry["row"]).serialized(.python)
      let example: Example
      do {
        example = try #require(rows.dataset(row, encoder).examples.first)
      } catch let error as DataError {
        refused.append("\(name) \(number % 8): \(error.message.prefix(34))")
        continue
      }
      #expect(
        encoder.tokenizer.decode(example.tokens) == entry["text"]?.stringValue,
        "row \(number % 8) under \(name)")
    }
    // Qwen3's thoughts go once more follows: refused. The template "developer" renders no calls.
    let start = "the chat template renders "
    #expect(
      refused == [
        "qwen3 0: \(start)messages", "qwen3 1: \(start)messages", "qwen3 2: \(start)messages",
        "qwen3 3: \(start)messages", "qwen3 5: \(start)conversa",
      ] + [0, 1, 2, 3, 5, 7].map { "developer \($0): \(start)nothing " })
  }
}

/// A tiny tokenizer with any template, and files of rows for it.
struct RowFile {
  let folder: TemporaryFolder
  private let tokenizer: Tokenizer

  init() throws {
    folder = try TemporaryFolder()
    for (from, name) in [
      ("masks/tokenizer", "tokenizer.json"), ("masks/tokenizer", "tokenizer_config.json"),
      ("folder/tied-f32", "config.json"),
    ] {
      try folder.write(Array(Fixture.data(from + "/" + name)), to: name)
    }
    tokenizer = try TextEncoder(folder: ModelFolder(contentsOf: folder.path)).tokenizer
  }

  func encoder(template: String) throws -> TextEncoder {
    TextEncoder(tokenizer: tokenizer, chatTemplate: try ChatTemplate(template))
  }

  func dataset(_ text: String, _ encoder: TextEncoder) throws -> Dataset {
    try Dataset(contentsOf: folder.write(Array(text.utf8), to: "d.jsonl"), encoder: encoder)
  }

  /// What is said of rows: the error without the folder, or the findings by kind.
  func said(_ text: String, _ encoder: TextEncoder) throws -> [String] {
    do {
      let data = try dataset(text, encoder)
      return DataReport(data).warnings.filter {
        !["few_rows", "supervised_share"].contains($0.kind)
      }
      .map { "\($0.kind): \($0)".replacing(folder.path + "/", with: "") }
    } catch let error as DataError {
      return [String(describing: error).replacing(folder.path + "/", with: "")]
    }
  }
}
