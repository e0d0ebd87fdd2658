// The parts of tokenizer.json apart from the vocabulary, each checked to be what is computed here.

import LoRAJSON

/// Readers of the parts of a tokenizer.json.
enum TokenizerJSON {
  static let keys = [
    "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
    "post_processor", "decoder", "model",
  ]

  static func wrong(
    _ key: String, _ what: String,
    hint: String = "only byte-level BPE as of GPT-2, SmolLM2, Llama 3 and Qwen2 is supported"
  ) -> TokenizerError {
    TokenizerError(message: "\(key): \(what)", hint: hint)
  }

  /// A truth value; absent is false.
  static func flag(_ object: JSONObject, _ key: String) throws -> Bool {
    guard let value = object[key], value != .null else { return false }
    guard let flag = value.boolValue else { throw wrong(key, "is \(value.kind)") }
    return flag
  }

  static func check(_ object: JSONObject, _ place: String, known: [String]) throws {
    for key in object.keys where !known.contains(key) {
      throw wrong((place.isEmpty ? "" : place + ".") + key.shortened, "an unknown key")
    }
  }

  /// The kind of model, and that nothing but plain byte-level BPE is switched on.
  static func checkModel(_ model: JSONObject) throws {
    // Files of the first years leave the type out.
    let type: JSONValue = model["type"] ?? "BPE"
    guard type == "BPE" else {
      throw wrong("model.type", "\(type.serialized(.compact).shortened) is not supported")
    }
    try check(
      model, "model",
      known: [
        "type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
        "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges",
      ])
    let neutral: [(String, [JSONValue])] = [
      ("dropout", [0, 0.0]), ("continuing_subword_prefix", [""]), ("end_of_word_suffix", [""]),
      ("byte_fallback", [false]),
    ]
    for (key, values) in neutral {
      guard let given = model[key], given != .null, !values.contains(given) else { continue }
      throw wrong("model.\(key)", "\(given.serialized(.compact).shortened) is not supported")
    }
  }

  /// The merges as `left right`, from either way to write them.
  static func merges(_ value: JSONValue?) throws -> [String] {
    guard let entries = value?.arrayValue else {
      throw wrong("model.merges", "is missing or not a list")
    }
    return try entries.enumerated().map { i, entry in
      if let text = entry.stringValue { return text }
      guard let pair = entry.arrayValue, pair.count == 2, let left = pair[0].stringValue,
        let right = pair[1].stringValue
      else { throw wrong("model.merges[\(i)]", "is neither \"a b\" nor [\"a\", \"b\"]") }
      return left + " " + right
    }
  }

  /// Bytes without a token are left out here; a model with an unknown token would put that.
  static func checkUnknown(_ value: JSONValue, tokens: [String]) throws {
    guard let unknown = value.stringValue, !unknown.isEmpty else { return }
    let spelled = Set(tokens.map { ScalarKey($0) })
    guard ByteAlphabet.scalars.allSatisfy({ spelled.contains(ScalarKey(String($0))) }) else {
      throw wrong(
        "model.unk_token",
        "\"\(unknown.shortened)\" would stand for bytes that the vocabulary lacks, which is not "
          + "supported")
    }
  }

  static func normalizesToNFC(_ value: JSONValue) throws -> Bool {
    if value == .null { return false }
    if value == ["type": "NFC"] { return true }
    if value == ["type": "Sequence", "normalizers": []] { return false }
    if value == ["type": "Sequence", "normalizers": [["type": "NFC"]]] { return true }
    throw wrong("normalizer", "\(value.serialized(.compact).shortened) is not supported")
  }

  static func checkDecoder(_ value: JSONValue) throws {
    guard value.objectValue?["type"] == "ByteLevel" else {
      throw wrong("decoder", "\(value.serialized(.compact).shortened) is not ByteLevel")
    }
  }

  /// The spellings of the tokens that a post-processor puts before and after one text.
  static func ends(_ value: JSONValue, _ place: String) throws -> (before: String?, after: String?)
  {
    if value == .null { return (nil, nil) }
    guard let object = value.objectValue, let type = object["type"]?.stringValue else {
      throw wrong(place, "is \(value.kind) without a type")
    }
    switch type {
    case "ByteLevel": return (nil, nil)
    case "Sequence":
      var result: (before: String?, after: String?) = (nil, nil)
      for (i, step) in (object["processors"]?.arrayValue ?? []).enumerated() {
        let place = "\(place).processors[\(i)]"
        guard step.objectValue?["type"] != "Sequence" else {
          throw wrong(place, "a Sequence in a Sequence is not supported")
        }
        let found = try ends(step, place)
        guard found == (nil, nil) || result == (nil, nil) else {
          throw wrong(place, "more than one processor adds tokens, which is not supported")
        }
        if found != (nil, nil) { result = found }
      }
      return result
    case "TemplateProcessing": return try template(object, place)
    default: throw wrong(place, "the type \(type.shortened) is not supported")
    }
  }

  private static func template(
    _ object: JSONObject, _ place: String
  ) throws -> (before: String?, after: String?) {
    let place = place + ".single"
    guard let pieces = object["single"]?.arrayValue else { throw wrong(place, "is not a list") }
    var result: (before: String?, after: String?) = (nil, nil)
    var hasText = false
    for piece in pieces {
      guard let piece = piece.objectValue, let (kind, value) = piece.first, piece.count == 1,
        let name = value.objectValue?["id"]?.stringValue
      else { throw wrong(place, "has an entry that is neither SpecialToken nor Sequence") }
      switch kind {
      case "Sequence":
        guard name == "A", !hasText else { throw wrong(place, "is not about one text") }
        hasText = true
      case "SpecialToken":
        guard (hasText ? result.after : result.before) == nil else {
          throw wrong(place, "puts more than one token at an end, which is not supported")
        }
        // The template has names of its own for tokens, nearly always the spellings.
        let entry = object["special_tokens"]?.objectValue?[name]?.objectValue
        guard let spellings = entry?["tokens"]?.arrayValue, spellings.count == 1,
          let spelling = spellings[0].stringValue
        else { throw wrong(place, "\"\(name.shortened)\" is not one token of special_tokens") }
        if hasText { result.after = spelling } else { result.before = spelling }
      default: throw wrong(place, "has a \(kind.shortened)")
      }
    }
    guard hasText else { throw wrong(place, "leaves the text out") }
    return result
  }
}
