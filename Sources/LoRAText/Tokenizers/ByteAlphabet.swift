// The byte-level alphabet of GPT-2: every byte has a visible character of its own in vocabularies.

/// The mapping between bytes and the characters that spell them in a byte-level vocabulary.
///
/// Bytes that are printable in Latin-1 spell themselves; the others, in rising order, are the
/// characters from U+0100 on, so that a space is `Ġ` and a line feed is `Ċ`.
enum ByteAlphabet {
  /// The character of every byte.
  static let scalars: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (UInt8.min...UInt8.max).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF:
        return Unicode.Scalar(byte)
      default:
        defer { next += 1 }
        return Unicode.Scalar(next) ?? Unicode.Scalar(byte)
      }
    }
  }()

  /// The byte of every character up to the last one of the alphabet; -1 where there is none.
  private static let bytes: [Int16] = {
    var bytes = [Int16](repeating: -1, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar.value)] = Int16(byte) }
    return bytes
  }()

  /// Appends the bytes that a spelling stands for; false if it has a character of no byte.
  static func appendBytes(of spelling: String, to output: inout [UInt8]) -> Bool {
    for scalar in spelling.unicodeScalars {
      guard scalar.value < bytes.count, case let byte = bytes[Int(scalar.value)], byte >= 0 else {
        return false
      }
      output.append(UInt8(byte))
    }
    return true
  }
}
