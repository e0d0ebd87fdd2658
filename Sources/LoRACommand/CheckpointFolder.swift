// The folder `checkpoints/` of a run: whole checkpoints only, the newest found again.

import Foundation
import LoRAFormats

/// Where a run keeps its checkpoints: `step-N/` holds the adapter and the trainer's state.
struct CheckpointFolder {
  static let stateName = "trainer_state.safetensors"
  /// The empty file in a checkpoint that was not asked for: it gives way to the next.
  static let temporaryMark = ".temporary"
  let path: String

  /// The steps that there is a checkpoint of, in order.
  var steps: [Int] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return names.compactMap { $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil }.sorted()
  }

  func folder(_ step: Int) -> String { path + "/step-\(step)" }

  /// Writes a checkpoint under a name that no reader looks for, then gives it its own.
  ///
  /// - Parameters:
  ///   - isTemporary: whether it only guards against a loss, and gives way to the next.
  ///   - limit: how many to keep; older ones go once the new one is whole.
  func save(
    _ step: Int, isTemporary: Bool, keeping limit: Int?, _ write: (String) throws -> Void
  ) throws {
    let temporary = path + "/.step-\(step).\(getpid()).tmp"
    try? FileManager.default.removeItem(atPath: temporary)
    try OutputFolder.make(temporary)
    do {
      try write(temporary)
      if isTemporary { try AtomicFile.write("", to: temporary + "/" + Self.temporaryMark) }
      // Only a resumed run meets its own name: that checkpoint is of the same step of the same run.
      remove(step)
      guard rename(temporary, folder(step)) == 0 else {
        throw OutputFileError(
          file: folder(step),
          message: "cannot give the checkpoint its name: \(String(cString: strerror(errno)))",
          hint: "check the disk and the path")
      }
    } catch {
      try? FileManager.default.removeItem(atPath: temporary)
      throw error
    }
    prune(keeping: limit)
  }

  /// Removes those that were to give way to the newest, and of the others all but the last `limit`.
  func prune(keeping limit: Int?) {
    for old in steps.dropLast() where isTemporary(old) { remove(old) }
    guard let limit else { return }
    steps.filter { !isTemporary($0) }.dropLast(max(limit, 1)).forEach(remove)
  }

  /// Removes the checkpoints that only guarded against a loss.
  func removeTemporary() {
    steps.filter(isTemporary).forEach(remove)
    // Only where nothing is left in it.
    rmdir(path)
  }

  private func isTemporary(_ step: Int) -> Bool {
    FileManager.default.fileExists(atPath: folder(step) + "/" + Self.temporaryMark)
  }

  /// Takes the name away first: a process that is killed meanwhile leaves no half of a checkpoint.
  private func remove(_ step: Int) {
    let old = path + "/.step-\(step).\(getpid()).old.tmp"
    try? FileManager.default.removeItem(atPath: old)
    rename(folder(step), old)
    try? FileManager.default.removeItem(atPath: old)
  }

  /// Removes what killed processes left half written.
  func removeLeftovers() {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    for name in names where name.hasPrefix(".step-") {
      try? FileManager.default.removeItem(atPath: path + "/" + name)
    }
  }
}
