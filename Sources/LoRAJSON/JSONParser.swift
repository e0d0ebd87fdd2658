// A recursive-descent parser over UTF-8 bytes: values, arrays and objects.

struct JSONParser {
  static let deepest = 512

  let bytes: UnsafeBufferPointer<UInt8>
  let duplicateKeys: DuplicateKeys
  var position = 0
  private var depth = 0

  init(_ bytes: UnsafeBufferPointer<UInt8>, duplicateKeys: DuplicateKeys) {
    self.bytes = bytes
    self.duplicateKeys = duplicateKeys
  }

  mutating func parseDocument() throws(JSONError) -> JSONValue {
    if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF {
      throw error(
        "the text starts with a byte order mark", hint: "Save it as UTF-8 without a BOM.", at: 0)
    }
    let value = try parseValue()
    skipSpace()
    guard position == bytes.count else {
      throw error(
        "unexpected \(found(at: position)) after the value",
        hint: "A JSON text is one value; in JSON Lines each line is one.")
    }
    return value
  }

  /// The byte at the position, 0 at the end (0 is nowhere allowed in JSON).
  @inline(__always) var current: UInt8 { position < bytes.count ? bytes[position] : 0 }

  @inline(__always) private mutating func skipSpace() {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      default: return
      }
    }
  }

  private mutating func parseValue() throws(JSONError) -> JSONValue {
    skipSpace()
    switch current {
    case UInt8(ascii: "\""): return .string(try parseString())
    case UInt8(ascii: "{"): return .object(try parseObject())
    case UInt8(ascii: "["): return .array(try parseArray())
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try parseNumber()
    case UInt8(ascii: "t"): return try parseWord("true", .bool(true))
    case UInt8(ascii: "f"): return try parseWord("false", .bool(false))
    case UInt8(ascii: "n"): return try parseWord("null", .null)
    case UInt8(ascii: "N"), UInt8(ascii: "I"):
      throw error(
        "NaN and Infinity are not JSON", hint: "Use null or a finite number.")
    case UInt8(ascii: "'"):
      throw error(
        "strings have double quotes", hint: "Write \"…\" (this looks like Python's repr).")
    default:
      throw error("expected a value, found \(found(at: position))", hint: syntaxHint)
    }
  }

  private mutating func parseWord(
    _ word: StaticString, _ value: JSONValue
  ) throws(JSONError) -> JSONValue {
    let length = word.utf8CodeUnitCount
    for offset in 0..<length
    where position + offset >= bytes.count || bytes[position + offset] != word.utf8Start[offset] {
      throw error("expected '\(word)'", hint: "The words of JSON are true, false and null.")
    }
    position += length
    return value
  }

  private mutating func enter() throws(JSONError) {
    depth += 1
    if depth > Self.deepest {
      throw error("nested deeper than \(Self.deepest) levels", hint: "Flatten the value.")
    }
    position += 1
    skipSpace()
  }

  private mutating func leave() {
    depth -= 1
    position += 1
  }

  private mutating func parseArray() throws(JSONError) -> [JSONValue] {
    try enter()
    var elements: [JSONValue] = []
    if current == UInt8(ascii: "]") {
      leave()
      return elements
    }
    while true {
      elements.append(try parseValue())
      if try endsContainer(UInt8(ascii: "]"), "]") { return elements }
    }
  }

  private mutating func parseObject() throws(JSONError) -> JSONObject {
    try enter()
    var object = JSONObject()
    if current == UInt8(ascii: "}") {
      leave()
      return object
    }
    while true {
      skipSpace()
      let start = position
      guard current == UInt8(ascii: "\"") else {
        throw error(
          "expected a key in double quotes, found \(found(at: position))", hint: syntaxHint)
      }
      let key = try parseString()
      skipSpace()
      guard current == UInt8(ascii: ":") else {
        throw error(
          "expected ':' after the key \"\(key)\", found \(found(at: position))", hint: syntaxHint)
      }
      position += 1
      let value = try parseValue()
      if !object.appendIfNew(key, value) {
        guard duplicateKeys == .lastWins else {
          throw error(
            "the key \"\(key)\" appears twice in one object",
            hint: "Remove one: readers disagree about which counts.", at: start)
        }
        object[key] = value
      }
      if try endsContainer(UInt8(ascii: "}"), "}") { return object }
    }
  }

  /// Consumes ',' (false) or the closing bracket (true).
  private mutating func endsContainer(_ close: UInt8, _ name: String) throws(JSONError) -> Bool {
    skipSpace()
    if current == close {
      leave()
      return true
    }
    guard current == UInt8(ascii: ",") else {
      throw error("expected ',' or '\(name)', found \(found(at: position))", hint: syntaxHint)
    }
    position += 1
    skipSpace()
    if current == close {
      throw error("a comma before '\(name)'", hint: "Remove it: JSON has no trailing commas.")
    }
    return false
  }

  // MARK: Errors

  var syntaxHint: String { "Check the text around this place: it is not JSON." }

  func error(_ message: String, hint: String, at offset: Int? = nil) -> JSONError {
    JSONError(message, hint: hint, at: min(offset ?? position, bytes.count), in: bytes)
  }

  func found(at offset: Int) -> String {
    guard offset < bytes.count else { return "the end of the text" }
    let byte = bytes[offset]
    if byte > 0x20, byte < 0x7F { return "'\(Character(Unicode.Scalar(byte)))'" }
    return "byte 0x" + String(byte, radix: 16)
  }
}
