// The output folder of a training run: what may be in it before, and the files that go in.

import Foundation
import LoRAFormats
import LoRAJSON
import LoRATraining

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
      "report.html",
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

  var url: URL { URL(fileURLWithPath: path, isDirectory: true) }

  var checkpoints: CheckpointFolder { CheckpointFolder(path: file("checkpoints")) }
}

/// `metrics.jsonl`: one object per step, there as soon as the step is done.
final class MetricsFile {
  private let path: String
  private let handle: FileHandle

  /// - Parameter steps: keeps the lines of this many steps of an earlier part of the run.
  init(_ path: String, keepingSteps steps: Int = 0) throws {
    self.path = path
    let earlier = steps > 0 ? (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" : ""
    let kept = earlier.split(separator: "\n").filter { line in
      let step = (try? JSONValue(parsing: String(line)))?.objectValue?["step"]?.integerValue
      return step.map { $0 <= steps } ?? false
    }
    try AtomicFile.write(kept.map { $0 + "\n" }.joined(), to: path)
    guard let handle = FileHandle(forWritingAtPath: path) else {
      throw OutputFileError(
        file: path, message: "cannot open the file", hint: "choose a folder that you may write to")
    }
    handle.seekToEndOfFile()
    self.handle = handle
  }

  deinit { try? handle.close() }

  func write(_ object: JSONObject) throws {
    do {
      try handle.write(
        contentsOf: Data((JSONValue.object(object).serialized(.compact) + "\n").utf8))
    } catch {
      throw OutputFileError(
        file: path, message: "cannot write: \(error.localizedDescription)",
        hint: "make room on the disk")
    }
  }
}
