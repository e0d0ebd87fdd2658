// Rows on the command line: an array is as good as lines, keys are said, a question is asked as it was
// trained.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing

struct RowTests {
  private let folder: TemporaryFolder
  private let model = Fixture.path("folder/tied-f32")
  private static let rows = [
    #"{"instruction": "a b", "input": null, "output": "c", "id": 1, "note": "n"}"#,
    #"{"instruction": "d e", "input": "f", "output": "g", "id": 2}"#,
  ]

  init() throws { folder = try TemporaryFolder() }

  private func lora(_ arguments: [String], input: String? = nil) throws -> LoraResult {
    try LoraProcess.run(
      [arguments[0], "--model", model] + arguments.dropFirst(), input: input)
  }

  @Test func anArrayIsEvaluatedAsItsLines() throws {
    let lines = try folder.write(Array(Self.rows.joined(separator: "\n").utf8), to: "d.jsonl")
    let array = try folder.write(
      Array("[\n  \(Self.rows.joined(separator: ", ").replacing(", ", with: ",\n "))]".utf8),
      to: "d.json")
    let expected = try lora(["eval", "--data", lines, "--generate", "--json"])
    #expect(expected.exitCode == 0, "\(expected.errors)")
    let result = try lora(["eval", "--data", array, "--generate", "--json"])
    #expect(result.output == expected.output, "\(result.errors)")
  }

  @Test func checkSaysWhatIsNotUsed() throws {
    let data = try folder.write(Array(Self.rows.joined(separator: "\n").utf8), to: "d.jsonl")
    let text = try lora(["check", "--data", data, "--rank", "2"])
    #expect(text.output.contains("\nnot used: id (2 rows)\n"), "\(text.output) \(text.errors)")
    #expect(text.output.contains("d.jsonl:1: 1 row with the key \"note\", which is not used; "))
    let json = try lora(["check", "--data", data, "--rank", "2", "--json"])
    let object = try #require(try JSONValue(parsing: json.output).objectValue)
    #expect(object["unused_keys"] == ["id": 2])
    let kinds = object["warnings"]?.arrayValue?.compactMap {
      $0.objectValue?["kind"]?.stringValue
    }
    #expect(kinds?.contains("unknown_key") == true)
    // Evaluation rows are looked at as well.
    let other = try folder.write(Array(Self.rows[0].utf8), to: "e.jsonl")
    let both = try lora(["check", "--data", data, "--eval-data", other, "--rank", "2"])
    #expect(both.output.contains("e.jsonl:1: 1 row with the key \"note\", which is not used; "))
  }

  @Test func questions() throws {
    let cases: [(String, Int32, String)] = [
      ("[]", 1, "Error: standard input: messages is empty\nhint: "),
      (
        #"{"messages": [{"role": "user", "content": "a"}], "temperature": 0}"#, 1,
        #"Error: standard input: the key "temperature" is not used"#
      ),
      (
        #"{"messages": [{"role": "user", "content": "a"}], "tools": [{"name": "f"}]}"#, 0,
        "warning: the chat template does not render the tools"
      ),
      (Self.rows[1], 0, "warning: standard input: the answer at the end is left out"),
      (#"{"conversations": [{"from": "human", "value": "a"}]}"#, 0, ""),
    ]
    for (input, code, message) in cases {
      let result = try lora(["generate", "--messages", "-", "--max-tokens", "2"], input: input)
      #expect(result.exitCode == code, "\(result.errors)")
      #expect(result.errors.hasPrefix(message), "\(result.errors)")
    }
  }
}
