// Strings of the JSON parser: a bulk copy when nothing is escaped, byte by byte otherwise.

extension JSONParser {
  /// Parses a string; the position is at its opening quote.
  mutating func parseString() throws(JSONError) -> String {
    position += 1
    let start = position
    skipPlainBytes()
    if current == UInt8(ascii: "\"") {
      let end = position
      position += 1
      return try text(UnsafeBufferPointer(rebasing: bytes[start..<end]), from: start)
    }
    return try parseEscapedString(from: start)
  }

  /// Moves to the next quote, backslash or control character, eight bytes at a time.
  private mutating func skipPlainBytes() {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    if let base = bytes.baseAddress {
      while position + 8 <= bytes.count {
        let word = UnsafeRawPointer(base + position).loadUnaligned(as: UInt64.self)
        // A high bit is set where a byte is zero; false hits only lie above a true one.
        let quote = word ^ (ones &* 0x22)
        let slash = word ^ (ones &* 0x5C)
        let control = (word &- ones &* 0x20) & ~word
        let hits = (((quote &- ones) & ~quote) | ((slash &- ones) & ~slash) | control) & highs
        if hits != 0 {
          position += UInt64(littleEndian: hits).trailingZeroBitCount / 8
          return
        }
        position += 8
      }
    }
    while position < bytes.count {
      let byte = bytes[position]
      if byte == 0x22 || byte == 0x5C || byte < 0x20 { return }
      position += 1
    }
  }

  private mutating func parseEscapedString(from start: Int) throws(JSONError) -> String {
    var decoded = Array(bytes[start..<position])
    while true {
      switch current {
      case UInt8(ascii: "\""):
        position += 1
        // The escapes wrote valid UTF-8, so a fault lies in bytes copied from the text.
        if let result = String(validating: decoded, as: UTF8.self) { return result }
        _ = try text(UnsafeBufferPointer(rebasing: bytes[start..<position - 1]), from: start)
        throw error("invalid UTF-8 in a string", hint: utf8Hint, at: start)
      case UInt8(ascii: "\\"):
        try parseEscape(into: &decoded)
      default:
        guard position < bytes.count else {
          throw error(
            "the string has no closing quote", hint: "Add it, or escape line breaks as \\n.",
            at: start - 1)
        }
        throw error(
          "unescaped control character \(found(at: position)) in a string",
          hint: "Escape it: a line break is \\n, a tab \\t.")
      }
      let plain = position
      skipPlainBytes()
      decoded.append(contentsOf: bytes[plain..<position])
    }
  }

  private mutating func parseEscape(into decoded: inout [UInt8]) throws(JSONError) {
    let start = position
    position += 1
    let letter = current
    position += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): decoded.append(letter)
    case UInt8(ascii: "b"): decoded.append(0x08)
    case UInt8(ascii: "f"): decoded.append(0x0C)
    case UInt8(ascii: "n"): decoded.append(0x0A)
    case UInt8(ascii: "r"): decoded.append(0x0D)
    case UInt8(ascii: "t"): decoded.append(0x09)
    case UInt8(ascii: "u"):
      var code = try parseHex(escapeAt: start)
      if (0xD800..<0xDC00).contains(code), current == UInt8(ascii: "\\"),
        position + 1 < bytes.count, bytes[position + 1] == UInt8(ascii: "u")
      {
        position += 2
        let low = try parseHex(escapeAt: start)
        if (0xDC00..<0xE000).contains(low) {
          code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
      }
      guard let scalar = Unicode.Scalar(code) else {
        throw error(
          "a surrogate without its other half in a \\u escape",
          hint: "Escape a scalar above U+FFFF as two \\u: high, then low surrogate.", at: start)
      }
      decoded.append(contentsOf: String(Character(scalar)).utf8)
    default:
      throw error(
        "unknown escape in a string",
        hint: "Known are \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX; a backslash itself is \\\\.",
        at: start)
    }
  }

  private mutating func parseHex(escapeAt start: Int) throws(JSONError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      let digit: UInt8
      switch current {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = current - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = current - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = current - UInt8(ascii: "A") + 10
      default:
        throw error("\\u needs four hexadecimal digits", hint: "For instance \\u00e9.", at: start)
      }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }

  private var utf8Hint: String { "Save the file as UTF-8." }

  private func text(
    _ raw: UnsafeBufferPointer<UInt8>, from start: Int
  ) throws(JSONError) -> String {
    if let string = String(validating: raw, as: UTF8.self) { return string }
    // Rare: find the first bad byte by decoding scalar by scalar.
    var decoder = UTF8()
    var iterator = raw.makeIterator()
    var good = 0
    while case .scalarValue(let scalar) = decoder.decode(&iterator) {
      good += UTF8.width(scalar)
    }
    throw error("invalid UTF-8 in a string", hint: utf8Hint, at: start + good)
  }
}
