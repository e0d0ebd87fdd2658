// Several adapters in one folder, laid out as PEFT does.

import Foundation
public import LoRANN

extension Module {
  /// Writes adapters as PEFT's `save_pretrained` does: "default" into the folder itself, every other
  /// one into a folder of its name below it.
  ///
  /// - Throws: as `saveAdapter`; `AdapterError` for a name that is no name of a folder.
  public func saveAdapters(_ configurations: [String: LoRAConfiguration], to directory: String)
    throws
  {
    for name in configurations.keys.sorted() where name.contains("/") || name.contains("\0") {
      throw AdapterError(
        message: "the adapter \"\(name)\" cannot be saved in a folder of its name",
        hint: "rename it: a name has no slash")
    }
    for (name, configuration) in configurations.sorted(by: { $0.key < $1.key }) {
      try saveAdapter(
        name, configuration,
        to: name == AdapterFile.defaultName ? directory : AdapterFile.path(directory, name))
    }
  }

  /// Loads every adapter of a folder that PEFT or `saveAdapters` wrote, by their names.
  ///
  /// - Throws: as `loadAdapter`. The adapters before the one that failed stay.
  @discardableResult
  public func loadAdapters(from directory: String) throws -> [String: LoadedAdapter] {
    let names = ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted()
    let folders = names.map { ($0, AdapterFile.path(directory, $0)) }
    let found = ([(AdapterFile.defaultName, directory)] + folders).filter {
      FileManager.default.fileExists(
        atPath: AdapterFile.path($0.1, AdapterFile.configurationName))
    }
    guard !found.isEmpty else {
      try AdapterFile.checkFolder(directory)
      return [:]
    }
    var result: [String: LoadedAdapter] = [:]
    for (name, path) in found { result[name] = try loadAdapter(name, from: path) }
    return result
  }
}
