// The weights of a folder: one safetensors file, or several with an index of who has what.

import LoRAJSON

/// All tensors of a model's folder by name, whichever file holds them; every file is mapped.
package final class SafeTensorsShards: Sendable {
  /// The files: one, or the shards in the order of their names.
  package let files: [SafeTensorsFile]
  private let places: [String: Int]

  private static let single = "model.safetensors"
  private static let index = "model.safetensors.index.json"

  /// The names of all tensors, file by file.
  package var tensorNames: [String] { files.flatMap(\.tensorNames) }

  /// Maps the files and checks that index and files agree. Throws `ModelFileError`.
  package init(_ folder: ModelFolder) throws {
    // In this order as in transformers: where there are both, the single file counts.
    if folder.has(Self.single) {
      files = [try SafeTensorsFile(contentsOf: folder.file(Self.single))]
      places = Dictionary(uniqueKeysWithValues: files[0].tensorNames.map { ($0, 0) })
      return
    }
    guard let index = try folder.object(Self.index) else {
      let pickled = ["pytorch_model.bin", "pytorch_model.bin.index.json"].first(where: folder.has)
      throw ModelFileError(
        file: folder.path,
        message: "the folder has neither \(Self.single) nor \(Self.index)",
        hint: pickled.map {
          "only safetensors are read, not \($0): save the model again with transformers"
        } ?? "the download is not complete, or this is not a model's folder")
    }
    func failure(_ message: String) -> ModelFileError {
      folder.failure(
        Self.index, message, hint: "index and shards do not belong together: fetch them again")
    }
    guard let map = index["weight_map"]?.objectValue else {
      throw failure("weight_map is missing or not an object")
    }
    var names: [String: String] = [:]
    for (tensor, value) in map {
      guard let name = value.stringValue else {
        throw failure("weight_map.\(tensor.shortened) is \(value.kind), not the name of a file")
      }
      // A name is a file beside the index, never a way out of the folder.
      guard !name.contains("/"), !name.contains("\\"), !name.contains("\0"),
        name.hasSuffix(".safetensors")
      else {
        throw failure(
          "weight_map.\(tensor.shortened): \"\(name.shortened)\" is not the name of a safetensors "
            + "file in the folder")
      }
      names[tensor] = name
    }
    let fileNames = Set(names.values).sorted()
    guard !fileNames.isEmpty else { throw failure("weight_map is empty") }
    files = try fileNames.map { name in
      guard folder.has(name) else {
        let missing = map.first { $0.value.stringValue == name }?.key ?? ""
        throw ModelFileError(
          file: folder.file(name),
          message: "the shard is missing: \(Self.index) names it for the tensor \(missing)",
          hint: "fetch the file into the folder")
      }
      return try SafeTensorsFile(contentsOf: folder.file(name))
    }
    var places: [String: Int] = [:]
    for (i, file) in files.enumerated() {
      for tensor in file.tensorNames {
        guard names[tensor] == fileNames[i] else {
          throw failure(
            "the tensor \(tensor) is in \(fileNames[i]), but the index has it "
              + (names[tensor].map { "in \($0)" } ?? "nowhere"))
        }
        places[tensor] = i
      }
    }
    if let missing = map.keys.first(where: { places[$0] == nil }) {
      throw failure("the tensor \(missing) is not in \(names[missing] ?? "its file")")
    }
    self.places = places
  }

  /// The file that holds a tensor, or nil where none does.
  package func file(of name: String) -> SafeTensorsFile? { places[name].map { files[$0] } }
}
