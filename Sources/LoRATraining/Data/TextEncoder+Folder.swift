// The tokenizer and chat template of a folder as Hugging Face lays it out.

package import LoRAFormats
import LoRAJSON
import LoRAText

extension TextEncoder {
  /// The tokenizer and template of a folder: tokenizer.json, tokenizer_config.json (or
  /// special_tokens_map.json), chat_template.jinja, and the stop tokens of generation_config.json.
  ///
  /// - Throws: `ModelFileError` naming the file and key, or what is wrong with the template.
  package init(folder: ModelFolder) throws {
    let files = TokenizerFolder(folder: folder)
    self.init(tokenizer: try files.tokenizer(), chatTemplate: try files.chatTemplate())
  }
}

/// Reads the files of a folder that are about text.
private struct TokenizerFolder {
  let folder: ModelFolder

  private static let settings = "tokenizer_config.json"
  private static let file = "tokenizer.json"

  func tokenizer() throws -> Tokenizer {
    guard let object = try folder.object(Self.file) else {
      let other = ["tokenizer.model", "vocab.json", "vocab.txt"].first(where: folder.has)
      throw ModelFileError(
        file: folder.path, message: "the folder has no \(Self.file)",
        hint: other.map {
          "only \(Self.file) is read, not \($0): save the tokenizer with transformers"
        }
          ?? "fetch the file into the folder")
    }
    do {
      var description = try TokenizerDescription(tokenizerJSON: object)
      try addSettings(to: &description)
      return try Tokenizer(description)
    } catch let error as TokenizerError {
      throw folder.failure(Self.file, error.message, hint: error.hint)
    }
  }

  /// Adds what the other files say about BOS, EOS and the tokens that end a text.
  private func addSettings(to description: inout TokenizerDescription) throws {
    let settings = try folder.object(Self.settings) ?? [:]
    let oldSettings = try folder.object("special_tokens_map.json") ?? [:]
    let known = description
    func token(_ key: String) throws -> Int32? {
      for (file, object) in [(Self.settings, settings), ("special_tokens_map.json", oldSettings)] {
        guard let value = object[key], value != .null else { continue }
        guard let spelling = value.stringValue ?? value.objectValue?["content"]?.stringValue else {
          throw folder.failure(
            file, "\(key): is \(value.kind), not a token", hint: "write the token's spelling")
        }
        guard let id = known.tokenID(spelling) else {
          throw folder.failure(
            file, "\(key): \"\(spelling.shortened)\" is not a token of \(Self.file)",
            hint: "the two files do not belong together: fetch them again")
        }
        return id
      }
      return nil
    }
    try checkAddedTokens(settings["added_tokens_decoder"], known)
    let bos = try token("bos_token") ?? identifiers("config.json", "bos_token_id").first
    let eos = try token("eos_token") ?? identifiers("config.json", "eos_token_id").first
    // As transformers 5 has it: where the settings speak of either, they decide on both, and
    // tokenizer.json's post-processor is not asked.
    let flags = try ["add_bos_token", "add_eos_token"].map { key -> Bool? in
      guard let value = settings[key], value != .null else { return nil }
      guard let flag = value.boolValue else {
        throw folder.failure(
          Self.settings, "\(key): is \(value.kind)", hint: "write true or false")
      }
      return flag
    }
    if flags.contains(where: { $0 != nil }) {
      description.addBOS = flags[0] == true && bos != nil
      description.addEOS = flags[1] == true && eos != nil
    } else {
      try checkEnd(description.bosTokenID, bos, "bos_token")
      try checkEnd(description.eosTokenID, eos, "eos_token")
    }
    description.bosTokenID = bos ?? description.bosTokenID
    description.eosTokenID = eos ?? description.eosTokenID
    description.paddingTokenID = try token("pad_token")
    description.unknownTokenID = try token("unk_token")
    let stops = try identifiers("generation_config.json", "eos_token_id")
    description.stopTokenIDs = Set(
      stops.isEmpty ? try identifiers("config.json", "eos_token_id") : stops)
  }

  private func checkEnd(_ template: Int32?, _ settings: Int32?, _ key: String) throws {
    guard let template, let settings, template != settings else { return }
    throw folder.failure(
      Self.settings,
      "\(key): is the token \(settings), but \(Self.file) adds the token \(template)",
      hint: "the two files do not belong together: fetch them again")
  }

  /// The ids under a key of a file: none, one or a list.
  private func identifiers(_ file: String, _ key: String) throws -> [Int32] {
    guard let value = try folder.object(file)?[key], value != .null else { return [] }
    return try (value.arrayValue ?? [value]).map { element in
      guard let id = element.integerValue.flatMap({ Int32(exactly: $0) }) else {
        throw folder.failure(
          file, "\(key): \(value.serialized(.compact).shortened) is not an id or a list of ids",
          hint: "write the number of the token that ends a text")
      }
      return id
    }
  }

  /// Tokens that only tokenizer_config.json has would be added by transformers: refused instead.
  private func checkAddedTokens(_ value: JSONValue?, _ known: TokenizerDescription) throws {
    guard let entries = value?.objectValue else { return }
    for (key, entry) in entries {
      guard let content = entry.objectValue?["content"]?.stringValue else { continue }
      guard let id = Int(key), known.tokens.indices.contains(id),
        known.tokens[id].hasSameBytes(as: content)
      else {
        throw folder.failure(
          Self.settings,
          "added_tokens_decoder.\(key.shortened): \"\(content.shortened)\" is not this token of "
            + Self.file,
          hint: "the two files do not belong together: save the tokenizer with transformers again")
      }
    }
  }

  func chatTemplate() throws -> ChatTemplate? {
    let file = "chat_template.jinja"
    if let mapped = try folder.bytes(of: file) {
      let text = withExtendedLifetime(mapped) { String(decoding: mapped.bytes, as: UTF8.self) }
      return try parsed(text, file, "")
    }
    guard let value = try folder.object(Self.settings)?["chat_template"], value != .null else {
      return nil
    }
    let key = "chat_template"
    if let text = value.stringValue { return try parsed(text, Self.settings, key + ": ") }
    // Several by name: the one called default is for conversations.
    let named = value.arrayValue?.first { $0.objectValue?["name"] == "default" }
    guard let text = named?.objectValue?["template"]?.stringValue else {
      throw folder.failure(
        Self.settings, "\(key): is neither a template nor a list with one named default",
        hint: "write the template as one string")
    }
    return try parsed(text, Self.settings, key + ".default: ")
  }

  private func parsed(_ text: String, _ file: String, _ place: String) throws -> ChatTemplate {
    do {
      return try ChatTemplate(text)
    } catch let error as ChatTemplateError {
      throw folder.failure(
        file, place + error.description, hint: "the template uses what is not supported")
    }
  }
}
