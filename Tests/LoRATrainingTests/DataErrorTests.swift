// Faulty data files: each message with its place and what to do.

import Foundation
import LoRAFormats
import LoRATestSupport
import LoRATraining
import Testing

@Suite(.enabled(if: demoModelPath() != nil, "the demo model is not there: run make test"))
struct DataErrorTests {
  private let encoder: TextEncoder
  private let folder: TemporaryFolder

  init() throws {
    encoder = try TextEncoder(gguf: GGUFFile(contentsOf: try #require(demoModelPath())))
    folder = try TemporaryFolder()
  }

  private func message(_ bytes: [UInt8]) throws -> String {
    let file = try folder.write(bytes, to: "d.jsonl")
    do {
      let data = try Dataset(contentsOf: file, encoder: encoder)
      return "\(data.examples.count) rows"
    } catch {
      return String(describing: error).replacingOccurrences(of: file, with: "d.jsonl")
    }
  }

  private static let good = #"{"text": "a b c"}"#

  private static let cases: [(String, String)] = [
    ("", "d.jsonl: the file is empty\nhint: write one JSON object a line"),
    ("\n \n\r\n", "d.jsonl: the file is empty\nhint: write one JSON object a line"),
    ("\(good)\r\n\r\n\(good)\n\n", "2 rows"),
    ("\u{FEFF}\(good)", "1 rows"),
    (
      good + "\n{\"text\": }\n",
      "d.jsonl:2: not JSON: expected a value, found '}' (column 10)\n"
        + "hint: every line is one JSON object, like {\"prompt\": \"…\", \"completion\": \"…\"}"
    ),
    ("[\n\(good),\n\(good)\n]\n", "2 rows"),
    ("  [\(good), {\"text\":\n \"a [ ] , \\\" } b\"}]", "2 rows"),
    ("[]", "d.jsonl: the file is empty\nhint: write one JSON object a line"),
    (
      "[\n\(good),\n{\"text\":\n1}, {\"text\": 2}, 3,\n\n{\"text\":\n\n}]",
      "d.jsonl:3: text is a number, not a string\nd.jsonl:4: text is a number, not a string\n"
        + "d.jsonl:5: the row is a number, not an object\n"
        + "d.jsonl:6: not JSON: expected a value, found '}' (line 3 of the row, column 1)\n"
        + "hint: write the value in quotes"
    ),
    (
      "[\(good), {\"text\": \"a\"",
      "d.jsonl:1: the array of rows has no end\n"
        + "hint: the file was cut off, or a bracket is missing"
    ),
    (
      "[\(good),\n]",
      "d.jsonl:2: a comma before ']'\nhint: remove it: JSON has no trailing commas"
    ),
    (
      "[\(good)]\n[\(good)]",
      "d.jsonl:2: the text goes on behind the end of the array\n"
        + "hint: a file is one array of rows, or one row a line"
    ),
    (
      "{\n  \"text\": \"a\"\n}",
      "d.jsonl:1: not JSON: expected a key in double quotes, found the end of the text (column 2)\n"
        + "d.jsonl:2: not JSON: unexpected ':' after the value (column 9)\n"
        + "d.jsonl:3: not JSON: expected a value, found '}' (column 1)\n"
        + "hint: write one object a line: jq -c . does that"
    ),
    (
      "\(good)\r\(good)\r",
      "d.jsonl:1: not JSON: unexpected '{' after the value (column 19)\n"
        + "hint: the lines end in a carriage return alone: tr '\\r' '\\n' < FILE > rows.jsonl mends that"
    ),
    (
      (1...14).map { "{\"text\": \($0)}" }.joined(separator: "\n"),
      (1...10).map { "d.jsonl:\($0): text is a number, not a string\n" }.joined()
        + "and 4 more faulty rows\nhint: write the value in quotes"
    ),
    (
      "\"text\"",
      "d.jsonl:1: the row is a string, not an object\n"
        + "hint: every line is one JSON object, like {\"prompt\": \"…\", \"completion\": \"…\"}"
    ),
    (
      "{}",
      "d.jsonl:1: the row is empty\n"
        + "hint: rows have messages, or prompt and completion, or instruction and output, or text"
    ),
    (
      "{\"mesages\": []}",
      "d.jsonl:1: the row has none of the known keys, only mesages\n"
        + "hint: did you mean \"messages\" instead of \"mesages\"? "
        + "rows have messages, or prompt and completion, or instruction and output, or text"
    ),
    (
      "{\"text\": \"a\", \"prompt\": \"b\", \"completion\": \"c\"}",
      "d.jsonl:1: the row has the keys of two forms: prompt, completion, text\n"
        + "hint: remove the keys that are not to be trained on"
    ),
    (
      good + "\n\n{\"prompt\": \"a\", \"completion\": \"b\"}",
      "d.jsonl:3: the row has the form prompt and completion, but line 1 has the form text\n"
        + "hint: put rows of each form into a file of their own"
    ),
    (
      "{\"prompt\": \"a\"}",
      "d.jsonl:1: the key completion is missing (a row with prompt is of the form prompt and "
        + "completion)\nhint: add it: rows of this form are "
        + "{\"prompt\": \"…\", \"completion\": \"…\"}"
    ),
    (
      "{\"prompt\": \"a\", \"completion\": \"\"}",
      "d.jsonl:1: completion is empty: there is nothing to learn from\n"
        + "hint: remove the row, or fill it"
    ),
    (
      "{\"text\": [\"a\"]}",
      "d.jsonl:1: text is an array, not a string\nhint: write the value in quotes"
    ),
    (
      "{\"messages\": \"hi\"}",
      "d.jsonl:1: messages is a string, not a list\n"
        + "hint: it is a list like [{\"role\": \"user\", \"content\": \"…\"}]"
    ),
    ("{\"messages\": []}", "d.jsonl:1: messages is empty\nhint: remove the row, or fill it"),
    (
      "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}",
      "d.jsonl:1: no message of messages is the assistant's: there is nothing to learn from\n"
        + "hint: add the answer, with the role assistant"
    ),
    (
      "{\"messages\": [{\"role\": \"asistant\", \"content\": \"a\"}]}",
      "d.jsonl:1: messages[0] has the unknown role \"asistant\"\n"
        + "hint: did you mean \"assistant\"? the roles are system, user, assistant, tool"
    ),
    (
      "{\"messages\": [{\"content\": \"a\"}]}",
      "d.jsonl:1: messages[0] has no role\nhint: the role is one of system, user, assistant, tool"
    ),
    (
      "{\"messages\": [\"a\"]}",
      "d.jsonl:1: messages[0] is a string, not an object\n"
        + "hint: a message looks like {\"role\": \"user\", \"content\": \"…\"}"
    ),
    (
      "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\"}]}]}",
      "d.jsonl:1: content[0] of messages[0] is of the type \"image\", not a text\n"
        + "hint: only texts are trained on: {\"type\": \"text\", \"text\": \"…\"}"
    ),
    (
      "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"\"}]}",
      "d.jsonl:1: the answer messages[1] is empty: there is nothing to learn from\n"
        + "hint: remove the row, or fill in the content"
    ),
    (
      "{\"messages\": [{\"role\": \"user\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}",
      "d.jsonl:1: messages[0] has no content\nhint: add the key content with a text"
    ),
    (
      "{\"messages\": [{\"role\": \"assistant\", \"content\": \"b\"}]}",
      "d.jsonl:1: the chat template renders messages[0] differently with what follows it, so it is "
        + "not certain which tokens are its\nhint: begin with a user message"
    ),
    (
      "{\"text\": \"a\", \"text\": \"b\"}",
      "d.jsonl:1: not JSON: the key \"text\" appears twice in one object (column 15)\n"
        + "hint: every line is one JSON object, like {\"prompt\": \"…\", \"completion\": \"…\"}"
    ),
  ]

  @Test(arguments: cases) func messages(text: String, expected: String) throws {
    #expect(try message(Array(text.utf8)) == expected)
  }

  @Test func encodings() throws {
    let text = "{\"text\": \"caf\u{E9}\"}\n"
    for encoding in [String.Encoding.utf16LittleEndian, .utf16BigEndian, .utf16] {
      let bytes = Array(try #require(text.data(using: encoding)))
      #expect(
        try message(bytes)
          == "d.jsonl: the text is UTF-16, not UTF-8\nhint: convert the file with iconv -f utf-16 -t utf-8"
      )
    }
    let latin1 =
      Array("{\"text\": \"a b\"}\n".utf8) + Array(try #require(text.data(using: .isoLatin1)))
    #expect(
      try message(latin1)
        == "d.jsonl:2: the line is not UTF-8\n"
        + "hint: convert the file, for instance with iconv -f latin1 -t utf-8")
  }

  /// Files that are no text are named by what they are.
  @Test(arguments: [
    ([0x1F, 0x8B, 8, 0], "compressed with gzip", "gzip -dc FILE"),
    (Array("PAR1".utf8), "Parquet", "read_parquet(FILE)"),
    (Array("ARROW1\0\0".utf8), "Arrow", "read_parquet(FILE)"),
    ([0x28, 0xB5, 0x2F, 0xFD], "compressed with zstd", "zstd -dc FILE"),
    (Array("BZh9".utf8), "compressed with bzip2", "bzip2 -dc FILE"),
    ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0], "compressed with xz", "xz -dc FILE"),
    (Array("PK\u{3}\u{4}".utf8), "a zip archive (or a spreadsheet)", "one JSON object a line"),
    (Array("GGUF".utf8), "a GGUF model", "the model with --model"),
    (Array("SQLite format 3\0".utf8), "an SQLite database", "JSON objects, one a line"),
  ]) func containers(start: [UInt8], name: String, hint: String) throws {
    let text = try message(start + [UInt8](repeating: 7, count: 100))
    #expect(text.hasPrefix("d.jsonl: the file is \(name), not text\nhint: "), "\(text)")
    #expect(text.contains(hint), "\(text)")
  }

