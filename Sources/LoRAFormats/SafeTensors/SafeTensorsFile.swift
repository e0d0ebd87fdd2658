// A safetensors file, opened by mapping: where each tensor lies.

import LoRATensor

/// A safetensors file, checked as a whole when it is opened.
///
/// Opening reads the header and proves that the tensors cover the rest of the file without gap or
/// overlap; their bytes are not touched. Source: the format of the safetensors library,
/// https://github.com/huggingface/safetensors#format.
package final class SafeTensorsFile: Sendable {
  package let file: MappedFile

  /// The strings of `__metadata__`; empty where there is none.
  package let metadata: [String: String]

  /// The tensors in the order of their bytes.
  package let tensors: [SafeTensorsInfo]

  private let tensorIndex: [String: Int]

  package var path: String { file.path }

  package var tensorNames: [String] { tensors.map(\.name) }

  /// Opens and checks the file. Throws `ModelFileError`.
  package init(contentsOf path: String) throws {
    let file = try MappedFile(path: path)
    let header = try SafeTensorsHeader(file)
    self.file = file
    self.metadata = header.metadata
    self.tensors = header.tensors
    self.tensorIndex = Dictionary(
      uniqueKeysWithValues: header.tensors.enumerated().map { ($1.name, $0) })
  }

  package func tensorInfo(_ name: String) -> SafeTensorsInfo? {
    tensorIndex[name].map { tensors[$0] }
  }

  /// The bytes of a tensor as they are in the file, of whatever type; valid as long as
  /// this object lives.
  package func rawBytes(of name: String) throws -> UnsafeRawBufferPointer {
    guard let info = tensorInfo(name),
      let bytes = file.bytes(at: info.byteOffset, count: info.byteCount)
    else {
      throw ModelFileError(
        file: path, message: "there is no tensor \(name)",
        hint: "the file has \(tensors.count) tensors; is it a model of this kind?")
    }
    return bytes
  }

  /// The bytes of a tensor, without a copy. Throws where there is no such tensor, or it is stored
  /// in a format that this version does not read.
  package func bytes(of name: String) throws -> StoredTensor {
    let bytes = try rawBytes(of: name)
    guard let info = tensorInfo(name), let dtype = info.type.dtype else {
      let supported = SafeTensorsType.allCases.filter { $0.dtype != nil }.map(\.rawValue)
      throw ModelFileError(
        file: path,
        message: """
          tensor \(name) is stored as \(tensorInfo(name)?.type.rawValue ?? "nothing"), which this \
          version does not read; supported: \(supported.joined(separator: ", "))
          """,
        hint: "convert the tensor to one of these types")
    }
    return StoredTensor(file, bytes: bytes, shape: info.shape, dtype: dtype)
  }
}
