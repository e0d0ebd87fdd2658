// The one pass over the head of a GGUF file: header, metadata, tensor list.

import LoRATensor

/// Parses and checks everything in front of the tensors' bytes.
struct GGUFParser {
  var cursor: GGUFCursor
  var version = 0
  var keys: [String] = []
  var entries: [String: GGUFFile.Entry] = [:]
  var tensors: [GGUFTensorInfo] = []
  var tensorIndex: [String: Int] = [:]

  // The limits of the specification.
  private static let longestKey = 65535
  private static let longestTensorName = 64
  private static let highestRank = 4

  init(cursor: GGUFCursor) { self.cursor = cursor }

  mutating func parse() throws {
    try parseMagicAndVersion()
    // Name length, at least one byte of name, rank, type, offset.
    let tensorCount = try cursor.count("the number of tensors", minimumBytes: 25)
    // Key length, at least one byte of key, type, at least one byte of value.
    let keyCount = try cursor.count("the number of metadata entries", minimumBytes: 14)
    for index in 0..<keyCount { try parseEntry(index) }
    let alignment = try parseAlignment()
    var headers: [TensorHeader] = []
    for index in 0..<tensorCount { headers.append(try parseTensorHeader(index)) }
    try place(headers, alignment: alignment)
  }

  private mutating func parseMagicAndVersion() throws {
    let magic: UInt32 = try cursor.integer("the magic number")
    guard magic == 0x4655_4747 else {
      let found = cursor.bytes.prefix(4).map { byte in
        let hex = String(byte, radix: 16, uppercase: true)
        return hex.count < 2 ? "0" + hex : hex
      }
      throw cursor.failure(
        "this is not a GGUF file: it starts with \(found.joined(separator: " ")), not with GGUF",
        hint: "name a .gguf file, or a folder with config.json and *.safetensors")
    }
    let number: UInt32 = try cursor.integer("the version")
    switch number {
    case 2, 3: version = Int(number)
    case 1:
      throw cursor.failure(
        "GGUF version 1 is not read; supported: 2, 3",
        hint: "convert the model again with a current converter")
    case _ where number & 0xFFFF == 0 && number != 0:
      throw cursor.failure(
        "this GGUF file is big-endian (version \(number.byteSwapped)), which is not read",
        hint: "convert the model again for a little-endian machine")
    default:
      throw cursor.failure(
        "GGUF version \(number) is not read; supported: 2, 3",
        hint: "update this program, or convert the model to version 3")
    }
  }

  // MARK: Metadata

  private mutating func parseEntry(_ index: Int) throws {
    let key = try parseName("the key of metadata entry \(index)", limit: Self.longestKey)
    guard entries[key] == nil else {
      throw cursor.failure("metadata key \(key) occurs twice")
    }
    let type = try parseValueType("the type of \(key)")
    var entry = GGUFFile.Entry(type: type, elements: nil, byteOffset: cursor.position)
    if type == .array {
      let elementType = try parseValueType("the element type of \(key)")
      if elementType == .array {
        throw cursor.failure("\(key) is an array of arrays, which GGUF does not allow here")
      }
      let count = try cursor.count(
        "the length of array \(key)", minimumBytes: elementType.byteCount ?? 8)
      entry = GGUFFile.Entry(
        type: type, elements: (elementType, count), byteOffset: cursor.position)
      if let size = elementType.byteCount {
        cursor.position += size * count
      } else {
        for element in 0..<count { _ = try cursor.stringBytes("\(key)[\(element)]") }
      }
    } else if let size = type.byteCount {
      try cursor.require(size, "the value of \(key)")
      cursor.position += size
    } else {
      _ = try cursor.stringBytes("the value of \(key)")
    }
    keys.append(key)
    entries[key] = entry
  }

  private mutating func parseName(_ what: String, limit: Int) throws -> String {
    let name = try cursor.string(what)
    guard !name.isEmpty else { throw cursor.failure("\(what) is empty") }
    guard name.utf8.count <= limit else {
      throw cursor.failure("\(what) has \(name.utf8.count) bytes; GGUF allows \(limit)")
    }
    return name
  }

  private mutating func parseValueType(_ what: @autoclosure () -> String) throws -> GGUFValueType {
    let number: UInt32 = try cursor.integer(what())
    guard let type = GGUFValueType(rawValue: number) else {
      throw cursor.failure("\(what()) is \(number), which GGUF does not have")
    }
    return type
  }

