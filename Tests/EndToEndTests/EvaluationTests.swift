// Evaluation while training: the split, the best adapter, the early end, the same after a resume.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing

@Suite(
  .serialized, .enabled(if: demoModelPath() != nil, "the demo model is not there: run make test"))
struct EvaluationTests {
  private let model: String
  private let folder: TemporaryFolder
  private let rows: String

  init() throws {
    model = try #require(demoModelPath())
    folder = try TemporaryFolder()
    let lines = (1...20).map { row in
      #"{"prompt": "What is \#(row) and \#(row)?", "completion": " It is \#(2 * row)."}"#
    }
    rows = try folder.write(Array(lines.joined(separator: "\n").utf8), to: "rows.jsonl")
  }

  private func train(_ output: String, _ more: [String]) throws -> LoraResult {
    try LoraProcess.run(
      [
        "train", "--model", model, "--data", rows, "--output", folder.file(output), "--rank", "4",
        "--batch-size", "4", "--eval-split", "0.3",
      ] + more)
  }

  private func metrics(_ output: String) throws -> [JSONObject] {
    try String(contentsOfFile: folder.file(output + "/metrics.jsonl"), encoding: .utf8)
      .split(separator: "\n").map { try #require(try JSONValue(parsing: String($0)).objectValue) }
  }

  /// A learning rate that ruins the model: the evaluation gets worse, the run ends, the best is kept.
  @Test func theRunEndsEarlyAndTheBestIsKept() throws {
    let result = try train(
      "out",
      [
        "--epochs", "30", "--learning-rate", "0.05", "--eval-steps", "1",
        "--early-stopping-patience", "3", "--warmup-ratio", "0.2",
      ])
    #expect(result.exitCode == 0, "\(result.errors)")
    #expect(result.output.contains("stopped early after step "))
    let losses = try metrics("out").compactMap { $0["eval_loss"]?.numberValue }
    let best = try #require(losses.min())
    #expect(losses.firstIndex(of: best) == losses.count - 4)
    #expect(
      result.output.contains("best evaluation: loss \(String(format: "%.4f", best)) at step "))
    let score = try LoraProcess.run([
      "eval", "--model", model, "--adapter", folder.file("out/best"), "--data", rows, "--json",
    ])
    let last = try LoraProcess.run([
      "eval", "--model", model, "--adapter", folder.file("out"), "--data", rows, "--json",
    ])
    func loss(_ result: LoraResult) throws -> Double {
      try #require(try JSONValue(parsing: result.output).objectValue?["loss"]?.numberValue)
    }
    #expect(try loss(score) < loss(last))
  }

  /// The split depends on the rows alone; together the sides are the file.
  @Test func theSplitIsStable() throws {
    let first = try train("a", ["--max-steps", "1"])
    let second = try train("b", ["--max-steps", "1", "--seed", "9"])
    func evaluated(_ result: LoraResult) -> Substring? {
      result.output.split(separator: "\n").first { $0.hasPrefix("evaluation: ") }
    }
    #expect(evaluated(first) != nil && evaluated(first) == evaluated(second))
    let trained = try #require(first.output.firstMatch(of: /rows\.jsonl: (\d+) rows/)?.1)
    let held = try #require(evaluated(first)?.firstMatch(of: /evaluation: (\d+) rows/)?.1)
    #expect(Int(trained).flatMap { t in Int(held).map { t + $0 } } == 20)
  }

  /// The history of evaluations is part of a checkpoint: the resumed run ends where the whole one did.
  @Test func aResumedRunEndsWhereTheWholeOneDid() throws {
    let arguments = [
      "--epochs", "30", "--learning-rate", "0.05", "--eval-steps", "1",
      "--early-stopping-patience", "3", "--warmup-ratio", "0.2", "--save-steps", "1",
    ]
    #expect(try train("whole", arguments).exitCode == 0)
    let steps = try metrics("whole").count
    let killed = try LoraProcess.run(
      [
        "train", "--model", model, "--data", rows, "--output", folder.file("killed"), "--rank", "4",
        "--batch-size", "4", "--eval-split", "0.3",
      ] + arguments
    ) { process in
      let path = folder.file("killed/checkpoints/step-\(max(1, steps - 2))")
      let deadline = Date(timeIntervalSinceNow: 100)
      while process.isRunning, Date() < deadline, !FileManager.default.fileExists(atPath: path) {
        usleep(5_000)
      }
      kill(process.processIdentifier, SIGKILL)
    }
    #expect(killed.exitCode != 0)
    let resumed = try train("killed", arguments + ["--resume"])
    #expect(resumed.exitCode == 0, "\(resumed.errors)")
    #expect(try metrics("killed").count == steps)
    for file in ["adapter_model.safetensors", "best/adapter_model.safetensors"] {
      let files = try ["whole", "killed"].map {
        try Data(contentsOf: URL(fileURLWithPath: folder.file($0 + "/" + file)))
      }
      #expect(files[0] == files[1], "\(file)")
    }
  }
}
