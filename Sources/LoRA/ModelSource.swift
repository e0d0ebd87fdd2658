// Where a model comes from: a GGUF file or a folder as Hugging Face lays it out.

import Foundation
package import LoRAFormats
import LoRAJSON
package import LoRAModels
package import LoRATensor
package import LoRATraining

/// An opened model whose weights are not loaded yet.
package enum ModelSource {
  case gguf(GGUFFile)
  case folder(ModelFolder)

  /// Opens the file or folder at a path. Throws `ModelFileError`.
  package init(path: String) throws {
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
      self = .folder(try ModelFolder(contentsOf: path))
    } else {
      self = .gguf(try GGUFFile(contentsOf: path))
    }
  }

  package var path: String {
    switch self {
    case .gguf(let file): file.path
    case .folder(let folder): folder.path
    }
  }

  /// The files that hold the weights.
  package func weightFiles() throws -> [String] {
    switch self {
    case .gguf(let file): [file.path]
    case .folder(let folder): try SafeTensorsShards(folder).files.map(\.path)
    }
  }

  /// The tokenizer and chat template.
  package func encoder() throws -> TextEncoder {
    switch self {
    case .gguf(let file): try TextEncoder(gguf: file)
    case .folder(let folder): try TextEncoder(folder: folder)
    }
  }

  /// - Throws: `ModelFileError` where the tokenizer has tokens for which the embedding has no row.
  package func check(_ encoder: TextEncoder, fits sizes: ModelConfiguration) throws {
    let (tokens, rows) = (encoder.tokenizer.vocabularySize, sizes.vocabularySize)
    guard tokens <= rows else {
      throw ModelFileError(
        file: path, message: "the tokenizer has \(tokens) tokens, the embedding \(rows) rows",
        hint: "the tokenizer and the weights do not belong together: use another model")
    }
  }

  /// The sizes.
  package func configuration() throws -> ModelConfiguration {
    switch self {
    case .gguf(let file): try ModelConfiguration(gguf: file)
    case .folder(let folder): try ModelConfiguration(folder: folder)
    }
  }

  /// What the files hold, for people to look at.
  package struct Contents {
    package var name: String?
    package var architecture: String?
    package var byteCount: Int
    /// The type and the number of elements of every tensor.
    package var tensors: [(type: String, count: Int)]
  }

  /// What the files hold; nothing but headers is read.
  package func contents() throws -> Contents {
    switch self {
    case .gguf(let file):
      Contents(
        name: try file.string("general.name"),
        architecture: try file.string("general.architecture"), byteCount: file.file.byteCount,
        tensors: file.tensors.map { ($0.type.name, $0.shape.count) })
    case .folder(let folder):
      try Contents(
        name: folder.configuration["_name_or_path"]?.stringValue,
        architecture: folder.configuration["model_type"]?.stringValue,
        weights: SafeTensorsShards(folder))
    }
  }

  /// Gives back the pages of the files that were read: they are read again when they are touched.
  package func releasePages() {
    switch self {
    case .gguf(let file): file.file.releasePages()
    case .folder(let folder):
      for file in (try? SafeTensorsShards(folder).files) ?? [] { file.file.releasePages() }
    }
  }

  /// The network with its weights.
  ///
  /// - Parameter asStored: weights stay mapped, for work that touches each of them now and then.
  package func network(computeType: DType, asStored: Bool = false) throws -> Llama {
    switch self {
    case .gguf(let file):
      try Llama(gguf: file, computeType: computeType, asStored: asStored)
    case .folder(let folder):
      try Llama(folder: folder, computeType: computeType, asStored: asStored)
    }
  }
}

extension ModelSource.Contents {
  fileprivate init(name: String?, architecture: String?, weights: SafeTensorsShards) {
    self.init(
      name: name, architecture: architecture,
      byteCount: weights.files.reduce(0) { $0 + $1.file.byteCount },
      tensors: weights.files.flatMap { file in
        file.tensors.map { ($0.type.rawValue, $0.shape.count) }
      })
  }
}
