// Tokens → text: the bytes of the tokens one after the other, read as UTF-8.

extension Tokenizer {
  /// The bytes that tokens stand for. A single token may end within a character.
  ///
  /// With `skipSpecialTokens` control tokens are left out. Ids of no token stand for nothing.
  public func decodeBytes(_ tokens: [Int32], skipSpecialTokens: Bool = false) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(tokens.count * 4)
    for id in tokens where vocabulary.contains(id) {
      if skipSpecialTokens, vocabulary.types[Int(id)].isControl { continue }
      bytes.append(contentsOf: vocabulary.text(of: id))
    }
    return bytes
  }

  /// The text that tokens stand for; U+FFFD where their bytes are not UTF-8.
  ///
  /// The tokens that `encode` makes of a text (without BOS and EOS) give exactly that text.
  public func decode(_ tokens: [Int32], skipSpecialTokens: Bool = false) -> String {
    String(decoding: decodeBytes(tokens, skipSpecialTokens: skipSpecialTokens), as: UTF8.self)
  }
}
