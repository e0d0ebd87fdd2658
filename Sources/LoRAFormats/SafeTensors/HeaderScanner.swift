// Reads the JSON of a safetensors header strictly: UTF-8, no duplicate keys, exact integers.

/// What can stand in a header. Numbers that are not integers of 64 bits are kept as `other`.
enum HeaderValue {
  case object([(key: String, value: HeaderValue)])
  case array([HeaderValue])
  case string(String)
  case integer(Int)
  case other(String)
}

/// A recursive-descent reader of JSON text.
struct HeaderScanner {
  /// What is wrong, with the byte of the header.
  struct Failure: Error {
    let message: String
  }

  private let bytes: UnsafeRawBufferPointer
  private var position = 0

  // A header has objects in an object, with arrays inside.
  private static let deepestNesting = 8

  private init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// The value that the whole text is; only blanks may follow.
  static func parse(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> HeaderValue {
    var scanner = HeaderScanner(bytes: bytes)
    let value = try scanner.value(depth: 0)
    if scanner.next() != nil { throw scanner.failure("something follows the JSON object") }
    return value
  }

  private func failure(_ what: String) -> Failure {
    Failure(message: "\(what) at byte \(position) of the header")
  }

  /// The next byte that is not a blank, without consuming it.
  private mutating func next() -> UInt8? {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      case let byte: return byte
      }
    }
    return nil
  }

  private mutating func consume(_ character: Unicode.Scalar) -> Bool {
    guard let byte = next(), UInt32(byte) == character.value else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ character: Unicode.Scalar) throws(Failure) {
    if !consume(character) { throw failure("'\(character)' is missing") }
  }

  private mutating func value(depth: Int) throws(Failure) -> HeaderValue {
    guard depth < Self.deepestNesting else { throw failure("the JSON is nested too deeply") }
    guard let first = next() else { throw failure("the JSON ends") }
    switch first {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    default: return try word()
    }
  }

  private mutating func object(depth: Int) throws(Failure) -> HeaderValue {
    try expect("{")
    var members: [(key: String, value: HeaderValue)] = []
    var keys: Set<String> = []
    if consume("}") { return .object([]) }
    repeat {
      let key = try string()
      guard keys.insert(key).inserted else { throw failure("key \"\(key)\" occurs twice") }
      try expect(":")
      members.append((key, try value(depth: depth + 1)))
    } while consume(",")
    try expect("}")
    return .object(members)
  }

  private mutating func array(depth: Int) throws(Failure) -> HeaderValue {
    try expect("[")
    var elements: [HeaderValue] = []
    if consume("]") { return .array([]) }
    repeat { elements.append(try value(depth: depth + 1)) } while consume(",")
    try expect("]")
    return .array(elements)
  }

  /// A number, or one of the words true, false, null.
  private mutating func word() throws(Failure) -> HeaderValue {
    let start = position
    while position < bytes.count, Self.isWord(bytes[position]) { position += 1 }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
    let isInteger = digits == "0" || (digits.first != "0" && digits.allSatisfy(\.isWholeNumber))
    if isInteger, let integer = Int(text) { return .integer(integer) }
    guard ["true", "false", "null"].contains(text) || Double(text) != nil else {
      position = start
      throw failure("this is not JSON")
    }
    return .other(text)
  }

  private static func isWord(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "E"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
      true
    default: false
    }
  }

  private mutating func string() throws(Failure) -> String {
    try expect("\"")
    var content: [UInt8] = []
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = content.withUnsafeBytes({ String(validUTF8: $0) }) else {
          throw failure("a string that is not UTF-8 ends")
        }
        return text
      case UInt8(ascii: "\\"): content.append(contentsOf: try escape().utf8)
      case 0..<0x20: throw failure("a control character is")
      default: content.append(byte)
      }
    }
    throw failure("a string has no end")
  }

  /// The character of an escape sequence, whose backslash is consumed.
  private mutating func escape() throws(Failure) -> String {
    guard position < bytes.count else { throw failure("a string has no end") }
    defer { position += 1 }
    switch bytes[position] {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      var units = [try hexadecimal()]
      if UTF16.isLeadSurrogate(units[0]), position + 2 < bytes.count,
        bytes[position + 1] == UInt8(ascii: "\\"), bytes[position + 2] == UInt8(ascii: "u")
      {
        position += 2
        units.append(try hexadecimal())
      }
      let text = String(decoding: units, as: UTF16.self)
      guard text.utf16.elementsEqual(units) else { throw failure("half a surrogate pair is") }
      return text
    default: throw failure("an unknown escape sequence is")
    }
  }

  /// Four hexadecimal digits behind the current byte; leaves the position on the last of them.
  private mutating func hexadecimal() throws(Failure) -> UInt16 {
    guard position + 4 < bytes.count else { throw failure("a string has no end") }
    let digits = String(decoding: bytes[(position + 1)...(position + 4)], as: UTF8.self)
    guard digits.allSatisfy(\.isHexDigit), let value = UInt16(digits, radix: 16) else {
      throw failure("an unknown escape sequence is")
    }
    position += 4
    return value
  }
}
