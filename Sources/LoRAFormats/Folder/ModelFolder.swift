// A model's folder as Hugging Face lays it out: config.json, weights, tokenizer.

import Foundation
package import LoRAJSON

/// A folder with a model, and the JSON files in it.
///
/// Opening reads config.json only; the weights are mapped by `SafeTensorsShards`.
package struct ModelFolder: Sendable {
  package let path: String

  /// The content of config.json.
  package let configuration: JSONObject

  /// Opens the folder at `path`. Throws `ModelFileError` where it has no readable config.json.
  package init(contentsOf path: String) throws {
    var path = path
    while path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
    self.path = path
    guard let configuration = try Self.object("config.json", in: path) else {
      if let snapshot = HubCache.snapshot(of: path) {
        throw ModelFileError(
          file: path, message: "this is a model of the Hugging Face cache, which keeps revisions",
          hint: "give the folder of one: \(snapshot)")
      }
      throw ModelFileError(
        file: path, message: "the folder has no config.json",
        hint: "give a GGUF file, or a model's folder with config.json, *.safetensors and "
          + "tokenizer.json")
    }
    self.configuration = configuration
  }

  /// A folder that need not exist, with a configuration that was not read from it.
  package init(path: String, configuration: JSONObject) {
    self.path = path
    self.configuration = configuration
  }

  /// Whether a path is that of a model's folder.
  package static func isOne(_ path: String) -> Bool { exists(path + "/config.json") }

  /// Whether something exists at the path of a file in the folder.
  package func has(_ name: String) -> Bool { Self.exists(path + "/" + name) }

  /// The path of a file in the folder.
  package func file(_ name: String) -> String { path + "/" + name }

  /// The bytes of a file, or nil where there is no such file.
  package func bytes(of name: String) throws -> MappedFile? {
    has(name) ? try MappedFile(path: file(name)) : nil
  }

  /// The JSON object in a file, or nil where there is no such file.
  package func object(_ name: String) throws -> JSONObject? { try Self.object(name, in: path) }

  /// An error about a file of the folder.
  package func failure(_ name: String, _ message: String, hint: String) -> ModelFileError {
    ModelFileError(file: file(name), message: message, hint: hint)
  }

  private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  private static func object(_ name: String, in folder: String) throws -> JSONObject? {
    let path = folder + "/" + name
    guard exists(path) else { return nil }
    let file = try MappedFile(path: path)
    let value: JSONValue
    do {
      // Python's reader, which made or read all of these files, takes the last of two equal keys.
      value = try withExtendedLifetime(file) {
        try JSONValue(parsing: file.bytes, duplicateKeys: .lastWins)
      }
    } catch let error as JSONError {
      throw ModelFileError(
        file: path, message: "line \(error.line), column \(error.column): \(error.message)",
        hint: error.hint)
    }
    guard let object = value.objectValue else {
      throw ModelFileError(
        file: path, message: "this is \(value.kind), not an object",
        hint: "the file is not what its name says: fetch it again")
    }
    return object
  }
}
