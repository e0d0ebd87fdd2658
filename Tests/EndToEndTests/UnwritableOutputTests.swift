// Output that cannot be written: a full disk, a closed pipe, no standard output at all.

import Foundation
import LoRATestSupport
import Testing

@Suite(.serialized) struct UnwritableOutputTests {
  private static let noSpace =
    "Error: standard output cannot be written: No space left on device\n"
  private let model = Fixture.path("folder/tied-f32")
  private let folder: TemporaryFolder
  private let rows: String

  init() throws {
    folder = try TemporaryFolder()
    let lines = (1...24).map { #"{"prompt": "say \#($0)", "completion": " \#($0)!"}"# }
    rows = try folder.write(Array(lines.joined(separator: "\n").utf8), to: "rows.jsonl")
  }

  /// - Parameter shell: what becomes of the command's streams.
  private func train(
    _ output: String, _ more: [String] = [], shell: String? = nil,
    started: (Process) -> Void = { _ in }
  ) throws -> LoraResult {
    try LoraProcess.run(
      [
        "train", "--model", model, "--data", rows, "--output", output, "--batch-size", "2",
        "--rank", "2",
      ] + more, limits: shell, started: started)
  }

  private func adapter(_ output: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: output + "/adapter_model.safetensors"))
  }

  /// Verbs whose result is what they print.
  private var results: [[String]] {
    [
      ["--help"], ["--version"], ["inspect", model], ["inspect", model, "--json"],
      ["score", "--model", model, "--data", rows], ["eval", "--model", model, "--data", rows],
      ["check", "--model", model, "--data", rows],
      ["generate", "--model", model, "--raw", "--prompt", "a", "--max-tokens", "4"],
    ]
  }

  @Test func aResultThatCannotBeWrittenIsAnError() throws {
    for arguments in results {
      let full = try LoraProcess.run(arguments, limits: "exec >/dev/full")
      #expect(full.exitCode == 1, "\(arguments): \(full.exitCode)")
      #expect(full.errors == Self.noSpace, "\(arguments)")
      let silent = try LoraProcess.run(arguments, limits: "exec >/dev/full 2>/dev/full")
      #expect(silent.exitCode == 1, "\(arguments): \(silent.exitCode)")
    }
    let closed = try LoraProcess.run(results[4], limits: "exec >&-")
    #expect(closed.exitCode == 1)
    #expect(closed.errors == "Error: standard output cannot be written: Bad file descriptor\n")
  }

  /// Whoever read the output has gone: the process ends quietly, by the signal that a shell expects.
  @Test func aClosedPipeEndsQuietly() throws {
    for arguments in results {
      let result = try LoraProcess.run(arguments, limits: "exec > >(:); sleep 0.1")
      #expect(result.exitCode == SIGPIPE, "\(arguments): \(result.exitCode)")
      #expect(result.errors.isEmpty, "\(arguments): \(result.errors)")
    }
  }

  /// The result of training is in files: it is the same whatever becomes of the log.
  @Test(arguments: [
    ("exec >/dev/full", "No space left on device"), ("exec > >(:); sleep 0.1", "Broken pipe"),
    ("exec >&-", "Bad file descriptor"), ("exec >/dev/full 2>/dev/full", ""),
    ("exec >&- 2>&- <&-", ""),
  ])
  func aLogThatCannotBeWrittenEndsNothing(shell: String, reason: String) throws {
    let whole = try train(folder.file("whole"))
    #expect(whole.exitCode == 0, "\(whole.errors)")
    let result = try train(folder.file("out"), shell: shell)
    #expect(result.exitCode == 0, "\(result.errors)")
    #expect(try adapter(folder.file("out")) == adapter(folder.file("whole")))
    if !reason.isEmpty {
      #expect(
        result.errors.components(
          separatedBy: "warning: standard output cannot be written: \(reason); the work goes on "
            + "without it\n"
        ).count == 2, "\(result.errors)")
    }
  }

  /// A disk of its own that another program fills after the first checkpoints: the run ends with the
  /// file and the reason, and goes on once there is room, to the same bytes.
  @Test(.enabled(if: SmallDisk.isPossible, "only root mounts a small disk"))
  func aDiskThatFillsUpUnderCheckpoints() throws {
    let disk = try #require(try SmallDisk(folder.file("disk"), kilobytes: 1 << 14))
    let (whole, output) = (folder.file("whole"), disk.path + "/out")
    let steps = ["--max-steps", "400"]
    let saving = steps + ["--save-steps", "1", "--save-total-limit", "50"]
    #expect(try train(whole, steps).exitCode == 0)
    let ended = try train(output, saving) { process in
      disk.fill(once: output + "/checkpoints/step-2", process)
    }
    #expect(ended.exitCode == 1)
    let error = /Error: (\S+): .*: No space left on device\nhint: make room on the disk/
    let match = try #require(ended.errors.firstMatch(of: error), "\(ended.errors)")
    #expect(match.1.hasPrefix(output))
    let last = try #require(
      ended.errors.firstMatch(of: /the same command with --resume goes on from step (\d+)\n/))
    let names = try FileManager.default.contentsOfDirectory(atPath: output + "/checkpoints")
    #expect(names.contains("step-\(last.1)"))
    #expect(names.allSatisfy { $0.hasPrefix("step-") })
    #expect(disk.resize(kilobytes: 1 << 16))
    let resumed = try train(output, saving + ["--resume"])
    #expect(resumed.exitCode == 0, "\(resumed.errors)")
    #expect(resumed.output.contains("resuming from step \(last.1)\n"))
    #expect(try adapter(output) == adapter(whole))
  }

  /// Another program fills the disk while the run writes its record.
  @Test(.enabled(if: SmallDisk.isPossible, "only root mounts a small disk"))
  func aDiskThatIsFullWhileTheRecordIsWritten() throws {
    let disk = try #require(try SmallDisk(folder.file("disk"), kilobytes: 4096))
    let output = disk.path + "/out"
    let metrics = output + "/metrics.jsonl"
    let ended = try train(output, ["--max-steps", "5000"]) { process in
      disk.fill(once: metrics, process)
    }
    #expect(ended.exitCode == 1)
    #expect(
      ended.errors.contains(": cannot write the content: No space left on device\nhint: make room"),
      "\(ended.errors)")
    // Whole lines only.
    #expect(try String(contentsOfFile: metrics, encoding: .utf8).hasSuffix("}\n"))
  }
}
