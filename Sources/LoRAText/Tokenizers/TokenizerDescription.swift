// What a model file says about its tokenizer, as plain values, so that no file format is needed here.

/// What a model file says about its tokenizer: GGUF's `tokenizer.ggml.*` keys.
public struct TokenizerDescription: Sendable {
  /// The kind of tokenizer (`tokenizer.ggml.model`); `gpt2` is byte-level BPE, the only kind so far.
  public var model: String

  /// The name of the rule that cuts text into pieces before merging (`tokenizer.ggml.pre`).
  public var preTokenizer: String

  /// The vocabulary's spellings; the position is the token's id.
  public var tokens: [String]

  /// One type per token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
  public var tokenTypes: [Int32]

  /// The merges as `left right`, the most important first.
  public var merges: [String]

  /// The token that begins a text.
  public var bosTokenID: Int32?

  /// The token that ends a text.
  public var eosTokenID: Int32?

  /// The token that ends a turn of a conversation.
  public var eotTokenID: Int32?

  /// The token that ends a message and asks for a tool's answer.
  public var eomTokenID: Int32?

  /// The token that stands for what the vocabulary cannot spell.
  public var unknownTokenID: Int32?

  /// The token that fills batches.
  public var paddingTokenID: Int32?

  /// Whether a text begins with `bosTokenID`; unset means the habit of the pre-tokenizer's family.
  public var addBOS: Bool?

  /// Whether a text ends with `eosTokenID`; unset means no.
  public var addEOS: Bool?

  /// Tokens that end what a model says, besides those that the spellings tell.
  public var stopTokenIDs: Set<Int32> = []

  /// Whether a piece that is in the vocabulary is that token, whatever the merges would make of it;
  /// unset means the habit of the pre-tokenizer's family.
  public var ignoresMerges: Bool?

  /// Whether text is brought into Unicode's form NFC before it is cut.
  public var normalizesToNFC = false

  /// The tokens among those matched whole that are looked for only after the others were cut out
  /// and the text between was normalised (`normalized` in tokenizer.json).
  public var lateTokenIDs: Set<Int32> = []

  /// The file format whose names errors use.
  var keys = TokenizerKeys.gguf

  /// A description with the given values; nothing is checked before `Tokenizer.init` reads it.
  public init(
    model: String, preTokenizer: String, tokens: [String], tokenTypes: [Int32], merges: [String],
    bosTokenID: Int32? = nil, eosTokenID: Int32? = nil, eotTokenID: Int32? = nil,
    eomTokenID: Int32? = nil, unknownTokenID: Int32? = nil, paddingTokenID: Int32? = nil,
    addBOS: Bool? = nil, addEOS: Bool? = nil
  ) {
    self.model = model
    self.preTokenizer = preTokenizer
    self.tokens = tokens
    self.tokenTypes = tokenTypes
    self.merges = merges
    self.bosTokenID = bosTokenID
    self.eosTokenID = eosTokenID
    self.eotTokenID = eotTokenID
    self.eomTokenID = eomTokenID
    self.unknownTokenID = unknownTokenID
    self.paddingTokenID = paddingTokenID
    self.addBOS = addBOS
    self.addEOS = addEOS
  }
}

/// How a file format names the parts of a description.
enum TokenizerKeys {
  case gguf
  case tokenizerJSON

  /// The name of a part, given as in GGUF, in the file.
  func name(_ key: String) -> String {
    switch self {
    case .gguf: return "tokenizer.ggml." + key
    case .tokenizerJSON:
      switch key {
      case "tokens": return "model.vocab"
      case "token_type": return "added_tokens"
      default: return "model." + key
      }
    }
  }
}

/// What a token of the vocabulary is, in GGUF's numbering.
enum TokenType: Int32 {
  case normal = 1
  case unknown = 2
  case control = 3
  case userDefined = 4
  case unused = 5
  case byte = 6

  /// Whether the token is a sign for the model and not text: left out when special tokens are.
  var isControl: Bool { self == .control || self == .unknown }

  /// Whether the token's spelling is cut out of a text before anything else looks at it.
  var isMatchedWhole: Bool { isControl || self == .userDefined }
}
