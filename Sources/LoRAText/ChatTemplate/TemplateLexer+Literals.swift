// The literals of the lexer: numbers, and strings with Python's escapes.

extension TemplateLexer {
  // MARK: Numbers

  mutating func lexNumber() throws {
    let start = index
    let whole = endOfDigits(start)
    var end = whole
    var isFloat = false
    if start == 0 || scalars[start - 1] != "." {  // "x.0.5" are two integer subscripts
      if end + 1 < scalars.count, scalars[end] == ".", scalars[end + 1].isASCIIDigit {
        end = endOfDigits(end + 1)
        isFloat = true
      }
      if let exponent = endOfExponent(end) {
        end = exponent
        isFloat = true
      }
    }
    if isFloat {
      index = end
      let text = String(scalars: scalars[start..<end].filter { $0 != "_" })
      add(.float(Double(text) ?? .infinity), at: start)
    } else {
      try lexInteger(start, decimalEnd: whole)
    }
  }

  private mutating func lexInteger(_ start: Int, decimalEnd: Int) throws {
    var radix = 10
    var end = decimalEnd
    var digits = start
    if scalars[start] == "0", start + 1 < scalars.count {
      let radixes: [Unicode.Scalar: Int] = ["x": 16, "X": 16, "o": 8, "O": 8, "b": 2, "B": 2]
      if let prefixed = radixes[scalars[start + 1]],
        let prefixedEnd = endOfDigits(start + 2, radix: prefixed)
      {
        (radix, digits, end) = (prefixed, start + 2, prefixedEnd)
      } else {
        // Python has no decimal integer with a leading zero: "012" is "0" and "12".
        end = start + 1
        while end < decimalEnd, scalars[end] == "0" || scalars[end] == "_" { end += 1 }
        while scalars[end - 1] == "_" { end -= 1 }
      }
    }
    let text = String(scalars: scalars[digits..<end].filter { $0 != "_" })
    guard let value = Int(text, radix: radix) else {
      throw fault(
        "the integer \(text) is too large", hint: "Integers here have 64 bits.", at: start)
    }
    index = end
    add(.integer(value), at: start)
  }

  /// The end of digits that single underscores may group.
  private func endOfDigits(_ start: Int) -> Int {
    var end = start
    while end < scalars.count {
      if scalars[end].isASCIIDigit {
        end += 1
      } else if scalars[end] == "_", end + 1 < scalars.count, scalars[end + 1].isASCIIDigit {
        end += 2
      } else {
        break
      }
    }
    return end
  }

  private func endOfDigits(_ start: Int, radix: Int) -> Int? {
    var end = start
    while end < scalars.count {
      let next = scalars[end] == "_" ? end + 1 : end
      guard next < scalars.count, Int(String(scalars[next]), radix: radix) != nil else { break }
      end = next + 1
    }
    return end > start ? end : nil
  }

  private func endOfExponent(_ place: Int) -> Int? {
    guard place < scalars.count, scalars[place] == "e" || scalars[place] == "E" else { return nil }
    var digits = place + 1
    if digits < scalars.count, scalars[digits] == "+" || scalars[digits] == "-" { digits += 1 }
    guard digits < scalars.count, scalars[digits].isASCIIDigit else { return nil }
    return endOfDigits(digits)
  }

  // MARK: Strings

  mutating func lexString() throws {
    let start = index
    let quote = scalars[start]
    var text = String.UnicodeScalarView()
    index += 1
    while index < scalars.count, scalars[index] != quote {
      if scalars[index] == "\\" {
        try lexEscape(into: &text)
      } else {
        text.append(scalars[index])
        index += 1
      }
    }
    guard index < scalars.count else {
      throw fault("the string has no end", hint: "Close it with \(quote).", at: start)
    }
    index += 1
    add(.string(String(text)), at: start)
  }

  private mutating func lexEscape(into text: inout String.UnicodeScalarView) throws {
    let start = index
    guard start + 1 < scalars.count else {
      index += 1
      return  // the missing end of the string is reported
    }
    let letter = scalars[start + 1]
    index += 2
    switch letter {
    case "\n": break
    case "\\", "'", "\"": text.append(letter)
    case "a": text.append("\u{7}")
    case "b": text.append("\u{8}")
    case "f": text.append("\u{c}")
    case "n": text.append("\n")
    case "r": text.append("\r")
    case "t": text.append("\t")
    case "v": text.append("\u{b}")
    case "x": text.append(try lexHex(2, from: start))
    case "u": text.append(try lexHex(4, from: start))
    case "U": text.append(try lexHex(8, from: start))
    case "0"..."7": text.append(lexOctal(letter))
    case "N":
      throw fault("\\N escapes are not supported", hint: "Write the character.", at: start)
    default:
      // Python keeps the backslash of an unknown escape. Jinja passes the string through ASCII
      // first, where a scalar after a backslash becomes a visible escape.
      text.append("\\")
      if letter.isASCII {
        text.append(letter)
      } else {
        let hex = String(letter.value, radix: 16)
        let width = letter.value < 0x100 ? 2 : letter.value < 0x10000 ? 4 : 8
        text.append(width == 2 ? "x" : width == 4 ? "u" : "U")
        text.append(contentsOf: String(repeating: "0", count: width - hex.count).unicodeScalars)
        text.append(contentsOf: hex.unicodeScalars)
      }
    }
  }

  private mutating func lexHex(_ count: Int, from start: Int) throws -> Unicode.Scalar {
    let end = index + count
    guard end <= scalars.count, scalars[index..<end].allSatisfy(\.properties.isASCIIHexDigit),
      let code = UInt32(String(scalars: scalars[index..<end]), radix: 16),
      let scalar = Unicode.Scalar(code)
    else {
      throw fault(
        "a broken escape in a string",
        hint: "It needs \(count) hexadecimal digits of a scalar that is no surrogate.", at: start)
    }
    index = end
    return scalar
  }

  private mutating func lexOctal(_ first: Unicode.Scalar) -> Unicode.Scalar {
    var code = first.value - 0x30
    for _ in 0..<2 {
      guard index < scalars.count, ("0"..."7").contains(scalars[index]) else { break }
      code = code * 8 + scalars[index].value - 0x30
      index += 1
    }
    return Unicode.Scalar(code) ?? "\0"  // at most 0o777, which is no surrogate
  }
}

extension Unicode.Scalar {
  var isASCIIDigit: Bool { ("0"..."9").contains(self) }
  var isASCIILetter: Bool { ("a"..."z").contains(self) || ("A"..."Z").contains(self) }

  /// White space as Python's `str.isspace` and `\s` see it.
  var isPythonSpace: Bool {
    switch value {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F,
      0x205F, 0x3000:
      true
    default: false
    }
  }
}
