// Writes safetensors files as the reference library does, byte for byte.

package import LoRATensor

/// Collects tensors, then writes them as a safetensors file.
///
/// The order of the tensors (wide element types first, then by name), the spelling of the header and
/// its padding to a multiple of 8 are those of the safetensors library.
package struct SafeTensorsWriter {
  private let metadata: [(key: String, value: String)]
  private var tensors: [Entry] = []

  private struct Entry {
    let name: String
    let shape: Shape
    let dtype: DType
    let write: (FileSink) throws -> Void

    var byteCount: Int { dtype.byteCount(of: shape.count) }
  }

  /// A file with the given `__metadata__`; readers written for PyTorch expect `format` to be `pt`.
  package init(metadata: [(key: String, value: String)] = [("format", "pt")]) {
    self.metadata = metadata
  }

  /// Adds a tensor of a dense type under a name of its own.
  package mutating func add(_ name: String, _ content: StoredTensor) {
    add(name, shape: content.shape, dtype: content.dtype) { sink in
      try content.withBytes { try sink.write($0) }
    }
  }

  /// Adds a tensor whose bytes are made when the file is written: `write` sends them to the sink.
  package mutating func add(
    _ name: String, shape: Shape, dtype: DType, write: @escaping (FileSink) throws -> Void
  ) {
    precondition(
      name != "__metadata__" && !tensors.contains { $0.name == name },
      "SafeTensorsWriter: tensor name \(name) is taken")
    precondition(
      Self.rank(dtype) != nil,
      "SafeTensorsWriter: safetensors cannot hold \(dtype.rawValue) (tensor \(name))")
    tensors.append(Entry(name: name, shape: shape, dtype: dtype, write: write))
  }

  /// Writes the file whole or not at all. Throws `OutputFileError`.
  package func write(to path: String) throws {
    let ordered = tensors.sorted { a, b in
      let (rankA, rankB) = (Self.rank(a.dtype) ?? 0, Self.rank(b.dtype) ?? 0)
      if rankA != rankB { return rankA > rankB }
      return a.name.utf8.lexicographicallyPrecedes(b.name.utf8)
    }
    try AtomicFile.write(to: path) { sink in
      try sink.write(header(of: ordered))
      for entry in ordered {
        let start = sink.byteCount
        try entry.write(sink)
        precondition(
          sink.byteCount - start == entry.byteCount,
          "SafeTensorsWriter: \(sink.byteCount - start) bytes for the tensor \(entry.name) of "
            + "\(entry.byteCount)")
      }
    }
  }

  /// The place of a type in the library's order; nil where safetensors has no such type.
  private static func rank(_ dtype: DType) -> Int? {
    SafeTensorsType.allCases.firstIndex { $0.dtype == dtype }
  }

  private func header(of ordered: [Entry]) -> [UInt8] {
    var fields: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.map { "\(quoted($0.key)):\(quoted($0.value))" }
      fields.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    var offset = 0
    for entry in ordered {
      let extents = entry.shape.dimensions.map(String.init).joined(separator: ",")
      let end = offset + entry.byteCount
      fields.append(
        "\(quoted(entry.name)):{\"dtype\":\"\(entry.dtype.rawValue)\",\"shape\":[\(extents)],"
          + "\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    var text = Array("{\(fields.joined(separator: ","))}".utf8)
    text.append(contentsOf: [UInt8](repeating: 0x20, count: (8 - text.count % 8) % 8))
    var bytes: [UInt8] = []
    bytes.append(littleEndian: UInt64(text.count))
    return bytes + text
  }

  /// A JSON string that escapes no more than JSON demands.
  private func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\u{8}": result += "\\b"
      case "\u{C}": result += "\\f"
      case _ where scalar.value < 0x20:
        let hex = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
