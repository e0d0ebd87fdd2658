// Writes a tokenizer as Hugging Face's files: tokenizer.json and tokenizer_config.json.

package import LoRAJSON

extension TokenizerDescription {
  /// The content of a tokenizer.json that gives the ids that this description gives.
  ///
  /// - Throws: `TokenizerError` where the pre-tokenizer has no spelling there, or the description
  ///   contradicts itself.
  package func tokenizerJSON() throws -> JSONValue {
    // Checks the description, and knows the habits of its family.
    let tokenizer = try Tokenizer(self)
    guard let preTokenizer = PreTokenizer.tokenizerJSON(of: preTokenizer) else {
      throw TokenizerError(
        message: "the pre-tokenizer \"\(preTokenizer)\" cannot be written as tokenizer.json",
        hint: "take tokenizer.json from the model that the file was made from")
    }
    let ignoresMerges = try ignoresMerges ?? PreTokenizer(named: self.preTokenizer).ignoresMerges
    let special = zip(tokens, tokenTypes).enumerated().compactMap { id, entry -> JSONValue? in
      guard let type = TokenType(rawValue: entry.1), type.isMatchedWhole else { return nil }
      return [
        "id": .integer(id), "content": .string(entry.0), "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": .bool(lateTokenIDs.contains(Int32(id))),
        "special": .bool(type.isControl),
      ]
    }
    let vocabulary = JSONObject(tokens.enumerated().map { ($1, .integer($0)) })
    guard vocabulary.count == tokens.count else {
      throw TokenizerError(
        message: "\(tokens.count - vocabulary.count) tokens have the spelling of another",
        hint: "tokenizer.json tells tokens apart by their spelling")
    }
    return [
      "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": .array(special),
      "normalizer": normalizesToNFC ? ["type": "NFC"] : .null, "pre_tokenizer": preTokenizer,
      "post_processor": postProcessor(
        before: tokenizer.addsBOS ? tokenizer.bosTokenID : nil,
        after: tokenizer.addsEOS ? tokenizer.eosTokenID : nil),
      "decoder": PreTokenizer.byteLevel(cuts: true),
      "model": [
        "type": "BPE", "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
        "end_of_word_suffix": .null, "fuse_unk": false, "byte_fallback": false,
        "ignore_merges": .bool(ignoresMerges),
        "vocab": .object(vocabulary), "merges": .array(merges.map(JSONValue.string)),
      ],
    ]
  }

  /// The content of a tokenizer_config.json beside it.
  package func tokenizerConfiguration(chatTemplate: String?, contextLength: Int) -> JSONValue {
    var object: JSONObject = [:]
    let named = [
      ("bos_token", bosTokenID), ("eos_token", eosTokenID), ("pad_token", paddingTokenID),
      ("unk_token", unknownTokenID),
    ]
    for (key, id) in named {
      guard let id, tokens.indices.contains(Int(id)) else { continue }
      object[key] = .string(tokens[Int(id)])
    }
    object["chat_template"] = chatTemplate.map(JSONValue.string)
    object["clean_up_tokenization_spaces"] = false
    object["model_max_length"] = .integer(contextLength)
    object["tokenizer_class"] = "PreTrainedTokenizerFast"
    return .object(object)
  }

  /// What puts tokens at the ends of a text.
  private func postProcessor(before: Int32?, after: Int32?) -> JSONValue {
    func spelling(_ id: Int32) -> JSONValue { .string(tokens[Int(id)]) }
    func piece(_ id: Int32?, _ type: Int) -> [JSONValue] {
      id.map { [["SpecialToken": ["id": spelling($0), "type_id": .integer(type)]]] } ?? []
    }
    func text(_ name: String, _ type: Int) -> [JSONValue] {
      piece(before, type) + [["Sequence": ["id": .string(name), "type_id": .integer(type)]]]
        + piece(after, type)
    }
    let ends = [before, after].compactMap { $0 }
    guard !ends.isEmpty else { return PreTokenizer.byteLevel(cuts: true) }
    return [
      "type": "TemplateProcessing", "single": .array(text("A", 0)),
      "pair": .array(text("A", 0) + text("B", 1)),
      "special_tokens": .object(
        JSONObject(
          ends.map { id in
            let name = tokens[Int(id)]
            return (
              name,
              [
                "id": .string(name), "ids": [.integer(Int(id))], "tokens": [.string(name)],
              ]
            )
          })),
    ]
  }
}
