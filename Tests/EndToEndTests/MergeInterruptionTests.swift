// Signals in the middle of `lora merge`: nothing of the new folder is left, an old one is as it was.

import Foundation
import LoRATestSupport
import Testing

@Suite(
  .serialized, .enabled(if: demoModelPath() != nil, "the demo model is not there: run make test"))
struct MergeInterruptionTests {
  private let folder: TemporaryFolder
  private let gguf: String

  init() throws {
    folder = try TemporaryFolder()
    gguf = try #require(demoModelPath())
    let row = #"{"prompt": "one and one is", "completion": " two"}"#
    let rows = try folder.write(Array(row.utf8), to: "rows.jsonl")
    let trained = try LoraProcess.run([
      "train", "--model", gguf, "--data", rows, "--output", folder.file("adapter"), "--rank", "2",
      "--target-modules", "q_proj", "--max-steps", "1", "--precision", "float32",
    ])
    #expect(trained.exitCode == 0, "\(trained.errors)")
  }

  private func contents(_ name: String) throws -> [String: Data] {
    let path = folder.file(name)
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return try names.reduce(into: [:]) {
      $0[$1] = try Data(contentsOf: URL(fileURLWithPath: path + "/" + $1))
    }
  }

  /// Waits until weights are being written beside the target.
  private func waitForWeights(_ process: Process) {
    let files = FileManager.default
    let deadline = Date(timeIntervalSinceNow: 120)
    while process.isRunning, Date() < deadline {
      let new = folder.contents.first { $0.hasPrefix(".out.") }.map(folder.file)
      let weights = new.flatMap { new in
        (try? files.contentsOfDirectory(atPath: new))?.first { $0.contains("model.safetensors") }
          .map { new + "/" + $0 }
      }
      let size = weights.flatMap { try? files.attributesOfItem(atPath: $0)[.size] as? Int } ?? 0
      if size > 1 << 20 { return }
      usleep(1_000)
    }
  }

  @Test(
    arguments: [
      ([SIGINT], 130), ([SIGTERM], 143), ([SIGTERM, SIGTERM, SIGTERM], 143),
    ] as [([Int32], Int32)], [false, true])
  func leavesNothingBehind(stop: (signals: [Int32], exitCode: Int32), replaces: Bool) throws {
    if replaces {
      let old = try LoraProcess.run([
        "merge", "--model", Fixture.path("folder/tied-f32"), "--adapter", Fixture.path("merging/a"),
        "--output", folder.file("out"),
      ])
      #expect(old.exitCode == 0, "\(old.errors)")
    }
    let (names, before) = (folder.contents, try contents("out"))
    let result = try LoraProcess.run(
      [
        "merge", "--model", gguf, "--adapter", folder.file("adapter"), "--output",
        folder.file("out"),
      ] + (replaces ? ["--overwrite"] : [])
    ) { process in
      waitForWeights(process)
      for signal in stop.signals {
        kill(process.processIdentifier, signal)
        usleep(2_000)
      }
    }
    #expect(result.exitCode == stop.exitCode, "\(result.errors)")
    #expect(result.errors.contains("removing what was written; once more to end at once"))
    #expect(result.output == "")
    #expect(folder.contents == names)
    #expect(try contents("out") == before)
  }
}
