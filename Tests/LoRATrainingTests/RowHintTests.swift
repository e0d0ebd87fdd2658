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
      #"{"conversation": [{"from": "human", "value": "a"}]}"#,
      "the row has none of the known keys, only conversation",
      "did you mean \"conversations\" instead of \"conversation\"?"
    ),
    (
      #"{"conversations": [{"from": "human", "value": "a"}]}"#,
      "no message of conversations is the assistant's", "add the answer"
    ),
    (
      #"{"input": {"messages": []}, "preferred_output": [1], "non_preferred_output": [2]}"#,
      "the row has none of the known keys, only input, preferred_output, non_preferred_output",
      "rename preferred_output to completion and remove non_preferred_output"
    ),
    (
      #"{"instruction": "a", "context": "b", "response": "c"}"#, "the key output is missing",
      "rename response to output and context to input"
    ),
    (
      #"{"data": [{"text": "a"}]}"#, "the row has none of the known keys, only data",
      #"jq -c '."data"[]' FILE > rows.jsonl"#
    ),
    (
      #"{"messages": "[]"}"#, "messages is a string, not a list",
      "jq -c '.messages |= fromjson' FILE > rows.jsonl"
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
