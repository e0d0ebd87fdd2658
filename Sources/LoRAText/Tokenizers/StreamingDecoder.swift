// Turns tokens that arrive one at a time into text, never showing half a character.

/// Decodes tokens as a model generates them.
///
/// What all calls return, put together, is what `Tokenizer.decode` makes of all tokens at once.
public struct StreamingDecoder: Sendable {
  private let tokenizer: Tokenizer
  private let skipsSpecialTokens: Bool
  /// At most three bytes: the beginning of a character whose end has not come yet.
  private var pending: [UInt8] = []

  /// A decoder at the beginning of a text.
  public init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool = false) {
    self.tokenizer = tokenizer
    skipsSpecialTokens = skipSpecialTokens
  }

  /// The text that is certain now that this token has come; may be empty.
  public mutating func append(_ id: Int32) -> String {
    append(tokenizer.decodeBytes([id], skipSpecialTokens: skipsSpecialTokens))
  }

  /// The text that is certain now that these bytes have come; may be empty.
  public mutating func append(_ bytes: [UInt8]) -> String {
    pending += bytes
    let complete = pending.count - Self.incompleteSuffix(of: pending)
    let text = String(decoding: pending[..<complete], as: UTF8.self)
    pending.removeFirst(complete)
    return text
  }

  /// What is left at the end: nothing, or U+FFFD for half a character.
  public mutating func finish() -> String {
    defer { pending.removeAll() }
    return String(decoding: pending, as: UTF8.self)
  }

  /// The number of bytes at the end that more bytes could still make a character of.
  private static func incompleteSuffix(of bytes: [UInt8]) -> Int {
    for length in 1...3 where length <= bytes.count {
      let suffix = bytes.suffix(length)
      let first = suffix[suffix.startIndex]
      if first & 0xC0 == 0x80 { continue }
      return isIncomplete(suffix, first) ? length : 0
    }
    return 0
  }

  private static func isIncomplete(_ bytes: ArraySlice<UInt8>, _ first: UInt8) -> Bool {
    let length: Int
    switch first {
    case 0xC2...0xDF: length = 2
    case 0xE0...0xEF: length = 3
    case 0xF0...0xF4: length = 4
    default: return false
    }
    if bytes.count >= length { return false }
    guard bytes.count > 1 else { return true }
    // Only the second byte is limited further: no overlong forms, no surrogates, at most U+10FFFF.
    let second = bytes[bytes.startIndex + 1]
    switch first {
    case 0xE0: return second >= 0xA0
    case 0xED: return second <= 0x9F
    case 0xF0: return second >= 0x90
    case 0xF4: return second <= 0x8F
    default: return true
    }
  }
}
