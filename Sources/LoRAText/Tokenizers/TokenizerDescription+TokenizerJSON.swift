// Reads tokenizer.json, the format of Hugging Face's tokenizers: byte-level BPE, anything else is
// refused by name.

package import LoRAJSON

extension TokenizerDescription {
  /// What a tokenizer.json says, its BOS and EOS as the post-processor puts them.
  ///
  /// `truncation` and `padding` are not read: transformers switches both off unless asked.
  /// - Throws: `TokenizerError` naming the key.
  package init(tokenizerJSON file: JSONObject) throws {
    try TokenizerJSON.check(file, "", known: TokenizerJSON.keys)
    guard let model = file["model"]?.objectValue else {
      throw TokenizerJSON.wrong("model", "is missing or not an object")
    }
    try TokenizerJSON.checkModel(model)
    var table = try TokenTable(vocabulary: model["vocab"])
    try table.add(file["added_tokens"])
    try table.fillGaps()
    self.init(
      model: "gpt2",
      preTokenizer: try PreTokenizer.name(tokenizerJSON: file["pre_tokenizer"] ?? .null),
      tokens: table.tokens.map { $0 ?? "" }, tokenTypes: table.types,
      merges: try TokenizerJSON.merges(model["merges"]))
    keys = .tokenizerJSON
    lateTokenIDs = table.late
    ignoresMerges = try TokenizerJSON.flag(model, "ignore_merges")
    normalizesToNFC = try TokenizerJSON.normalizesToNFC(file["normalizer"] ?? .null)
    try TokenizerJSON.checkDecoder(file["decoder"] ?? .null)
    try TokenizerJSON.checkUnknown(model["unk_token"] ?? .null, tokens: tokens)

    let ends = try TokenizerJSON.ends(file["post_processor"] ?? .null, "post_processor")
    func id(_ spelling: String?) throws -> Int32? {
      guard let spelling else { return nil }
      guard let id = table.ids[spelling] else {
        throw TokenizerJSON.wrong(
          "post_processor", "the token \"\(spelling.shortened)\" is not in the vocabulary")
      }
      return id
    }
    bosTokenID = try id(ends.before)
    eosTokenID = try id(ends.after)
    addBOS = ends.before != nil
    addEOS = ends.after != nil
  }

  /// The id of a token by its spelling, byte by byte; searches the whole vocabulary.
  package func tokenID(_ spelling: String) -> Int32? {
    tokens.firstIndex { $0.hasSameBytes(as: spelling) }.map { Int32($0) }
  }
}

/// The tokens by id while they are gathered from vocab and added_tokens.
private struct TokenTable {
  var tokens: [String?] = []
  var types: [Int32] = []
  var ids: [ScalarKey: Int32] = [:]
  var late: Set<Int32> = []

  /// No vocabulary is this large; an id above it is a mistake, not a reason for a large table.
  private static let largestID = 1 << 24

  init(vocabulary: JSONValue?) throws {
    guard let vocabulary = vocabulary?.objectValue else {
      throw TokenizerJSON.wrong("model.vocab", "is missing or not an object")
    }
    tokens.reserveCapacity(vocabulary.count)
    for (token, value) in vocabulary {
      try insert(token, value, type: .normal, "model.vocab")
    }
  }

  mutating func add(_ value: JSONValue?) throws {
    guard let entries = (value ?? []).arrayValue else {
      throw TokenizerJSON.wrong("added_tokens", "is not a list")
    }
    for (i, entry) in entries.enumerated() {
      let place = "added_tokens[\(i)]"
      guard let entry = entry.objectValue, let content = entry["content"]?.stringValue else {
        throw TokenizerJSON.wrong(place, "is no object with a content")
      }
      try TokenizerJSON.check(
        entry, place,
        known: ["id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"])
      for key in ["single_word", "lstrip", "rstrip"] where try TokenizerJSON.flag(entry, key) {
        throw TokenizerJSON.wrong(
          "\(place).\(key)", "is true for \"\(content.shortened)\", which is not supported",
          hint: "use a tokenizer whose added tokens are matched as they are spelled")
      }
      let isSpecial = try TokenizerJSON.flag(entry, "special")
      let id = try insert(
        content, entry["id"] ?? .null, type: isSpecial ? .control : .userDefined, place)
      // `normalized` is true for tokens that a user added where nothing is said.
      if try entry["normalized"] == nil ? !isSpecial : TokenizerJSON.flag(entry, "normalized") {
        late.insert(id)
      }
    }
  }

  @discardableResult
  private mutating func insert(
    _ token: String, _ value: JSONValue, type: TokenType, _ place: String
  ) throws -> Int32 {
    guard let id = value.integerValue, id >= 0, id < Self.largestID else {
      throw TokenizerJSON.wrong(
        place, "\"\(token.shortened)\" has the id \(value.serialized(.compact).shortened)")
    }
    if let other = ids[token], Int(other) != id {
      throw TokenizerJSON.wrong(
        place, "\"\(token.shortened)\" has the ids \(other) and \(id)")
    }
    while tokens.count <= id {
      tokens.append(nil)
      types.append(TokenType.unused.rawValue)
    }
    if let other = tokens[id], !other.hasSameBytes(as: token) {
      throw TokenizerJSON.wrong(
        place, "the id \(id) is that of \"\(other.shortened)\" and of \"\(token.shortened)\"")
    }
    tokens[id] = token
    types[id] = type.rawValue
    ids[token] = Int32(id)
    return Int32(id)
  }

  /// Names ids that no token has, as converters to GGUF do.
  mutating func fillGaps() throws {
    for id in tokens.indices where tokens[id] == nil {
      var name = "[PAD\(id)]"
      while ids[name] != nil { name += "_" }
      tokens[id] = name
      ids[name] = Int32(id)
    }
  }
}

extension [ScalarKey: Int32] {
  fileprivate subscript(token: String) -> Int32? {
    get { self[ScalarKey(token)] }
    set { self[ScalarKey(token)] = newValue }
  }
}
