// Reads little-endian fields one after the other and never beyond the end of the file.

/// A reading position in the bytes of a GGUF file.
struct GGUFCursor {
  let bytes: UnsafeRawBufferPointer
  let path: String
  var position = 0

  var remaining: Int { bytes.count - position }

  func failure(_ message: String, hint: String = damagedHint) -> ModelFileError {
    ModelFileError(file: path, message: message, hint: hint)
  }

  /// What to do about a file whose content contradicts itself.
  static let damagedHint = "the file is damaged or not complete: fetch or convert it again"

  /// Fails where fewer than `count` bytes are left for `what`.
  func require(_ count: Int, _ what: @autoclosure () -> String) throws {
    guard count <= remaining else {
      throw failure("the file ends at byte \(bytes.count), inside of \(what())")
    }
  }

  mutating func integer<T: FixedWidthInteger>(
    _ what: @autoclosure () -> String
  ) throws -> T {
    try require(MemoryLayout<T>.size, what())
    let value = bytes.loadUnaligned(fromByteOffset: position, as: T.self)
    position += MemoryLayout<T>.size
    return T(littleEndian: value)
  }

  /// A count of things of which each takes at least `minimumBytes` of what is left of the file.
  mutating func count(_ what: @autoclosure () -> String, minimumBytes: Int) throws -> Int {
    let value: UInt64 = try integer(what())
    guard value <= UInt64(remaining / minimumBytes) else {
      throw failure("\(what()) is \(value), more than the \(remaining) bytes behind it can hold")
    }
    return Int(value)
  }

  /// The bytes of a string, which follow their number.
  mutating func stringBytes(_ what: @autoclosure () -> String) throws -> UnsafeRawBufferPointer {
    let length = try count("the length of \(what())", minimumBytes: 1)
    defer { position += length }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<(position + length)])
  }

  mutating func string(_ what: @autoclosure () -> String) throws -> String {
    let content = try stringBytes(what())
    guard let text = String(validUTF8: content) else {
      throw failure("\(what()) is not UTF-8")
    }
    return text
  }
}

extension String {
  /// The text of well-formed UTF-8; nil for other bytes.
  init?(validUTF8 bytes: UnsafeRawBufferPointer) {
    let text = String(decoding: bytes, as: UTF8.self)
    // Decoding replaces what is malformed, so only well-formed bytes come back unchanged.
    guard text.utf8.elementsEqual(bytes) else { return nil }
    self = text
  }
}
