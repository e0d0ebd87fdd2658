// What answers are worth: in `lora eval`, while training, and that a model learns to stop.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing

@Suite(
  .serialized, .enabled(if: demoModelPath() != nil, "the demo model is not there: run make test"))
struct AnswerTests {
  private let model: String
  private let folder: TemporaryFolder

  init() throws {
    model = try #require(demoModelPath())
    folder = try TemporaryFolder()
  }

  /// Fifty steps on eight rows: every greedy answer is the row's own and ends with the stop token;
  /// the scores of the run and of `lora eval` are the same.
  @Test func theModelLearnsToStop() throws {
    let things = ["cat", "house", "red car", "sea", "old tree", "king", "small dog", "bread"]
    let lines = things.enumerated().map { index, thing in
      #"{"messages": [{"role": "user", "content": "JSON of a \#(thing)?"}, "#
        + #"{"role": "assistant", "content": "{\"thing\": \"\#(thing)\", \"n\": \#(index)}"}]}"#
    }
    let rows = try folder.write(Array(lines.joined(separator: "\n").utf8), to: "rows.jsonl")
    let trained = try LoraProcess.run([
      "train", "--model", model, "--data", rows, "--output", folder.file("out"), "--batch-size",
      "8", "--max-steps", "50", "--learning-rate", "2e-3", "--eval-data", rows, "--eval-steps",
      "25", "--eval-generate", "--eval-regex", #"^\{.*\}$"#,
    ])
    #expect(trained.exitCode == 0, "\(trained.errors)")
    #expect(trained.output.contains("exact match 100.0%  json valid 100.0%  regex match 100.0%"))
    let metrics = try String(contentsOfFile: folder.file("out/metrics.jsonl"), encoding: .utf8)
      .split(separator: "\n").map { try #require(try JSONValue(parsing: String($0)).objectValue) }
    #expect(metrics.compactMap { $0["eval_exact_match"]?.numberValue }.count == 3)
    #expect(metrics.last?["eval_answers"]?.integerValue == 8)
    let report = try String(contentsOfFile: folder.file("out/report.html"), encoding: .utf8)
    #expect(report.contains("answers, share of rows"))
    let eval = try LoraProcess.run([
      "eval", "--model", model, "--adapter", folder.file("out"), "--data", rows, "--generate",
      "--regex", "king", "--json",
    ])
    let object = try #require(try JSONValue(parsing: eval.output).objectValue)
    #expect(object["exact_match"]?.numberValue == 1 && object["json_valid"]?.numberValue == 1)
    #expect(object["regex_match"]?.numberValue == 0.125)
    let answer = try LoraProcess.run([
      "generate", "--model", model, "--adapter", folder.file("out"), "--prompt", "JSON of a sea?",
      "--json",
    ])
    let generated = try #require(try JSONValue(parsing: answer.output).objectValue)
    #expect(generated["finish_reason"]?.stringValue == "stop")
    #expect(generated["text"]?.stringValue == #"{"thing": "sea", "n": 3}"#)
  }

  /// What `lora check` expects and what `lora train` plans are within 10% of what a run takes that is
  /// longer than the probe, with passes of many lengths.
  @Test func theForecastOfMemoryHolds() throws {
    let rows = Fixture.directory + "/../Examples/orders/train.jsonl"
    let arguments = ["--model", model, "--data", rows, "--max-steps", "24", "--batch-size", "4"]
    let check = try LoraProcess.run(["check", "--json"] + arguments)
    let object = try #require(try JSONValue(parsing: check.output).objectValue)
    let expected = try #require(object["expected_memory_mb"]?.numberValue)
    let trained = try LoraProcess.run(["train", "--output", folder.file("out")] + arguments)
    #expect(trained.exitCode == 0, "\(trained.errors)")
    func number(_ match: Substring?) throws -> Double {
      let digits = try #require(match)
      return try #require(Double(String(digits)))
    }
    let planned = try number(trained.output.firstMatch(of: /memory: (\d+) MB planned/)?.1)
    let measured = try number(trained.output.firstMatch(of: /peak memory (\d+) MB/)?.1)
    for forecast in [expected, planned] {
      #expect(
        abs(forecast - measured) <= 0.1 * measured,
        "expected \(expected) MB, planned \(planned) MB, measured \(measured) MB")
    }
  }
}
