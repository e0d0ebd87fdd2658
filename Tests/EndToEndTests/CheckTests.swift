// `lora check`: the figures, the marked rows, each warning, and that nothing is written.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing

@Suite(
  .serialized, .enabled(if: demoModelPath() != nil, "the demo model is not there: run make test"))
struct CheckTests {
  private static let examples = Fixture.directory + "/../Examples/orders"
  private let model: String
  private let folder: TemporaryFolder

  init() throws {
    model = try #require(demoModelPath())
    folder = try TemporaryFolder()
  }

  private func check(_ data: String, _ more: [String] = []) throws -> LoraResult {
    try LoraProcess.run(["check", "--model", model, "--data", data] + more)
  }

  @Test func theFiguresOfTheDemo() throws {
    let arguments = [
      "--eval-data", Self.examples + "/test.jsonl", "--learning-rate", "1e-3", "--epochs", "2",
    ]
    let result = try check(Self.examples + "/train.jsonl", arguments)
    #expect(result.exitCode == 0, "\(result.errors)")
    #expect(result.output.contains("), 33,169 tokens, 15,804 with loss (48%)"))
    #expect(
      result.output.contains("shortest 57, median 69, 90% 74, 99% 79, longest 82"))
    #expect(result.output.contains("60 steps of 16 rows, 2 of them warm-up\n"))
    #expect(
      result.output.contains(
        "<|im_start|>assistant\n⟦{\"item\": \"desk\", \"quantity\": 23, \"color\": \"pink\", "
          + "\"city\": null, \"urgent\": true}<|im_end|>⟧\n"))
    #expect(result.output.contains("480 rows (messages: 480 system, 480 user, 480 assistant)"))
    #expect(
      result.output.contains(
        "stop: every row ends in <|im_end|>, the model's end of text, and carries loss there"))
    #expect(result.output.contains("learning rate 0.001: usual for LoRA"))
    #expect(result.output.hasSuffix("nothing is wrong\n"))
    let json = try check(Self.examples + "/train.jsonl", arguments + ["--json"])
    let object = try #require(try JSONValue(parsing: json.output).objectValue)
    #expect(object["rows"]?.integerValue == 480 && object["steps"]?.integerValue == 60)
    #expect(object["warnings"]?.arrayValue == [])
    #expect((object["expected_memory_mb"]?.numberValue ?? 0) > 300)
    #expect(folder.contents == [])
  }

  @Test func everyWarning() throws {
    let row = #"{"prompt": "one two", "completion": " three"}"#
    let special = #"{"prompt": "a <|im_end|> b", "completion": " c"}"#
    let control = #"{"prompt": "a \u000b b", "completion": " c"}"#
    let long = #"{"prompt": "a", "completion": " b c d e f g h i j k l m n o p"}"#
    let data = try folder.write(
      Array([row, special, row, control, long].joined(separator: "\n").utf8), to: "d.jsonl")
    let result = try check(
      data,
      [
        "--eval-data", data, "--max-length", "12", "--truncation", "truncate", "--learning-rate",
        "1e-2", "--rank", "2", "--alpha", "64", "--batch-size", "100", "--samples", "0",
        "--warmup-ratio", "0.5",
      ])
    #expect(result.exitCode == 0, "\(result.errors)")
    for part in [
      "d.jsonl:3: 1 row equal to an earlier row", "d.jsonl:5: 1 row truncated",
      "d.jsonl:5: 1 row without a supervised stop token",
      "d.jsonl:2: 1 row with a special token spelled out in the text (<|im_end|>)",
      "d.jsonl:1: 5 of 5 rows are also trained on", "only 5 rows",
      "the learning rate 0.01 is high", "alpha/rank is 32.0", "a batch of 100 rows",
      "only 1 step; ", "warm-up takes 50%",
    ] {
      #expect(result.output.contains(part), "\(part) is not in:\n\(result.output)")
    }
    #expect(result.output.contains(" warnings\n"))
  }

  @Test func errorsEndWithANonZeroExitCode() throws {
    let data = try folder.write(Array(#"{"prompt": "a"}"#.utf8), to: "d.jsonl")
    let result = try check(data)
    #expect(result.exitCode == 1)
    #expect(result.errors.contains("d.jsonl:1: the key completion is missing"))
  }
}

/// What `lora check --json` says of conversations that are odd, on a tiny model.
struct CheckFindingsTests {
  @Test func everyFindingNamesItsLines() throws {
    let folder = try TemporaryFolder()
    func row(_ turns: [(String, String)]) -> String {
      let messages = turns.map { #"{"role": "\#($0.0)", "content": "\#($0.1)"}"# }
      return #"{"messages": ["# + messages.joined(separator: ", ") + "]}"
    }
    let rows = [
      row([("user", "a"), ("assistant", "b")]), row([("user", "a"), ("assistant", "c")]),
      row([("user", "a"), ("assistant", "b")]), row([("user", " "), ("assistant", "d")]),
      row([("user", "e"), ("user", "f"), ("assistant", "g")]),
      row([("user", "h"), ("assistant", "i"), ("user", "j")]),
      row([("user", "k <|end|> l"), ("assistant", "m")]),
      row([("system", "s"), ("user", "a"), ("assistant", "b")]),
    ]
    let data = try folder.write(Array(rows.joined(separator: "\n").utf8), to: "d.jsonl")
    let other = try folder.write(Array(rows[6...].joined(separator: "\n").utf8), to: "e.jsonl")
    let result = try LoraProcess.run([
      "check", "--model", Fixture.path("folder/tied-f32"), "--data", data, "--eval-data", other,
      "--epochs", "2", "--rank", "2", "--target-modules", "q_proj,v_proj", "--json", "--samples",
      "1",
    ])
    #expect(result.exitCode == 0, "\(result.errors)")
    let object = try #require(try JSONValue(parsing: result.output).objectValue)
    #expect(
      object["messages_by_role"]
        == .object(["user": .integer(10), "assistant": .integer(8), "system": .integer(1)]))
    #expect(object["rows_with_stop_token"]?.integerValue == 8)
    #expect(object["stop_token"]?.stringValue == "<|end|>")
    #expect(object["evaluation_rows"]?.integerValue == 2)
    let sample = try #require(object["samples"]?.arrayValue?.first?.objectValue)
    #expect(
      sample["marked"]?.stringValue == "<|bos|><|user|>a<|end|><|assistant|>⟦b<|end|>⟧")
    let found = try #require(object["warnings"]?.arrayValue).compactMap(\.objectValue)
    func lines(_ kind: String) -> [Int]? {
      found.first { $0["kind"]?.stringValue == kind }?["lines"]?.arrayValue?
        .compactMap(\.integerValue)
    }
    #expect(lines("duplicate") == [3] && lines("contradiction") == [2])
    #expect(lines("blank") == [4] && lines("same_role_twice") == [5])
    #expect(lines("unanswered") == [6] && lines("special_token") == [7])
    #expect(lines("overlap") == [1, 2] && lines("few_rows") == [])
    #expect(lines("steps") == [] && lines("target_modules") == [])
    for finding in found {
      #expect(finding["message"]?.stringValue?.isEmpty == false)
      #expect(finding.keys == ["kind", "file", "lines", "message", "hint"])
    }
    let verdicts = try #require(object["verdicts"]?.arrayValue).compactMap(\.objectValue)
    let fine = verdicts.filter { $0["fine"]?.boolValue == true }
    let names = fine.compactMap { $0["setting"]?.stringValue }
    #expect(names.contains("batch_size"))
    #expect(verdicts.count > fine.count)
  }

  /// Mistakes in the file and in the flags, all in one message; those of the file with their lines.
  @Test func everyMistakeOfFileAndFlagsAtOnce() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write(
      Array("rnk: 8\nbatch_size: many\nepochs: 0\neval_split: 2\n".utf8), to: "c.yaml")
    let result = try LoraProcess.run([
      "train", "--config", file, "--model", "m", "--output", "o", "--learning-rate=-1", "--rank",
      "0", "--dropout", "2", "--layers-to-transform", "x",
    ])
    #expect(result.exitCode == 1)
    for part in [
      "c.yaml:1: the key rnk is unknown; did you mean rank?",
      "c.yaml:2: batch_size is \"many\", expected a whole number", "the number of epochs is 0",
      "--eval-split is 2.0: give a share between 0 and 1", "the learning rate is -1.0",
      "rank is 0, but a low-rank path needs at least 1", "dropout is 2.0, which is not in [0, 1)",
      "--layers-to-transform is x: give whole numbers", "give --data, or data in the file",
    ] {
      #expect(result.errors.contains(part), "\(part) is not in:\n\(result.errors)")
    }
    // A file that is no settings at all says nothing of what else may be missing.
    let broken = try folder.write(Array("a: [".utf8), to: "b.yaml")
    let unread = try LoraProcess.run(["train", "--config", broken])
    #expect(unread.errors.contains("b.yaml: not YAML") && !unread.errors.contains("give --model"))
  }

  /// Every mistake of the settings at once, each with what to do.
  @Test func everyMistakeOfTheSettingsAtOnce() throws {
    let result = try LoraProcess.run([
      "check", "--model", "m", "--data", "d", "--learning-rate=-1", "--batch-size", "0",
      "--save-steps", "0", "--eval-regex", "[", "--eval-generate", "--warmup-ratio", "3",
    ])
    #expect(result.exitCode == 64)
    for part in [
      "the learning rate is -1.0", "the batch size is 0", "--save-steps is 0: give 1 or more",
      "not a regular expression: [", "the warm-up ratio is 3.0",
      "--eval-generate needs rows to answer: give --eval-data or --eval-split",
    ] {
      #expect(result.errors.contains(part), "\(part) is not in:\n\(result.errors)")
    }
  }
}
