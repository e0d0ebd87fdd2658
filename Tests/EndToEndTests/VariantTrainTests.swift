// Variants of LoRA from the command: trained, stopped, resumed, loaded.

import Foundation
import LoRAFormats
import LoRAJSON
import LoRATestSupport
import Testing

@Suite(
  .serialized, .enabled(if: demoModelPath() != nil, "the demo model is not there: run make test"))
struct VariantTrainTests {
  private let model: String
  private let folder: TemporaryFolder
  private let rows: String

  init() throws {
    model = try #require(demoModelPath())
    folder = try TemporaryFolder()
    let lines = (1...6).map {
      #"{"prompt": "What is \#($0) and \#($0)?", "completion": " \#(2 * $0)"}"#
    }
    rows = try folder.write(Array(lines.joined(separator: "\n").utf8), to: "rows.jsonl")
  }

  private func train(_ output: String, _ more: [String]) throws -> LoraResult {
    try LoraProcess.run(
      [
        "train", "--model", model, "--data", rows, "--output", folder.file(output),
        "--batch-size", "2", "--rank", "4", "--target-modules", "q_proj,down_proj",
      ] + more)
  }

  private func bytes(_ name: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: folder.file(name)))
  }

  static let variants: [[String]] = [
    ["--use-dora", "--dropout", "0.1"], ["--use-rslora", "--lora-bias"],
    ["--init", "pissa_niter_2", "--loraplus-lr-ratio", "4"], ["--init", "olora", "--use-rslora"],
  ]

  /// Stopped after a checkpoint and resumed, a variant ends with the bytes of a run in one piece.
  @Test(arguments: variants)
  func resumesToTheSameBytes(flags: [String]) throws {
    let whole = try train("whole", flags + ["--save-steps", "2"])
    #expect(whole.exitCode == 0, "\(whole.errors)")
    // The run as it was after step 2: its settings and its checkpoint, and nothing after it.
    let checkpoints = folder.file("whole/checkpoints")
    let names = try FileManager.default.contentsOfDirectory(atPath: checkpoints).sorted()
    #expect(!names.isEmpty)
    try FileManager.default.createDirectory(
      atPath: folder.file("part"), withIntermediateDirectories: true)
    try folder.write(Array(bytes("whole/config.resolved.yaml")), to: "part/config.resolved.yaml")
    try FileManager.default.copyItem(
      atPath: checkpoints, toPath: folder.file("part/checkpoints"))
    let metrics = try String(decoding: bytes("whole/metrics.jsonl"), as: UTF8.self)
    let kept = metrics.split(separator: "\n").prefix(2).joined(separator: "\n") + "\n"
    try folder.write(Array(kept.utf8), to: "part/metrics.jsonl")
    let resumed = try train("part", flags + ["--save-steps", "2", "--resume"])
    #expect(resumed.exitCode == 0, "\(resumed.errors)")
    for file in ["adapter_model.safetensors", "adapter_config.json"] {
      #expect(try bytes("part/" + file) == bytes("whole/" + file), "\(file)")
    }
    let scored = try LoraProcess.run([
      "score", "--model", model, "--adapter", folder.file("whole"), "--data", rows,
    ])
    #expect(scored.exitCode == 0 && scored.errors == "", "\(scored.errors)")
  }

  @Test func mistakesAreNamed() throws {
    let unknown = try train("a", ["--init", "piss"])
    #expect(unknown.exitCode != 0 && unknown.errors.contains("pissa"), "\(unknown.errors)")
    let both = try train("b", ["--use-dora", "--lora-bias"])
    #expect(
      both.exitCode != 0
        && both.errors.contains("DoRA and a bias of B exclude each other"), "\(both.errors)")
    let ratio = try train("c", ["--loraplus-lr-ratio", "0"])
    #expect(
      ratio.exitCode != 0
        && ratio.errors.contains("LoRA+'s ratio of the learning rates is 0.0"), "\(ratio.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder.file("a")))
  }
}
