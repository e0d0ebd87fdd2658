// The folder `checkpoints/` of a run: whole checkpoints only, the newest found again.

import Foundation
import LoRAFormats

/// Where a run keeps its checkpoints: `step-N/` holds the adapter and the trainer's state.
struct CheckpointFolder {
  static let stateName = "trainer_state.safetensors"
  let path: String

  /// The steps that there is a checkpoint of, in order.
  var steps: [Int] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return names.compactMap { $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil }.sorted()
  }

  func folder(_ step: Int) -> String { path + "/step-\(step)" }

  /// Writes a checkpoint under a name that no reader looks for, then gives it its own.
  ///
  /// - Parameter limit: how many to keep; older ones go once the new one is whole.
  func save(_ step: Int, keeping limit: Int?, _ write: (String) throws -> Void) throws {
    let temporary = path + "/.step-\(step).\(getpid()).tmp"
    try? FileManager.default.removeItem(atPath: temporary)
    try OutputFolder.make(temporary)
    do {
      try write(temporary)
      // Only a resumed run meets its own name: that checkpoint is of the same step of the same run.
      try? FileManager.default.removeItem(atPath: folder(step))
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

  /// Removes all but the newest `limit` checkpoints.
  func prune(keeping limit: Int?) {
    guard let limit else { return }
    for old in steps.dropLast(max(limit, 1)) {
      try? FileManager.default.removeItem(atPath: folder(old))
    }
  }

  /// Removes what killed processes left half written.
  func removeLeftovers() {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    for name in names where name.hasPrefix(".step-") {
      try? FileManager.default.removeItem(atPath: path + "/" + name)
    }
  }
}
