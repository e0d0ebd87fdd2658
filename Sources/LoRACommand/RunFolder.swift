// The output folder of a training run: what may be in it before, and the files that go in.

import Foundation
import LoRAFormats

/// Where a run writes.
struct RunFolder {
  let path: String

  private let overwrite: Bool

  /// Checks the folder, before hours of work end in an error; nothing is changed yet.
  ///
  /// - Throws: `OutputFileError` where it holds files and may not be overwritten, or cannot be
  ///   written.
  init(_ path: String, overwrite: Bool) throws {
    self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    self.overwrite = overwrite
    guard FileManager.default.fileExists(atPath: path) else {
      try OutputFolder.checkCreatable(path)
      return
    }
    try OutputFolder.make(path)
    let names = try contents()
    if let name = names.first(where: { !$0.hasPrefix(".") }), !overwrite {
      throw OutputFileError(
        file: path,
        message: names.contains("adapter_config.json")
          ? "the folder holds an adapter already" : "the folder is not empty: it holds \(name)",
        hint: "name a new folder, or give --overwrite to replace what is in it")
    }
    try OutputFolder.checkWritable(path)
  }

  /// Makes the folder; with --overwrite, removes an earlier run's files.
  ///
  /// Its adapter stays until the new one takes its place: a run that fails takes nothing away.
  func prepare(keepingRun: Bool) throws {
    try OutputFolder.make(path)
    checkpoints.removeLeftovers()
    guard !keepingRun else { return }
    let ours = [
      "metrics.jsonl", "README.md", "config.resolved.yaml", "checkpoints", "best",
      "report.html", RunLog.tensorBoardFolder,
    ]
    for name in try contents() where ours.contains(name) {
      try FileManager.default.removeItem(atPath: file(name))
    }
  }

  private func contents() throws -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: path).sorted()
    } catch {
      throw OutputFileError(
        file: path, message: "cannot list the folder", hint: "choose a folder that you may read")
    }
  }

  func file(_ name: String) -> String { path + "/" + name }

  /// Whether an adapter lies in the folder itself.
  var hasAdapter: Bool { has("adapter_model.safetensors") }

  /// Whether a run has written everything that it writes at its end.
  var isFinished: Bool { hasAdapter && has("README.md") && has("report.html") }

  private func has(_ name: String) -> Bool { FileManager.default.fileExists(atPath: file(name)) }

  var url: URL { URL(fileURLWithPath: path, isDirectory: true) }

  var checkpoints: CheckpointFolder { CheckpointFolder(path: file("checkpoints")) }
}
