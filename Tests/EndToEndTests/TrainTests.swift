// The main job from the outside: train, then score, evaluate, generate and inspect what came out.

import Foundation
import LoRAFormats
import LoRAJSON
import LoRATestSupport
import Testing

@Suite(
  .serialized, .enabled(if: demoModelPath() != nil, "the demo model is not there: run make test"))
struct TrainTests {
  private static let examples = Fixture.directory + "/../Examples/orders"
  private let model: String
  private let folder: TemporaryFolder
  private let rows: String

  init() throws {
    model = try #require(demoModelPath())
    folder = try TemporaryFolder()
    let text = try String(contentsOfFile: Self.examples + "/train.jsonl", encoding: .utf8)
    let lines = text.split(separator: "\n").prefix(24)
    rows = try folder.write(Array(lines.joined(separator: "\n").utf8), to: "rows.jsonl")
  }

  private func train(_ arguments: [String] = [], to output: String = "adapter") throws -> LoraResult
  {
    try LoraProcess.run(
      [
        "train", "--model", model, "--data", rows, "--output", folder.file(output),
        "--batch-size", "8", "--learning-rate", "2e-3",
      ] + arguments)
  }

  private func object(_ text: String) throws -> JSONObject {
    try #require(try JSONValue(parsing: text).objectValue)
  }

