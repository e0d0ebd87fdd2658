// Writing JSON, byte for byte as Python's json module writes it.

extension JSONValue {
  /// The value as JSON text.
  ///
  /// Numbers are written as Python writes them: `1.0`, `1e-05`, `1e+16`. A number that is not
  /// finite, which parsing never yields, becomes `NaN` or `Infinity` as in Python.
  public func serialized(_ style: JSONStyle = .compact) -> String {
    var writer = JSONWriter(style: style)
    writer.write(self, level: 0)
    return String(decoding: writer.output, as: UTF8.self)
  }
}

/// Collects the UTF-8 bytes of a JSON text.
private struct JSONWriter {
  let style: JSONStyle
  var output: [UInt8] = []

  mutating func write(_ value: JSONValue, level: Int) {
    switch value {
    case .null: output += "null".utf8
    case .bool(let value): output += (value ? "true" : "false").utf8
    case .integer(let value): output += String(value).utf8
    case .number(let value): output += Self.text(of: value).utf8
    case .string(let value): write(string: value)
    case .array(let elements):
      writeContainer("[", "]", elements, level) { $0.write($1, level: level + 1) }
    case .object(let object):
      let members =
        style.sortKeys ? object.sorted { $0.key.precedesByBytes($1.key) } : Array(object)
      writeContainer("{", "}", members, level) { writer, member in
        writer.write(string: member.key)
        writer.output += writer.style.keySeparator.utf8
        writer.write(member.value, level: level + 1)
      }
    }
  }

  private mutating func writeContainer<Item>(
    _ open: Unicode.Scalar, _ close: Unicode.Scalar, _ items: [Item], _ level: Int,
    _ writeItem: (inout JSONWriter, Item) -> Void
  ) {
    output.append(UInt8(ascii: open))
    for (position, item) in items.enumerated() {
      if position > 0 { output += style.itemSeparator.utf8 }
      breakLine(level + 1)
      writeItem(&self, item)
    }
    if !items.isEmpty { breakLine(level) }
    output.append(UInt8(ascii: close))
  }

  private mutating func breakLine(_ level: Int) {
    guard let indentation = style.indentation else { return }
    output.append(UInt8(ascii: "\n"))
    for _ in 0..<level { output += indentation.utf8 }
  }

  private mutating func write(string: String) {
    output.append(UInt8(ascii: "\""))
    if style.ensureASCII {
      for scalar in string.unicodeScalars {
        if scalar.isASCII, scalar.value < 0x7F {
          write(ascii: UInt8(scalar.value))
        } else {
          for unit in UTF16.encode(scalar) ?? .init() { writeEscape(unit) }
        }
      }
    } else {
      for byte in string.utf8 { write(ascii: byte) }
    }
    output.append(UInt8(ascii: "\""))
  }

  private mutating func write(ascii byte: UInt8) {
    switch byte {
    case UInt8(ascii: "\""): output += "\\\"".utf8
    case UInt8(ascii: "\\"): output += "\\\\".utf8
    case 0x0A: output += "\\n".utf8
    case 0x0D: output += "\\r".utf8
    case 0x09: output += "\\t".utf8
    case 0x0C: output += "\\f".utf8
    case 0x08: output += "\\b".utf8
    case 0..<0x20: writeEscape(UInt16(byte))
    default: output.append(byte)
    }
  }

  private mutating func writeEscape(_ unit: UInt16) {
    let hex = String(unit, radix: 16)
    output += "\\u".utf8
    for _ in hex.utf8.count..<4 { output.append(UInt8(ascii: "0")) }
    output += hex.utf8
  }

  private static func text(of number: Double) -> String {
    if number.isNaN { return "NaN" }
    if number.isInfinite { return number < 0 ? "-Infinity" : "Infinity" }
    return number.pythonDescription
  }
}