  private func parseAlignment() throws -> Int {
    guard entries["general.alignment"] != nil else { return 32 }
    let reader = GGUFMetadataReader(cursor: cursor, entries: entries)
    let value = try reader.integer("general.alignment") ?? 32
    guard value >= 8, value <= 1 << 30, value & (value - 1) == 0 else {
      throw cursor.failure("general.alignment is \(value), not a power of two from 8 to 2^30")
    }
    return value
  }

  // MARK: Tensors

  private struct TensorHeader {
    let name: String
    let shape: Shape
    let type: GGMLType
    let byteCount: Int?
    let offset: UInt64
  }

  private mutating func parseTensorHeader(_ index: Int) throws -> TensorHeader {
    let name = try parseName("the name of tensor \(index)", limit: Self.longestTensorName)
    guard tensorIndex[name] == nil else {
      throw cursor.failure("tensor \(name) occurs twice")
    }
    tensorIndex[name] = index
    let rank: UInt32 = try cursor.integer("the rank of tensor \(name)")
    guard rank <= Self.highestRank else {
      throw cursor.failure("tensor \(name) has \(rank) axes; GGUF allows \(Self.highestRank)")
    }
    var extents: [Int] = []
    var elements = 1
    for axis in 0..<rank {
      let extent: UInt64 = try cursor.integer("the shape of tensor \(name)")
      guard extent > 0 else { throw cursor.failure("axis \(axis) of tensor \(name) is empty") }
      let (product, overflow) = elements.multipliedReportingOverflow(
        by: Int(exactly: extent) ?? .max)
      guard extent <= UInt64(Int.max), !overflow else {
        throw cursor.failure(
          "tensor \(name) has more than 2^63 elements: axis \(axis) is \(extent)")
      }
      elements = product
      extents.append(Int(extent))
    }
    let type = GGMLType(rawValue: try cursor.integer("the type of tensor \(name)"))
    var byteCount: Int?
    if let block = type.block {
      guard (extents.first ?? 1) % block.elements == 0 else {
        throw cursor.failure(
          "rows of tensor \(name) have \(extents.first ?? 1) elements, not whole blocks of "
            + "\(block.elements) (\(type.name))")
      }
      let (size, overflow) = (elements / block.elements)
        .multipliedReportingOverflow(by: block.bytes)
      guard !overflow else {
        throw cursor.failure("tensor \(name) has more than 2^63 bytes")
      }
      byteCount = size
    }
    let offset: UInt64 = try cursor.integer("the offset of tensor \(name)")
    return TensorHeader(
      name: name, shape: Shape(extents.reversed()), type: type, byteCount: byteCount,
      offset: offset)
  }

  /// Proves that the tensors follow each other without gap or overlap inside of the file.
  private mutating func place(_ headers: [TensorHeader], alignment: Int) throws {
    func padded(_ value: Int) -> Int? {
      let (sum, overflow) = value.addingReportingOverflow(alignment - 1)
      return overflow ? nil : sum & ~(alignment - 1)
    }
    // No overflow: the position is inside of the file, and the alignment at most 2^30.
    let start = (cursor.position + alignment - 1) & ~(alignment - 1)
    let available = max(0, cursor.bytes.count - start)
    // Where the next tensor must be; nil behind one of unknown size.
    var expected: Int? = 0
    var last = 0
    for header in headers {
      let offset = Int(exactly: header.offset) ?? .max
      if let expected, offset != expected {
        throw cursor.failure(
          "tensor \(header.name) is at offset \(header.offset) of the data, not at \(expected), "
            + "where the one before it ends")
      }
      guard offset % alignment == 0, offset >= last else {
        throw cursor.failure(
          "tensor \(header.name) is at offset \(header.offset) of the data, which is no multiple "
            + "of \(alignment) behind the tensor before it")
      }
      guard offset <= available, (header.byteCount ?? 0) <= available - offset else {
        let size = header.byteCount.map { "\($0) bytes" } ?? "data"
        throw cursor.failure(
          "the file is cut off: tensor \(header.name) has \(size) at offset \(header.offset), "
            + "but the file has \(available) bytes of tensor data")
      }
      tensors.append(
        GGUFTensorInfo(
          name: header.name, shape: header.shape, type: header.type, byteOffset: start + offset,
          byteCount: header.byteCount))
      last = offset
      expected = header.byteCount.flatMap { padded(offset + $0) }
    }
  }
}
