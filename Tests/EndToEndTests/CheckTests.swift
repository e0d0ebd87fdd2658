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
    #expect(result.output.contains("480 rows (messages), 33,169 tokens, 15,804 with loss (48%)"))
    #expect(
      result.output.contains("shortest 57, median 69, 90% 74, 99% 79, longest 82"))
    #expect(result.output.contains("60 steps of 16 rows\n"))
    #expect(result.output.contains("warm-up: 2 steps"))
    #expect(
      result.output.contains(
        "<|im_start|>assistant\n⟦{\"item\": \"desk\", \"quantity\": 23, \"color\": \"pink\", "
          + "\"city\": null, \"urgent\": true}<|im_end|>⟧\n"))
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
      "only 1 step: ", "warm-up takes 50%",
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