  @Test func trainingMakesTheModelBetterAndThePiecesFit() throws {
    let result = try train(["--epochs", "2", "--rank", "4", "--alpha", "8", "--save-steps", "4"])
    #expect(result.exitCode == 0, "\(result.errors)")
    #expect(result.output.contains("rows.jsonl: 24 rows (messages: 24 system, "))
    #expect(result.output.contains("adapter: rank 4, scale 2.0, 210 layers"))
    #expect(result.output.contains("step 6/6  loss "))
    let adapter = folder.file("adapter")
    let files = try FileManager.default.contentsOfDirectory(atPath: adapter).sorted()
    #expect(
      files == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "checkpoints",
        "config.resolved.yaml", "metrics.jsonl", "report.html", "tensorboard",
      ])
    let metrics = try String(contentsOfFile: adapter + "/metrics.jsonl", encoding: .utf8)
    let steps = try metrics.split(separator: "\n").map { try object(String($0)) }
    #expect(steps.compactMap { $0["step"]?.integerValue } == [1, 2, 3, 4, 5, 6])
    #expect(
      steps[0].keys == [
        "step", "epoch", "loss", "grad_norm", "learning_rate", "tokens", "supervised_tokens",
        "tokens_per_second", "seconds", "peak_rss_mb", "startup_seconds",
      ])
    #expect(steps[1].keys == steps[0].keys.dropLast())
    let startup = try #require(steps[0]["startup_seconds"]?.numberValue)
    #expect(
      result.output.contains(
        "the first step begins \(String(format: "%.2f", startup)) s after the start\n"))

    let before = try eval([])
    let after = try eval(["--adapter", adapter])
    let lossBefore = try #require(before["loss"]?.numberValue)
    let lossAfter = try #require(after["loss"]?.numberValue)
    #expect(lossAfter < 0.8 * lossBefore)
    #expect(after["rows"]?.integerValue == 24)

    // Every row's score has the shape that is promised, and means the same as eval's loss.
    let score = try LoraProcess.run(
      ["score", "--model", model, "--adapter", adapter, "--data", rows])
    var sum = 0.0
    var count = 0
    let scored = try score.output.split(separator: "\n").map { try object(String($0)) }
    #expect(scored.count == 24)
    for row in scored {
      let tokens = try #require(row["tokens"]?.arrayValue)
      let values = try #require(row["logprobs"]?.arrayValue)
      let mask = try #require(row["mask"]?.arrayValue).compactMap(\.integerValue)
      #expect(tokens.count == values.count && tokens.count == mask.count)
      #expect(values[0] == .null)
      for (value, supervised) in zip(values, mask) where supervised == 1 {
        sum -= try #require(value.numberValue)
        count += 1
      }
    }
    #expect(abs(sum / Double(count) - lossAfter) < 0.02)

    let inspected = try LoraProcess.run(["inspect", adapter, "--json"])
    let facts = try object(inspected.output)
    #expect(facts["rank"]?.integerValue == 4)
    #expect(facts["layers"]?.integerValue == 210)
    #expect(facts["layers_without_effect"]?.arrayValue == [])
    let checkpoint = try LoraProcess.run(["inspect", adapter + "/checkpoints/step-4"])
    #expect(checkpoint.exitCode == 0 && checkpoint.output.contains("rank"))

    let answer = try LoraProcess.run([
      "generate", "--model", model, "--adapter", adapter, "--prompt", "Hello!", "--max-tokens", "5",
      "--json",
    ])
    let generated = try object(answer.output)
    #expect(
      generated.keys == [
        "text", "tokens", "finish_reason", "tokens_per_second",
        "seconds_to_first_token",
      ])
    #expect((generated["tokens"]?.arrayValue?.count ?? 9) <= 5)
  }

  private func eval(_ arguments: [String]) throws -> JSONObject {
    let result = try LoraProcess.run(
      ["eval", "--model", model, "--data", rows, "--json"] + arguments)
    #expect(result.exitCode == 0, "\(result.errors)")
    return try object(result.output)
  }

  @Test func theSameSeedGivesTheSameBytes() throws {
    for name in ["a", "b"] {
      let result = try train(["--max-steps", "2", "--dropout", "0.1"], to: name)
      #expect(result.exitCode == 0, "\(result.errors)")
    }
    let files = try ["a", "b"].map {
      try Data(contentsOf: URL(fileURLWithPath: folder.file("\($0)/adapter_model.safetensors")))
    }
    #expect(files[0] == files[1])
  }

  @Test func trainingGoesOnFromAnAdapter() throws {
    #expect(try train(["--max-steps", "3", "--rank", "2"]).exitCode == 0)
    let result = try train(
      ["--max-steps", "1", "--init-adapter", folder.file("adapter")], to: "second")
    #expect(result.exitCode == 0, "\(result.errors)")
    #expect(result.output.contains("adapter: rank 2,"))
  }

  @Test func aFinishedRunIsNotOverwritten() throws {
    #expect(try train(["--max-steps", "1"]).exitCode == 0)
    let file = URL(fileURLWithPath: folder.file("adapter/adapter_model.safetensors"))
    let before = try Data(contentsOf: file)
    let again = try train(["--max-steps", "2"])
    #expect(again.exitCode == 1)
    #expect(
      again.errors
        == "Error: \(folder.file("adapter")): the folder holds an adapter already\n"
        + "hint: name a new folder, or give --overwrite to replace what is in it\n")
    // A mistake in another argument costs nothing either.
    let mistake = try train(["--max-steps", "2", "--overwrite", "--target-modules", "nothing"])
    #expect(mistake.exitCode == 1)
    #expect(try Data(contentsOf: file) == before)
    #expect(try train(["--max-steps", "2", "--overwrite"]).exitCode == 0)
    #expect(try Data(contentsOf: file) != before)
  }

  /// Ctrl-C: the step is finished, the adapter saved and readable, the exit code 130.
  @Test func anInterruptedRunSavesAUsableAdapter() throws {
    let arguments = [
      "train", "--model", model, "--data", rows, "--output", folder.file("adapter"),
      "--batch-size", "4", "--epochs", "50",
    ]
    let metrics = folder.file("adapter/metrics.jsonl")
    let result = try LoraProcess.run(arguments) { process in
      let deadline = Date(timeIntervalSinceNow: 60)
      while Date() < deadline, process.isRunning {
        if let text = try? String(contentsOfFile: metrics, encoding: .utf8), text.contains("\n") {
          break
        }
        usleep(20_000)
      }
      process.interrupt()
    }
    #expect(result.exitCode == 130)
    #expect(result.errors.contains("interrupted after step "))
    #expect(result.errors.contains(" of 300; the adapter so far is in \(folder.file("adapter"))"))
    let inspected = try LoraProcess.run(["inspect", folder.file("adapter")])
    #expect(inspected.exitCode == 0)
  }

  @Test func aConversationComesFromAFileOrStandardInput() throws {
    let messages = #"{"messages": [{"role": "user", "content": "Say yes."}]}"#
    let file = try folder.write(Array(messages.utf8), to: "messages.json")
    let arguments = ["generate", "--model", model, "--max-tokens", "6", "--messages"]
    let fromFile = try LoraProcess.run(arguments + [file])
    let fromInput = try LoraProcess.run(arguments + ["-"], input: messages)
    let fromPrompt = try LoraProcess.run([
      "generate", "--model", model, "--max-tokens", "6", "--prompt", "Say yes.",
    ])
    #expect(fromFile.exitCode == 0 && !fromFile.output.isEmpty)
    #expect(fromFile.output == fromInput.output && fromFile.output == fromPrompt.output)
  }
}
