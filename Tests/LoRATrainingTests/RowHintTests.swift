// Rows that lack a key of their form, or have another tool's keys: which form they resemble, and
// what to do.

import LoRAFormats
import LoRATestSupport
import LoRATraining
import Testing

struct RowHintTests {
  private static let cases: [(row: String, message: String, hint: String)] = [
    (
      #"{"prompt": "a"}"#,
      "the key completion is missing (a row with prompt is of the form prompt and completion)",
      #"add it: rows of this form are {"prompt": "…", "completion": "…"}"#
    ),
    (
      #"{"completion": "a", "id": 3}"#,
      "the key prompt is missing (a row with completion is of the form prompt and completion)",
      #"add it: rows of this form are {"prompt": "…", "completion": "…"}"#
    ),
    (
      #"{"prompt": "a", "response": "b"}"#, "the key completion is missing (a row with prompt ",
      "rename response to completion"
    ),
    (
      #"{"instruction": "a", "input": "b", "response": "c"}"#,
      "the key output is missing (a row with instruction is of the form instruction)",
      "rename response to output"
    ),
    (
      #"{"input": "a", "output": "b"}"#, "the key instruction is missing (a row with output ",
      "rename input to instruction"
    ),
    (
      #"{"instruction": "a"}"#, "the key output is missing",
      #"{"instruction": "…", "output": "…"}"#
    ),
    (
      #"{"question": "a", "answer": "b"}"#,
      "the row has none of the known keys, only question, answer",
      "rename question to prompt and answer to completion"
    ),
    (
      #"{"prompt": "a", "chosen": "b", "rejected": "c"}"#, "the key completion is missing",
      "rename chosen to completion and remove rejected"
    ),
    (
      #"{"conversations": [{"from": "human", "value": "a"}]}"#,
      "the row has none of the known keys, only conversations",
      "rename it to messages, and in each of them from to role"
    ),
    (
      #"{"messages": [{"from": "human", "value": "a"}]}"#, "messages[0] has no role",
      "rename from to role (human is user, gpt is assistant) and value to content"
    ),
    (
      #"{"messages": [{"role": "human", "content": "a"}]}"#,
      "messages[0] has the unknown role \"human\"", "did you mean \"user\"?"
    ),
    (
      #"{"txt": "a"}"#, "the row has none of the known keys, only txt",
      "did you mean \"text\" instead of \"txt\"?"
    ),
  ]

  @Test(arguments: cases) func hints(row: String, message: String, hint: String) throws {
    let encoder = try TextEncoder(
      folder: ModelFolder(contentsOf: Fixture.path("folder/tied-f32")))
    let folder = try TemporaryFolder()
    let file = try folder.write(Array(row.utf8), to: "d.jsonl")
    let error = #expect(throws: DataError.self) {
      try Dataset(contentsOf: file, encoder: encoder)
    }
    #expect(error?.message.hasPrefix(message) == true, "\(error?.message ?? "")")
    #expect(error?.hint.contains(hint) == true, "\(error?.hint ?? "")")
    #expect(error?.line == 1)
  }
}
