// What a run writes, by name: --overwrite removes that, and nothing else.

import Foundation
import LoRAFormats

extension RunFolder {
  /// The file that makes a folder a run's.
  static let settingsName = "config.resolved.yaml"

  /// The names that a run writes into a folder below its own ("" is its own); nil where it has no
  /// such folder.
  private static func names(in folder: String) -> [String]? {
    let adapter = ["adapter_config.json", "adapter_model.safetensors"]
    switch folder {
    case "": return adapter + [settingsName, "README.md", "metrics.jsonl", "report.html"]
    case "best": return adapter
    case RunLog.tensorBoardFolder: return [RunLog.tensorBoardName]
    case "checkpoints": return []
    default:
      guard folder.wholeMatch(of: /checkpoints\/step-\d+/) != nil else { return nil }
      return adapter + [CheckpointFolder.stateName, CheckpointFolder.temporaryMark]
    }
  }

  /// Whether a run began in the folder.
  var holdsRun: Bool {
    let text = try? String(contentsOfFile: file(Self.settingsName), encoding: .utf8)
    return text?.hasPrefix(RunConfiguration.resolvedHeader) == true
  }

  /// What is in the folder and in those of a run below it that no run wrote; hidden files, which stay
  /// as they are, left out.
  func foreignFiles(in folder: String = "") -> [String] {
    entries(folder).flatMap { name, path -> [String] in
      if name.hasPrefix(".") { return [] }
      let isFolder = isFolder(path)
      if isFolder, Self.names(in: path) != nil { return foreignFiles(in: path) }
      let isOurs = !isFolder && Self.names(in: folder)?.contains(name) == true
      return isOurs ? [] : [path]
    }
  }

  /// Removes the files of an earlier run but its adapter and its settings.
  func removeRun(in folder: String = "") throws {
    let kept = folder.isEmpty ? Set((Self.names(in: "best") ?? []) + [Self.settingsName]) : []
    for (name, path) in entries(folder) {
      if Self.names(in: path) != nil, isFolder(path) {
        try removeRun(in: path)
        // One that still holds hidden files, or is a link to elsewhere, stays.
        rmdir(file(path))
      } else if isOurs(name, in: folder), !kept.contains(name) {
        guard unlink(file(path)) == 0 || errno == ENOENT else {
          throw OutputFileError(
            file: file(path), message: "cannot be removed: \(String(cString: strerror(errno)))",
            hint: "choose a folder that you may write to")
        }
      }
    }
  }

  /// Whether a run gave a file its name, or the name that it has before it is whole.
  private func isOurs(_ name: String, in folder: String) -> Bool {
    let names = Self.names(in: folder) ?? []
    guard let unfinished = name.wholeMatch(of: /\.(.+)\.\d+\.\d+\.tmp/) else {
      return names.contains(name)
    }
    return names.contains(String(unfinished.1))
  }

  private func entries(_ folder: String) -> [(name: String, path: String)] {
    ((try? contents(folder)) ?? []).map { ($0, folder.isEmpty ? $0 : folder + "/" + $0) }
  }

  private func isFolder(_ path: String) -> Bool {
    var isDirectory: ObjCBool = false
    return FileManager.default.fileExists(atPath: file(path), isDirectory: &isDirectory)
      && isDirectory.boolValue
  }
}
