// The tokenizer of a model: from its description to a value that encodes and decodes.

/// A byte-level BPE tokenizer, equal to the one that Hugging Face's `tokenizers` builds.
///
/// It never changes after `init`, so threads may share it. Copying it is cheap.
public struct Tokenizer: Sendable {
  let vocabulary: Vocabulary
  let preTokenizer: PreTokenizer
  let encoder: BytePairEncoder
  /// Special tokens in two sizes: all, and those that are always matched (user-defined ones).
  let specialTokens: SpecialTokenMatcher
  let userDefinedTokens: SpecialTokenMatcher
  /// Likewise those that are matched in the normalised text between the others.
  let lateSpecialTokens: SpecialTokenMatcher
  let lateUserDefinedTokens: SpecialTokenMatcher
  let normalizesToNFC: Bool

  /// The token that begins a text, if the model has one.
  public let bosTokenID: Int32?

  /// The token that ends a text, if the model has one.
  public let eosTokenID: Int32?

  /// The token that ends a turn of a conversation, if the model has one.
  public let eotTokenID: Int32?

  /// The token that ends a message and asks for a tool's answer, if the model has one.
  public let eomTokenID: Int32?

  /// The token for what the vocabulary cannot spell, if the model has one.
  public let unknownTokenID: Int32?

  /// The token that fills batches, if the model has one.
  public let paddingTokenID: Int32?

  /// Whether `encode` with special tokens begins with `bosTokenID`.
  public let addsBOS: Bool

  /// Whether `encode` with special tokens ends with `eosTokenID`.
  public let addsEOS: Bool

  /// The tokens after which a model has nothing more to say: EOS, EOT and EOM, and what is spelled
  /// like one of the known ends of a turn.
  public let endOfGenerationTokenIDs: Set<Int32>

  /// Builds a tokenizer; throws `TokenizerError` where the description contradicts itself or
  /// names a kind of tokenizer that is not supported.
  public init(_ description: TokenizerDescription) throws {
    guard description.model == "gpt2" else {
      throw TokenizerError(
        message: "tokenizer.ggml.model: \"\(description.model)\" is not supported",
        hint: "use a model with byte-level BPE (\"gpt2\")")
    }
    let preTokenizer = try PreTokenizer(named: description.preTokenizer)
    let vocabulary = try Vocabulary(description)
    let merges = try MergeTable(description.merges, vocabulary, keys: description.keys)
    var specialTokens = SpecialTokenMatcher()
    var userDefinedTokens = SpecialTokenMatcher()
    var lateSpecialTokens = SpecialTokenMatcher()
    var lateUserDefinedTokens = SpecialTokenMatcher()
    for id in 0..<Int32(vocabulary.count) where vocabulary.types[Int(id)].isMatchedWhole {
      let text = vocabulary.text(of: id)
      let isUserDefined = vocabulary.types[Int(id)] == .userDefined
      if description.lateTokenIDs.contains(id) {
        let text = description.normalizesToNFC ? Self.normalized(text) : Array(text)
        lateSpecialTokens.insert(text, id: id)
        if isUserDefined { lateUserDefinedTokens.insert(text, id: id) }
      } else {
        specialTokens.insert(text, id: id)
        if isUserDefined { userDefinedTokens.insert(text, id: id) }
      }
    }
    self.vocabulary = vocabulary
    self.preTokenizer = preTokenizer
    self.specialTokens = specialTokens
    self.userDefinedTokens = userDefinedTokens
    self.lateSpecialTokens = lateSpecialTokens
    self.lateUserDefinedTokens = lateUserDefinedTokens
    normalizesToNFC = description.normalizesToNFC
    encoder = BytePairEncoder(
      vocabulary, merges, ignoresMerges: description.ignoresMerges ?? preTokenizer.ignoresMerges)

    func checked(_ id: Int32?, _ key: String) throws -> Int32? {
      guard let id, !vocabulary.contains(id) else { return id }
      throw TokenizerError(
        message: "tokenizer.ggml.\(key): \(id) is not one of the \(vocabulary.count) tokens",
        hint: TokenizerError.convertAgain)
    }
    bosTokenID = try checked(description.bosTokenID, "bos_token_id")
    eosTokenID = try checked(description.eosTokenID, "eos_token_id")
    eotTokenID = try checked(description.eotTokenID, "eot_token_id")
    eomTokenID = try checked(description.eomTokenID, "eom_token_id")
    unknownTokenID = try checked(description.unknownTokenID, "unknown_token_id")
    paddingTokenID = try checked(description.paddingTokenID, "padding_token_id")

    func demanded(_ add: Bool?, _ id: Int32?, _ name: String) throws {
      guard add == true, id == nil else { return }
      throw TokenizerError(
        message: "tokenizer.ggml.add_\(name)_token is true, but there is no "
          + "tokenizer.ggml.\(name)_token_id",
        hint: TokenizerError.convertAgain)
    }
    try demanded(description.addBOS, bosTokenID, "bos")
    try demanded(description.addEOS, eosTokenID, "eos")
    addsBOS = bosTokenID != nil && (description.addBOS ?? preTokenizer.addsBOSByDefault)
    addsEOS = description.addEOS ?? false

    var ends = Set([eosTokenID, eotTokenID, eomTokenID].compactMap { $0 })
    for var spelling in Self.endsOfTurns {
      if let id = spelling.withUTF8(vocabulary.id(of:)) { ends.insert(id) }
    }
    endOfGenerationTokenIDs = ends.union(description.stopTokenIDs.filter(vocabulary.contains))
  }

  private static let endsOfTurns = [
    "<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "<EOT>",
  ]

  /// The number of tokens.
  public var vocabularySize: Int { vocabulary.count }

  /// The spelling of a token in the vocabulary (a space is `Ġ`); nil if there is no such token.
  public func token(_ id: Int32) -> String? {
    vocabulary.contains(id) ? vocabulary.spelling(of: id) : nil
  }

  /// The token with a spelling of the vocabulary, compared byte by byte; nil if there is none.
  public func tokenID(_ token: String) -> Int32? {
    var token = token
    return token.withUTF8(vocabulary.id(of:))
  }
}
