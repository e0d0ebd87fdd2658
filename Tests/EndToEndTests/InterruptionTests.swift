// Kills and signals at any moment, on a tiny model so that there can be many.

import Foundation
import LoRATestSupport
import Testing

@Suite(.serialized) struct InterruptionTests {
  private let model = Fixture.path("folder/tied-f32")
  private let folder: TemporaryFolder
  private let rows: String

  init() throws {
    folder = try TemporaryFolder()
    let lines = (1...24).map { #"{"prompt": "say \#($0)", "completion": " \#($0)!"}"# }
    rows = try folder.write(Array(lines.joined(separator: "\n").utf8), to: "rows.jsonl")
  }

  private func arguments(_ output: String, _ more: [String] = []) -> [String] {
    [
      "train", "--model", model, "--data", rows, "--output", folder.file(output), "--batch-size",
      "2", "--epochs", "4", "--dropout", "0.1", "--rank", "2", "--eval-split", "0.2",
      "--eval-steps", "3", "--learning-rate", "1e-3",
    ] + more
  }

  private func bytes(_ name: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: folder.file(name)))
  }

  private func names(_ path: String) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: folder.file(path)).sorted()) ?? []
  }

  private func expectSameRun(_ a: String, _ b: String, _ comment: String) throws {
    for file in [
      "adapter_model.safetensors", "adapter_config.json", "best/adapter_model.safetensors",
    ] {
      #expect(try bytes(a + "/" + file) == bytes(b + "/" + file), "\(file) \(comment)")
    }
    func lines(_ name: String) throws -> Int {
      try String(decoding: bytes(name + "/metrics.jsonl"), as: UTF8.self)
        .split(separator: "\n").count
    }
    #expect(try lines(a) == lines(b))
    #expect(names(b + "/checkpoints").allSatisfy { $0.hasPrefix("step-") })
  }

  /// kill -9 at moments that are drawn over the whole run, from before the folder exists to after
  /// the last step; a checkpoint is written after every step, so that most kills are while saving.
  @Test func killedAtAnyMomentTheRunEndsWithTheSameBytes() throws {
    let more = ["--save-steps", "1", "--save-total-limit", "2"]
    let start = Date()
    #expect(try LoraProcess.run(arguments("whole", more)).exitCode == 0)
    let duration = Date().timeIntervalSince(start)
    #expect(names("whole/checkpoints").count == 2)
    var kills = 0
    var round = 0
    while kills < 25, round < 40 {
      round += 1
      let result = try LoraProcess.run(arguments("killed", more + ["--resume"])) { process in
        usleep(UInt32(Double.random(in: 0...min(duration, 5)) * 1e6))
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
      }
      if result.exitCode != 0 {
        kills += 1
        #expect(!result.errors.contains("Error"), "\(result.errors)")
      } else {
        try expectSameRun("whole", "killed", "after \(kills) kills")
        try FileManager.default.removeItem(atPath: folder.file("killed"))
      }
    }
    let last = try LoraProcess.run(arguments("killed", more + ["--resume"]))
    #expect(last.exitCode == 0, "\(last.errors)")
    try expectSameRun("whole", "killed", "after \(kills) kills")
  }

  /// The last checkpoint is there, the adapter is not: the run was killed between the two.
  @Test func aRunKilledAfterItsLastStepIsFinished() throws {
    let more = ["--save-steps", "1"]
    #expect(try LoraProcess.run(arguments("whole", more)).exitCode == 0)
    let before = try bytes("whole/adapter_model.safetensors")
    let card = try bytes("whole/README.md")
    for name in ["adapter_model.safetensors", "adapter_config.json", "README.md", "report.html"] {
      try FileManager.default.removeItem(atPath: folder.file("whole/" + name))
    }
    let resumed = try LoraProcess.run(arguments("whole", more + ["--resume"]))
    #expect(resumed.exitCode == 0, "\(resumed.errors)")
    #expect(try bytes("whole/adapter_model.safetensors") == before)
    #expect(try bytes("whole/README.md") == card)
    #expect(names("whole").contains("report.html"))
    let again = try LoraProcess.run(arguments("whole", more + ["--resume"]))
    #expect(again.exitCode == 0 && again.output.contains("the run is complete: nothing to resume"))
  }

  /// The first signal ends the run after its step, with a checkpoint; resumed, it is the same run.
  @Test(
    arguments: [(SIGTERM, 143), (SIGINT, 130), (SIGHUP, 129), (SIGUSR1, 138)] as [(Int32, Int32)])
  func aSignalSavesAndStops(signal: Int32, exitCode: Int32) throws {
    #expect(try LoraProcess.run(arguments("whole")).exitCode == 0)
    let stopped = try LoraProcess.run(arguments("stopped")) { process in
      waitForSteps("stopped", process)
      kill(process.processIdentifier, signal)
    }
    #expect(stopped.exitCode == exitCode, "\(stopped.errors)")
    #expect(stopped.errors.contains("finishing the step, then saving; once more to end at once"))
    #expect(names("stopped/checkpoints").count == 1)
    #expect(names("stopped").contains("report.html"))
    let resumed = try LoraProcess.run(arguments("stopped", ["--resume"]))
    #expect(resumed.exitCode == 0, "\(resumed.errors)")
    try expectSameRun("whole", "stopped", "after signal \(signal)")
  }

  /// The second signal ends the process at once; the checkpoints before it are whole.
  @Test func theSecondSignalAborts() throws {
    var more = ["--save-steps", "2"]
    #expect(try LoraProcess.run(arguments("whole", more)).exitCode == 0)
    let aborted = try LoraProcess.run(arguments("aborted", more)) { process in
      waitForSteps("aborted", process)
      for _ in 0..<2 { kill(process.processIdentifier, SIGTERM) }
      usleep(2_000)
      kill(process.processIdentifier, SIGTERM)
    }
    #expect(aborted.exitCode == 143)
    more.append("--resume")
    let resumed = try LoraProcess.run(arguments("aborted", more))
    #expect(resumed.exitCode == 0, "\(resumed.errors)")
    try expectSameRun("whole", "aborted", "after an abort")
  }

  /// A line that drops sends SIGHUP twice, a batch system SIGTERM after SIGUSR1: neither ends the run
  /// before it has saved.
  @Test(arguments: [(SIGHUP, SIGHUP), (SIGUSR1, SIGTERM)] as [(Int32, Int32)])
  func anotherSignalThatAsksIsNoAbort(first: Int32, second: Int32) throws {
    let stopped = try LoraProcess.run(arguments("stopped")) { process in
      waitForSteps("stopped", process)
      kill(process.processIdentifier, first)
      usleep(2_000)
      kill(process.processIdentifier, second)
    }
    #expect(stopped.exitCode == 128 + first, "\(stopped.errors)")
    #expect(names("stopped/checkpoints").count == 1)
    #expect(names("stopped").contains("report.html"))
  }

  @Test func nohupGoesOn() throws {
    let result = try LoraProcess.run(arguments("out"), limits: "trap '' HUP") { process in
      waitForSteps("out", process)
      kill(process.processIdentifier, SIGHUP)
    }
    #expect(result.exitCode == 0, "\(result.errors)")
  }

  /// Checkpoints by the clock change nothing of the result, and are gone when it is there.
  @Test func checkpointsByTheClock() throws {
    #expect(try LoraProcess.run(arguments("whole", ["--save-minutes", "0"])).exitCode == 0)
    let often = ["--save-minutes", "0.000001"]
    let timed = try LoraProcess.run(arguments("timed", often))
    #expect(timed.exitCode == 0, "\(timed.errors)")
    try expectSameRun("whole", "timed", "with checkpoints by the clock")
    #expect(!names("timed").contains("checkpoints"))
    // Those that were asked for stay, the newest as many as are to be kept.
    let both = often + ["--save-steps", "7", "--save-total-limit", "2"]
    #expect(try LoraProcess.run(arguments("both", both)).exitCode == 0)
    try expectSameRun("whole", "both", "with checkpoints of both kinds")
    #expect(names("both/checkpoints") == ["step-28", "step-35"])

    let killed = try LoraProcess.run(arguments("killed", often)) { process in
      waitForSteps("killed", process)
      kill(process.processIdentifier, SIGKILL)
    }
    #expect(killed.exitCode == SIGKILL)
    let left = names("killed/checkpoints").filter { $0.hasPrefix("step-") }
    #expect((1...2).contains(left.count), "\(left)")
    let resumed = try LoraProcess.run(arguments("killed", ["--resume"]))
    #expect(resumed.exitCode == 0 && resumed.output.contains("resuming from step "))
    try expectSameRun("whole", "killed", "after a kill between checkpoints by the clock")
    #expect(!names("killed").contains("checkpoints"))
    let negative = try LoraProcess.run(arguments("negative", ["--save-minutes", "-1"]))
    #expect(negative.exitCode == 64)
    #expect(negative.errors.contains("--save-minutes is -1.0: give 0 (never) or more"))
  }

  private func waitForSteps(_ output: String, _ process: Process) {
    let deadline = Date(timeIntervalSinceNow: 60)
    while process.isRunning, Date() < deadline {
      let text = try? String(
        contentsOfFile: folder.file(output + "/metrics.jsonl"), encoding: .utf8)
      if (text ?? "").split(separator: "\n").count > 3 { return }
      usleep(1_000)
    }
  }

  /// The rows to evaluate on are changed under the run: it ends with a checkpoint, and once they are
  /// as they were it goes on, with the evaluation that it missed, as if nothing had been.
  @Test func rowsThatAreChangedUnderTheRunEndItAndItGoesOn() throws {
    let lines = (1...6).map { #"{"prompt": "tell \#($0)", "completion": " \#($0)?"}"# }
    let rows = Array(lines.joined(separator: "\n").utf8)
    let evalRows = try folder.write(rows, to: "eval.jsonl")
    func run(
      _ output: String, _ more: [String] = [], started: (Process) -> Void = { _ in }
    ) throws -> LoraResult {
      var arguments = arguments(output, more)
      let split = try #require(arguments.firstIndex(of: "--eval-split"))
      arguments.replaceSubrange(split...split + 1, with: ["--eval-data", evalRows])
      return try LoraProcess.run(arguments, started: started)
    }
    #expect(try run("whole").exitCode == 0)
    let ended = try run("ended") { process in
      waitForSteps("ended", process)
      try? Data(rows.reversed()).write(to: URL(fileURLWithPath: evalRows))
    }
    #expect(ended.exitCode == 1, "\(ended.output)")
    #expect(ended.errors.contains("eval.jsonl: the file is not what it was when the run began"))
    #expect(names("ended/checkpoints").count == 1)
    // As long as the rows are others the run does not go on.
    let again = try run("ended", ["--resume"])
    #expect(again.exitCode == 1, "\(again.output)")
    _ = try folder.write(rows, to: "eval.jsonl")
    let resumed = try run("ended", ["--resume"])
    #expect(resumed.exitCode == 0, "\(resumed.errors)")
    try expectSameRun("whole", "ended", "after other rows")
    func evaluations(_ name: String) throws -> [String] {
      try String(decoding: bytes(name + "/metrics.jsonl"), as: UTF8.self).split(separator: "\n")
        .compactMap { line in
          line.range(of: #""eval_loss":[^,}]*"#, options: .regularExpression)
            .map { String(line[$0]) }
        }
    }
    #expect(try evaluations("ended") == evaluations("whole"))
    #expect(try evaluations("whole").count > 3)
  }

  /// A run that diverges keeps its last good state, says which rows and module, and fails.
  @Test func aDivergingRunKeepsWhatIsGood() throws {
    let result = try LoraProcess.run([
      "train", "--model", model, "--data", rows, "--output", folder.file("out"), "--batch-size",
      "4", "--learning-rate", "1e25", "--warmup-ratio", "0", "--precision", "float32",
    ])
    #expect(result.exitCode == 1)
    let place = /rows\.jsonl:\d+, .*the first value that was no number: \S+ out of model\.layers\./
    #expect(result.errors.contains("Error: step 2: the loss is nan"), "\(result.errors)")
    #expect(result.errors.contains(place), "\(result.errors)")
    #expect(result.errors.contains("checkpoints/step-1: --init-adapter goes on from it"))
    #expect(names("out/checkpoints") == ["step-1"])
    #expect(names("out").contains("report.html") && !names("out").contains("README.md"))
    let eval = try LoraProcess.run([
      "eval", "--model", model, "--data", rows, "--adapter", folder.file("out/checkpoints/step-1"),
    ])
    #expect(eval.exitCode == 0, "\(eval.errors)")
  }
}
