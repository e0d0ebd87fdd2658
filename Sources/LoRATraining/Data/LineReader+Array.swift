// A file that is one JSON array of rows: its elements, one by one.

/// How far an array is read.
struct ArrayPosition {
  /// The line of the next byte, from 1.
  var line: Int
  /// Whether a comma was read last, so that an element has to follow.
  var isAfterComma = false
  /// Whether nothing more is given out.
  var isEnded = false
}

extension LineReader {
  /// Finds out whether the text is an array, and goes behind its bracket.
  mutating func beginArray() {
    guard let first = buffer[position...].firstIndex(where: { !Self.isSpace($0) }),
      buffer[first] == UInt8(ascii: "[")
    else { return }
    array = ArrayPosition(line: 1 + Self.lineBreaks(buffer[position..<first]))
    position = first + 1
  }

  /// The text of the next element, or nil behind the last.
  mutating func nextElement() throws -> String? {
    guard let start = array, !start.isEnded else { return nil }
    guard let byte = try skipSpace() else { throw unended() }
    if byte == UInt8(ascii: "]") {
      guard !start.isAfterComma else {
        throw fault("a comma before ']'", hint: "remove it: JSON has no trailing commas")
      }
      position += 1
      guard try skipSpace() == nil else {
        throw fault(
          "the text goes on behind the end of the array",
          hint: "a file is one array of rows, or one row a line")
      }
      array?.isEnded = true
      return nil
    }
    let length = try elementLength()
    let element = position..<position + length
    let number = max(array?.line ?? 1, line + 1)
    array?.line += Self.lineBreaks(buffer[element])
    array?.isAfterComma = buffer[element.upperBound] == UInt8(ascii: ",")
    position = element.upperBound + (array?.isAfterComma == true ? 1 : 0)
    return try text(element, line: number)
  }

  /// Bytes up to the comma or bracket behind an element; that byte is in the buffer then.
  private mutating func elementLength() throws -> Int {
    var (length, depth) = (0, 0)
    var (isInString, isEscaped) = (false, false)
    while true {
      while position + length < buffer.count {
        let byte = buffer[position + length]
        switch byte {
        case _ where isEscaped: isEscaped = false
        case UInt8(ascii: "\\") where isInString: isEscaped = true
        case UInt8(ascii: "\""): isInString.toggle()
        case _ where isInString: break
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: ",") where depth == 0, UInt8(ascii: "]") where depth == 0: return length
        case UInt8(ascii: "}"), UInt8(ascii: "]"): depth = max(depth - 1, 0)
        default: break
        }
        length += 1
      }
      guard !isAtEnd else { throw unended() }
      guard length <= Self.longestLine else {
        throw fault("a row is longer than 256 MB", hint: "is this a binary file?")
      }
      try fill()
    }
  }

  private mutating func skipSpace() throws -> UInt8? {
    while true {
      while position < buffer.count {
        guard Self.isSpace(buffer[position]) else { return buffer[position] }
        if buffer[position] == UInt8(ascii: "\n") { array?.line += 1 }
        position += 1
      }
      if isAtEnd { return nil }
      try fill()
    }
  }

  private mutating func unended() -> DataError {
    fault("the array of rows has no end", hint: "the file was cut off, or a bracket is missing")
  }

  /// An error behind which nothing is read.
  private mutating func fault(_ message: String, hint: String) -> DataError {
    defer {
      array?.isEnded = true
      end()
    }
    return DataError(file: file, line: array?.line, message: message, hint: hint)
  }

  private static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || (0x09...0x0D).contains(byte)
  }

  private static func lineBreaks(_ bytes: ArraySlice<UInt8>) -> Int {
    bytes.reduce(0) { $0 + ($1 == UInt8(ascii: "\n") ? 1 : 0) }
  }
}
