// Who may write into a run's folder: one run at a time, and --overwrite only over what a run wrote.

import Foundation
import LoRATestSupport
import Testing

@Suite(.serialized) struct RunFolderTests {
  private let folder: TemporaryFolder
  private let rows: String
  private let output: String

  init() throws {
    folder = try TemporaryFolder()
    output = folder.file("out")
    let lines = (1...24).map { #"{"prompt": "say \#($0)", "completion": " \#($0)!"}"# }
    rows = try folder.write(Array(lines.joined(separator: "\n").utf8), to: "rows.jsonl")
  }

  private func train(
    _ more: [String] = [], started: (Process) throws -> Void = { _ in }
  ) throws -> LoraResult {
    try LoraProcess.run(
      [
        "train", "--model", Fixture.path("folder/tied-f32"), "--data", rows, "--output", output,
        "--batch-size", "2", "--rank", "2",
      ] + more, started: started)
  }

  private func waitFor(_ name: String, _ process: Process) {
    let deadline = Date(timeIntervalSinceNow: 60)
    while process.isRunning, Date() < deadline,
      (try? String(contentsOfFile: output + "/" + name, encoding: .utf8))?.contains("\n") != true
    { usleep(1_000) }
  }

  private func names(_ path: String = "") -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: output + "/" + path).sorted()) ?? []
  }

  @Test func oneRunAtATime() throws {
    let first = try train(["--max-steps", "100000"]) { process in
      waitFor("metrics.jsonl", process)
      for more in [[], ["--overwrite"], ["--resume"]] {
        let second = try train(more)
        #expect(second.exitCode == 1)
        #expect(
          second.errors == """
            Error: \(output): another run is writing into the folder: process \
            \(process.processIdentifier)
            hint: wait until it has ended, or name another folder

            """)
      }
      process.terminate()
    }
    #expect(first.exitCode == 143, "\(first.errors)")
    #expect(!names().contains(".lora.lock"))
    // A lock goes with its process, whatever file that leaves.
    let killed = try train(["--max-steps", "100000", "--overwrite"]) { process in
      waitFor(".lora.lock", process)
      kill(process.processIdentifier, SIGKILL)
    }
    #expect(killed.exitCode == SIGKILL)
    #expect(names().contains(".lora.lock"))
    #expect(try train(["--max-steps", "2", "--overwrite"]).exitCode == 0)
    #expect(!names().contains(".lora.lock"))
  }

  /// Both see that the folder is not there yet; only one of them trains.
  @Test func twoRunsIntoOneNewFolder() throws {
    var second: LoraResult?
    let first = try train(["--max-steps", "300"]) { _ in
      second = try train(["--max-steps", "300", "--seed", "7"])
    }
    let results = [first, try #require(second)]
    #expect(Set(results.map(\.exitCode)) == [0, 1])
    let refused = try #require(results.first { $0.exitCode == 1 })
    let reasons = ["another run is writing into", "another run has made", "holds an adapter"]
    #expect(reasons.contains { refused.errors.contains($0) }, "\(refused.errors)")
    let settings = try String(contentsOfFile: output + "/config.resolved.yaml", encoding: .utf8)
    #expect(settings.contains(first.exitCode == 0 ? "seed: 42\n" : "seed: 7\n"))
  }

  /// Files that are not a run's are neither replaced nor removed.
  @Test func aFolderThatNeverHeldARun() throws {
    try FileManager.default.createDirectory(
      atPath: output + "/checkpoints", withIntermediateDirectories: true)
    for name in ["README.md", "metrics.jsonl", "checkpoints/thesis.txt"] {
      try folder.write(Array("mine".utf8), to: "out/" + name)
    }
    let holds = "README.md, checkpoints, metrics.jsonl"
    for (flag, message) in [
      (
        "--overwrite",
        "the folder never held a run: it holds \(holds)\n"
          + "hint: --overwrite replaces runs only: name a new folder"
      ),
      (
        "--resume",
        "the folder holds \(holds), and no run to resume\n"
          + "hint: name the folder of the run, or a new one"
      ),
    ] {
      let result = try train(["--max-steps", "2", flag])
      #expect(result.exitCode == 1)
      #expect(result.errors == "Error: \(output): \(message)\n")
    }
    #expect(names() == ["README.md", "checkpoints", "metrics.jsonl"])
    #expect(names("checkpoints") == ["thesis.txt"])
  }

  /// --overwrite removes by name what a run wrote, and refuses a folder that holds other things.
  @Test func overwritingRemovesARunAndNothingElse() throws {
    let evaluating = ["--eval-split", "0.2", "--eval-steps", "2"]
    let first = try train(["--max-steps", "4", "--save-steps", "1"] + evaluating)
    #expect(first.exitCode == 0, "\(first.errors)")
    let foreign = ["best/notes", "checkpoints/step-2/notes", "notes", "tensorboard/other"]
    for name in foreign { try folder.write(Array("mine".utf8), to: "out/" + name) }
    let before = try FileManager.default.subpathsOfDirectory(atPath: output).sorted()
    let refused = try train(["--max-steps", "2", "--overwrite"])
    #expect(refused.exitCode == 1)
    #expect(
      refused.errors == """
        Error: \(output): the folder holds what no run wrote: \(foreign.joined(separator: ", "))
        hint: --overwrite removes only what a run wrote: move the rest away, or name a new folder

        """)
    #expect(try FileManager.default.subpathsOfDirectory(atPath: output).sorted() == before)
    for name in foreign { try FileManager.default.removeItem(atPath: output + "/" + name) }

    try folder.write(Array("mine".utf8), to: "out/checkpoints/.keep")
    try folder.write(Array("half".utf8), to: "out/best/.adapter_model.safetensors.12.34.tmp")
    let second = try train(["--max-steps", "2", "--overwrite"])
    #expect(second.exitCode == 0, "\(second.errors)")
    #expect(
      names() == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "checkpoints",
        "config.resolved.yaml", "metrics.jsonl", "report.html", "tensorboard",
      ])
    #expect(names("checkpoints") == [".keep"])
    #expect(names("tensorboard") == ["events.out.tfevents.0.swift-lora"])
  }
}
