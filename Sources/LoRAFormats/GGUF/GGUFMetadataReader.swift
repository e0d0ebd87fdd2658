// Decodes metadata values where they lie in the file, when they are asked for.

/// Access to checked entries. Every range it touches was proven to be inside of the file.
struct GGUFMetadataReader {
  let cursor: GGUFCursor
  let entries: [String: GGUFFile.Entry]

  func wrongType(_ key: String, _ entry: GGUFFile.Entry, wanted: String) -> ModelFileError {
    let found = entry.elements.map { "an array of \($0.type)" } ?? "\(entry.type)"
    return cursor.failure(
      "metadata key \(key) is \(found), not \(wanted)",
      hint: "convert the model again with a current converter")
  }

  private func load<T>(_ offset: Int, as type: T.Type) -> T {
    cursor.bytes.loadUnaligned(fromByteOffset: offset, as: type)
  }

  /// An integer or Boolean of any width at `offset`; nil for another type.
  private func integer(_ type: GGUFValueType, at offset: Int, _ key: String) throws -> Int? {
    switch type {
    case .uint8, .bool: return Int(load(offset, as: UInt8.self))
    case .int8: return Int(load(offset, as: Int8.self))
    case .uint16: return Int(UInt16(littleEndian: load(offset, as: UInt16.self)))
    case .int16: return Int(Int16(littleEndian: load(offset, as: Int16.self)))
    case .uint32: return Int(UInt32(littleEndian: load(offset, as: UInt32.self)))
    case .int32: return Int(Int32(littleEndian: load(offset, as: Int32.self)))
    case .int64: return Int(Int64(littleEndian: load(offset, as: Int64.self)))
    case .uint64:
      let value = UInt64(littleEndian: load(offset, as: UInt64.self))
      guard let result = Int(exactly: value) else {
        throw cursor.failure("metadata key \(key) is \(value), beyond 2^63")
      }
      return result
    case .float32, .float64, .string, .array: return nil
    }
  }

  private func float(_ type: GGUFValueType, at offset: Int) -> Double? {
    switch type {
    case .float32:
      Double(Float(bitPattern: UInt32(littleEndian: load(offset, as: UInt32.self))))
    case .float64: Double(bitPattern: UInt64(littleEndian: load(offset, as: UInt64.self)))
    default: nil
    }
  }

  func integer(_ key: String) throws -> Int? {
    guard let entry = entries[key] else { return nil }
    guard entry.type != .bool, let value = try integer(entry.type, at: entry.byteOffset, key)
    else { throw wrongType(key, entry, wanted: "an integer") }
    return value
  }

  func float(_ key: String) throws -> Double? {
    guard let entry = entries[key] else { return nil }
    if let value = float(entry.type, at: entry.byteOffset) { return value }
    guard entry.type != .bool, let value = try integer(entry.type, at: entry.byteOffset, key)
    else { throw wrongType(key, entry, wanted: "a number") }
    return Double(value)
  }

  func bool(_ key: String) throws -> Bool? {
    guard let entry = entries[key] else { return nil }
    guard entry.type == .bool else { throw wrongType(key, entry, wanted: "a Boolean") }
    return try bool(at: entry.byteOffset, key)
  }

  private func bool(at offset: Int, _ key: String) throws -> Bool {
    let byte = load(offset, as: UInt8.self)
    guard byte <= 1 else {
      throw cursor.failure("metadata key \(key) is a Boolean with the value \(byte)")
    }
    return byte == 1
  }

  func string(_ key: String) throws -> String? {
    guard let entry = entries[key] else { return nil }
    guard entry.type == .string else { throw wrongType(key, entry, wanted: "a string") }
    var reader = cursor
    reader.position = entry.byteOffset
    return try reader.string("the value of \(key)")
  }

  func strings(_ key: String) throws -> [String]? {
    guard let entry = entries[key] else { return nil }
    guard let (type, count) = entry.elements, type == .string else {
      throw wrongType(key, entry, wanted: "an array of strings")
    }
    var reader = cursor
    reader.position = entry.byteOffset
    // The count was checked against the size of the file.
    var result: [String] = []
    result.reserveCapacity(count)
    for index in 0..<count { result.append(try reader.string("\(key)[\(index)]")) }
    return result
  }

  func integers(_ key: String) throws -> [Int]? {
    guard let entry = entries[key] else { return nil }
    let (type, count) = entry.elements ?? (entry.type, 1)
    guard let size = type.byteCount else {
      throw wrongType(key, entry, wanted: "integers")
    }
    return try (0..<count).map { index in
      guard let value = try integer(type, at: entry.byteOffset + index * size, key) else {
        throw wrongType(key, entry, wanted: "integers")
      }
      return value
    }
  }

  func floats(_ key: String) throws -> [Float]? {
    guard let entry = entries[key] else { return nil }
    guard let (type, count) = entry.elements, let size = type.byteCount else {
      throw wrongType(key, entry, wanted: "an array of floats")
    }
    return try (0..<count).map { index in
      guard let value = float(type, at: entry.byteOffset + index * size) else {
        throw wrongType(key, entry, wanted: "an array of floats")
      }
      return Float(value)
    }
  }

  func value(_ key: String) throws -> GGUFValue? {
    guard let entry = entries[key] else { return nil }
    var reader = cursor
    reader.position = entry.byteOffset
    guard let (type, count) = entry.elements else {
      return try value(entry.type, &reader, key)
    }
    return .array(type, try (0..<count).map { _ in try value(type, &reader, key) })
  }

  private func value(
    _ type: GGUFValueType, _ reader: inout GGUFCursor, _ key: String
  ) throws -> GGUFValue {
    switch type {
    case .uint8: return .uint8(try reader.integer(key))
    case .int8: return .int8(try reader.integer(key))
    case .uint16: return .uint16(try reader.integer(key))
    case .int16: return .int16(try reader.integer(key))
    case .uint32: return .uint32(try reader.integer(key))
    case .int32: return .int32(try reader.integer(key))
    case .uint64: return .uint64(try reader.integer(key))
    case .int64: return .int64(try reader.integer(key))
    case .float32: return .float32(Float(bitPattern: try reader.integer(key)))
    case .float64: return .float64(Double(bitPattern: try reader.integer(key)))
    case .bool:
      defer { reader.position += 1 }
      return .bool(try bool(at: reader.position, key))
    case .string: return .string(try reader.string("the value of \(key)"))
    case .array: throw cursor.failure("\(key) is an array of arrays")  // refused at opening
    }
  }
}