  @Test func files() throws {
    let missing = #expect(throws: DataError.self) {
      try Dataset(contentsOf: folder.file("none"), encoder: encoder)
    }
    #expect(missing?.message == "cannot be read: No such file or directory")
    let directory = #expect(throws: DataError.self) {
      try Dataset(contentsOf: folder.path, encoder: encoder)
    }
    #expect(directory?.message == "this is a folder")
  }

  /// Lines longer than the reader's pieces, ends of lines at their borders.
  @Test func longLines() throws {
    let long = "{\"text\": \"" + String(repeating: "word ", count: 500_000) + "\"}"
    let file = try folder.write(Array("\(Self.good)\n\(long)\r\n\(Self.good)".utf8), to: "l.jsonl")
    let data = try Dataset(contentsOf: file, encoder: encoder)
    #expect(data.examples.map(\.line) == [1, 2, 3])
    #expect(data.examples[1].tokens.count > 500_000)
    let array = try folder.write(
      Array("[\(Self.good),\n\(long)\r\n,\(Self.good)\n]".utf8), to: "a.json")
    let elements = try Dataset(contentsOf: array, encoder: encoder)
    #expect(elements.examples.map(\.line) == [1, 2, 3])
    #expect(elements.examples.map(\.tokens) == data.examples.map(\.tokens))
  }
}
