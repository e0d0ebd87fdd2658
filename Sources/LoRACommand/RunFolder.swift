// The output folder of a training run: what may be in it before, and the files that go in.

import Foundation
import LoRAFormats
import LoRAJSON

/// Where a run writes; locked for other runs while the object lives.
final class RunFolder {
  /// What a run may find in its folder.
  enum Use { case new, overwrite, resume }

  let path: String

  private let use: Use
  private var lock: FolderLock?

  /// Checks the folder, before hours of work end in an error; nothing is changed yet.
  ///
  /// - Throws: `OutputFileError` where it may not be used so, cannot be written, or another run is at
  ///   work in it.
  init(_ path: String, _ use: Use) throws {
    self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    self.use = use
    guard FileManager.default.fileExists(atPath: path) else {
      try OutputFolder.checkCreatable(path)
      return
    }
    try OutputFolder.make(path)
    lock = try FolderLock(self.path)
    try checkContents()
  }

  private func checkContents() throws {
    func refuse(_ message: String, _ hint: String) -> OutputFileError {
      OutputFileError(file: path, message: message, hint: hint)
    }
    let names = try contents().filter { !$0.hasPrefix(".") }
    guard let first = names.first else { return }
    let isRun = holdsRun
    switch use {
    case .new:
      throw refuse(
        hasAdapter
          ? "the folder holds an adapter already" : "the folder is not empty: it holds \(first)",
        "name a new folder"
          + (isRun ? ", or give --overwrite to replace what is in it" : ""))
    case .resume:
      guard isRun else {
        throw refuse(
          "the folder holds \(names.listed(atMost: 4)), and no run to resume",
          "name the folder of the run, or a new one")
      }
    case .overwrite:
      guard isRun else {
        throw refuse(
          "the folder never held a run: it holds \(names.listed(atMost: 4))",
          "--overwrite replaces runs only: name a new folder")
      }
      let foreign = foreignFiles()
      guard foreign.isEmpty else {
        throw refuse(
          "the folder holds what no run wrote: \(foreign.listed(atMost: 4))",
          "--overwrite removes only what a run wrote: move the rest away, or name a new folder")
      }
    }
  }

  /// Makes the folder; with --overwrite, removes an earlier run's files.
  ///
  /// Its adapter and settings stay until new ones take their place: a run that fails takes nothing
  /// away.
  func prepare(keepingRun: Bool) throws {
    try OutputFolder.make(path)
    if lock == nil {
      lock = try FolderLock(path)
      if let name = try contents().first(where: { !$0.hasPrefix(".") }) {
        throw OutputFileError(
          file: path, message: "another run has made the folder meanwhile: it holds \(name)",
          hint: "name a new folder")
      }
    }
    checkpoints.removeLeftovers()
    if !keepingRun { try removeRun() }
  }

  func contents(_ folder: String = "") throws -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: file(folder)).sorted()
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
