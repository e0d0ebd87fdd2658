// Writes GGUF files: metadata, tensor list, padded tensors.

import LoRATensor

/// Collects metadata and tensors, then writes them as a GGUF file of version 3.
package struct GGUFWriter {
  private var metadata: [(key: String, value: GGUFValue)] = []
  private var tensors: [(name: String, content: StoredTensor)] = []
  private let alignment = 32

  package init() {}

  /// Sets a metadata value; the file keeps the order of the first settings.
  package mutating func set(_ key: String, _ value: GGUFValue) {
    precondition(!key.isEmpty, "GGUFWriter: empty key")
    precondition(
      key != "general.alignment" || value == .uint32(UInt32(alignment)),
      "GGUFWriter: tensors are aligned to \(alignment)")
    if let index = metadata.firstIndex(where: { $0.key == key }) {
      metadata[index].value = value
    } else {
      metadata.append((key, value))
    }
  }

  /// Adds a tensor; names are unique, of 1 to 64 bytes, and shapes have at most 4 axes.
  package mutating func add(_ name: String, _ content: StoredTensor) {
    precondition(
      (1...64).contains(name.utf8.count) && !tensors.contains { $0.name == name },
      "GGUFWriter: tensor name \(name) is taken, empty or too long")
    precondition(
      content.shape.rank <= 4 && content.shape.count > 0
        && content.shape.lastDimension % content.dtype.elementsPerBlock == 0,
      "GGUFWriter: GGUF cannot hold tensor \(name) of shape \(content.shape)")
    tensors.append((name, content))
  }

  /// Writes the file whole or not at all. Throws `OutputFileError`.
  package func write(to path: String) throws {
    try AtomicFile.write(to: path) { sink in
      try sink.write(header())
      for (_, content) in tensors {
        try content.withBytes { try sink.write($0) }
        try sink.write([UInt8](repeating: 0, count: padding(after: content.byteCount)))
      }
    }
  }

  private func padding(after count: Int) -> Int { (alignment - count % alignment) % alignment }

  private func header() -> [UInt8] {
    var bytes = Array("GGUF".utf8)
    bytes.append(littleEndian: UInt32(3))
    bytes.append(littleEndian: UInt64(tensors.count))
    bytes.append(littleEndian: UInt64(metadata.count))
    for (key, value) in metadata {
      bytes.append(string: key)
      bytes.append(littleEndian: value.type.rawValue)
      bytes.append(value)
    }
    var offset = 0
    for (name, content) in tensors {
      bytes.append(string: name)
      bytes.append(littleEndian: UInt32(content.shape.rank))
      for extent in content.shape.dimensions.reversed() {
        bytes.append(littleEndian: UInt64(extent))
      }
      bytes.append(littleEndian: GGMLType(content.dtype).rawValue)
      bytes.append(littleEndian: UInt64(offset))
      offset += content.byteCount + padding(after: content.byteCount)
    }
    bytes.append(contentsOf: [UInt8](repeating: 0, count: padding(after: bytes.count)))
    return bytes
  }
}

extension [UInt8] {
  fileprivate mutating func append(string: String) {
    append(littleEndian: UInt64(string.utf8.count))
    append(contentsOf: string.utf8)
  }

  fileprivate mutating func append(_ value: GGUFValue) {
    switch value {
    case .uint8(let value): append(value)
    case .int8(let value): append(UInt8(bitPattern: value))
    case .uint16(let value): append(littleEndian: value)
    case .int16(let value): append(littleEndian: value)
    case .uint32(let value): append(littleEndian: value)
    case .int32(let value): append(littleEndian: value)
    case .float32(let value): append(littleEndian: value.bitPattern)
    case .bool(let value): append(value ? 1 : 0)
    case .string(let value): append(string: value)
    case .uint64(let value): append(littleEndian: value)
    case .int64(let value): append(littleEndian: value)
    case .float64(let value): append(littleEndian: value.bitPattern)
    case .array(let type, let elements):
      append(littleEndian: type.rawValue)
      append(littleEndian: UInt64(elements.count))
      for element in elements {
        precondition(
          element.type == type && type != .array,
          "GGUFWriter: an element of type \(element.type) in an array of \(type)")
        append(element)
      }
    }
  }
}
