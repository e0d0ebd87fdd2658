// A GGUF file, opened by mapping: metadata, and where each tensor lies.

import LoRATensor

/// A GGUF file (versions 2 and 3, little-endian), checked as a whole when it is opened.
///
/// Opening reads the metadata and the list of tensors, and proves that every length, count and
/// offset lies inside of the file; the bytes of the tensors are not touched. Source: the GGUF
/// specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
package final class GGUFFile: Sendable {
  /// Where a metadata value lies.
  struct Entry: Sendable {
    let type: GGUFValueType

    /// The type of the elements and their number, where this is an array.
    var elements: (type: GGUFValueType, count: Int)?

    /// The first byte of the value; of an array, of its first element.
    let byteOffset: Int
  }

  package let file: MappedFile
  package let version: Int

  /// The keys of the metadata in the order of the file.
  package let keys: [String]

  /// The tensors in the order of the file.
  package let tensors: [GGUFTensorInfo]

  let entries: [String: Entry]
  private let tensorIndex: [String: Int]

  package var path: String { file.path }

  package var tensorNames: [String] { tensors.map(\.name) }

  /// Opens and checks the file. Throws `ModelFileError`.
  package init(contentsOf path: String) throws {
    let file = try MappedFile(path: path)
    var parser = GGUFParser(cursor: GGUFCursor(bytes: file.bytes, path: path))
    try parser.parse()
    self.file = file
    self.version = parser.version
    self.keys = parser.keys
    self.entries = parser.entries
    self.tensors = parser.tensors
    self.tensorIndex = parser.tensorIndex
  }

  package func tensorInfo(_ name: String) -> GGUFTensorInfo? {
    tensorIndex[name].map { tensors[$0] }
  }

  /// The bytes of a tensor, without a copy. Throws where there is no such tensor, or it is stored
  /// in a format that this version does not read.
  package func bytes(of name: String) throws -> StoredTensor {
    guard let info = tensorInfo(name) else {
      throw ModelFileError(
        file: path, message: "there is no tensor \(name)",
        hint: "the file has \(tensors.count) tensors; is it a model of this kind?")
    }
    guard let dtype = info.type.dtype, let byteCount = info.byteCount,
      let bytes = file.bytes(at: info.byteOffset, count: byteCount)
    else {
      let supported = DType.allCases.map(\.rawValue).joined(separator: ", ")
      throw ModelFileError(
        file: path,
        message: """
          tensor \(name) is stored as \(info.type.name), which this version does not read; \
          supported: \(supported)
          """,
        hint: "take or make a file in another quantisation, for instance Q8_0 or Q4_0")
    }
    return StoredTensor(file, bytes: bytes, shape: info.shape, dtype: dtype)
  }
}
