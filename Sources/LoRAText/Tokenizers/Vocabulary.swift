// The tokens of a model: their spellings in the file, their types, and the text that each stands for.

/// The tokens of a byte-level vocabulary, checked.
struct Vocabulary: Sendable {
  /// The spelling of every token; the position is the id.
  private let spellings: ByteStringTable

  /// The type of every token.
  let types: [TokenType]

  /// The token of every single byte; -1 for bytes that the vocabulary cannot spell.
  let byteTokens: [Int32]

  /// The bytes of text of all tokens, one after the other.
  private let text: [UInt8]
  private let textEnds: [Int]

  /// The number of tokens.
  var count: Int { types.count }

  /// Checks the tokens of a description and decodes them.
  init(_ description: TokenizerDescription) throws {
    let tokens = description.tokens
    let keys = description.keys
    guard !tokens.isEmpty, tokens.count < Int(Int32.max) else {
      throw TokenizerError(
        message: "\(keys.name("tokens")): \(tokens.count) tokens", hint: TokenizerError.convertAgain
      )
    }
    guard description.tokenTypes.count == tokens.count else {
      throw TokenizerError(
        message: "\(keys.name("token_type")): \(description.tokenTypes.count) types for "
          + "\(tokens.count) tokens",
        hint: TokenizerError.convertAgain)
    }
    var spellings = ByteStringTable(capacity: tokens.count)
    var types: [TokenType] = []
    var text: [UInt8] = []
    var textEnds = [0]
    var byteTokens = [Int32](repeating: -1, count: 256)
    types.reserveCapacity(tokens.count)
    textEnds.reserveCapacity(tokens.count + 1)
    for (id, token) in tokens.enumerated() {
      var token = token
      let type = try Self.type(description.tokenTypes[id], of: token, id, keys)
      guard token.withUTF8({ spellings.append($0) }) != nil else {
        throw TokenizerError(
          message: "\(keys.name("tokens"))[\(id)]: the token \"\(token)\" occurs twice",
          hint: TokenizerError.convertAgain)
      }
      if type == .normal {
        guard ByteAlphabet.appendBytes(of: token, to: &text) else {
          throw TokenizerError(
            message: "\(keys.name("tokens"))[\(id)]: \"\(token)\" has characters outside the "
              + "byte-level alphabet",
            hint: "this is not a byte-level BPE vocabulary, or it was converted wrongly")
        }
        if text.count == textEnds[id] + 1 { byteTokens[Int(text[text.count - 1])] = Int32(id) }
      } else {
        text.append(contentsOf: token.utf8)
      }
      types.append(type)
      textEnds.append(text.count)
    }
    self.spellings = spellings
    self.types = types
    self.text = text
    self.textEnds = textEnds
    self.byteTokens = byteTokens
  }

  /// Whether there is a normal token of more than one byte, which only merges can make.
  var hasTokensOfSeveralBytes: Bool {
    (0..<Int32(count)).contains { types[Int($0)] == .normal && text(of: $0).count > 1 }
  }

  /// Whether an id is one of a token.
  func contains(_ id: Int32) -> Bool { id >= 0 && Int(id) < count }

  /// The bytes that a token stands for: text for a normal token, else its spelling.
  func text(of id: Int32) -> ArraySlice<UInt8> { text[textEnds[Int(id)]..<textEnds[Int(id) + 1]] }

  /// The spelling of a token in the model's file.
  func spelling(of id: Int32) -> String {
    String(decoding: spellings[Int(id)], as: UTF8.self)
  }

  /// The token with a spelling, compared byte by byte.
  func id(of spelling: UnsafeBufferPointer<UInt8>) -> Int32? {
    spellings.position(of: spelling).map { Int32($0) }
  }

  private static func type(
    _ number: Int32, of token: String, _ id: Int, _ keys: TokenizerKeys
  ) throws -> TokenType {
    guard let type = TokenType(rawValue: number), type != .byte else {
      throw TokenizerError(
        message: "\(keys.name("token_type"))[\(id)]: type \(number) of \"\(token)\" has no meaning "
          + "in byte-level BPE",
        hint: TokenizerError.convertAgain)
    }
    guard !token.isEmpty else {
      throw TokenizerError(
        message: "\(keys.name("tokens"))[\(id)]: an empty token", hint: TokenizerError.convertAgain)
    }
    if type.isMatchedWhole, token.utf8.count > SpecialTokenMatcher.maximumLength {
      throw TokenizerError(
        message: "\(keys.name("tokens"))[\(id)]: a special token of \(token.utf8.count) bytes; "
          + "at most \(SpecialTokenMatcher.maximumLength) are supported",
        hint: TokenizerError.convertAgain)
    }
    return type
  }
}
