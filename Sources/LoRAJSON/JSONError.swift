// What is wrong with a JSON text, and where.

/// A text is not JSON; says what is wrong, where, and what to do.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is wrong, without the place.
  public var message: String
  /// The place: bytes from the start of the text.
  public var byteOffset: Int
  /// The place: line, from 1.
  public var line: Int
  /// The place: column in Unicode scalars, from 1.
  public var column: Int
  /// What to do about it.
  public var hint: String

  /// The message with its place, then the hint.
  public var description: String {
    "line \(line), column \(column) (byte \(byteOffset)): \(message). \(hint)"
  }

  init(_ message: String, hint: String, at offset: Int, in text: UnsafeBufferPointer<UInt8>) {
    self.message = message
    self.hint = hint
    byteOffset = offset
    var line = 1
    var column = 1
    for byte in text.prefix(offset) {
      if byte == UInt8(ascii: "\n") {
        line += 1
        column = 1
      } else if byte & 0xC0 != 0x80 {  // continuation bytes belong to the scalar before
        column += 1
      }
    }
    self.line = line
    self.column = column
  }
}
