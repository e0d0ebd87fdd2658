// What stands between text and tokens: the model's own tokenizer and chat template.

package import LoRAFormats
public import LoRAJSON
public import LoRAText

/// Turns conversations and texts into tokens as a model expects them.
public struct TextEncoder: Sendable {
  /// The tokenizer.
  public let tokenizer: Tokenizer
  /// The chat template; without one, conversations are an error.
  public private(set) var chatTemplate: ChatTemplate?
  /// What the template gets beside the messages, like enable_thinking.
  public private(set) var templateVariables = JSONObject()
  /// What the template wants of messages.
  private(set) var traits = TemplateTraits()

  /// An encoder from its parts.
  public init(tokenizer: Tokenizer, chatTemplate: ChatTemplate?) {
    self.tokenizer = tokenizer
    self.chatTemplate = chatTemplate
    findTraits()
  }

  private mutating func findTraits() {
    guard let chatTemplate else { return }
    traits = TemplateTraits(of: chatTemplate.source) {
      try render(chatTemplate, $0, tools: $1, addGenerationPrompt: false)
    }
  }

  /// The same, with the day that the template writes where it asks for today's.
  public func dated(_ date: TemplateDate?) -> TextEncoder {
    var encoder = self
    encoder.chatTemplate?.date = date
    return encoder
  }

  /// Whether the template writes the day into one of the first rows of a file.
  ///
  /// - Throws: `DataError` where a row is faulty.
  package func writesDate(intoRowsOf file: String) throws -> Bool {
    guard chatTemplate?.asksForDate == true else { return false }
    let days = ["2001-02-03", "2012-11-10"].map { dated(TemplateDate($0)) }
    var rows = try RowReader(file)
    for _ in 0..<100 {
      guard let row = try rows.next()?.row else { break }
      let tokens = try days.map { try $0.encodeText(row.row).tokens }
      if tokens[0] != tokens[1] { return true }
    }
    return false
  }

  /// The tokenizer and template of a GGUF file.
  ///
  /// - Throws: `ModelFileError` naming the key, or what is wrong with the tokenizer or template.
  package init(gguf: GGUFFile) throws {
    do {
      self.init(
        tokenizer: try Tokenizer(TokenizerDescription(gguf: gguf)),
        chatTemplate: try gguf.string("tokenizer.chat_template").map(ChatTemplate.init))
    } catch let error as TokenizerError {
      throw ModelFileError(file: gguf.path, message: error.message, hint: error.hint)
    } catch let error as ChatTemplateError {
      throw ModelFileError(
        file: gguf.path, message: "tokenizer.chat_template: \(error.description)",
        hint: "the template uses what is not supported: use another model file")
    }
  }

  /// The encoder with other variables for its template.
  ///
  /// - Throws: `DataError` naming a variable that the template does not read: it would do nothing.
  public func with(templateVariables: JSONObject) throws -> TextEncoder {
    for name in templateVariables.keys {
      guard let chatTemplate else {
        throw DataError(
          message: "the template variable \(name.shortened): the model has no chat template",
          hint: "leave it out, or use a model that was made for chat")
      }
      guard !ChatTemplate.reservedVariables.contains(name) else {
        throw DataError(
          message: "the template variable \(name) is made of the rows",
          hint: "write it into the rows instead")
      }
      guard chatTemplate.reads(name) else {
        let near = name.nearest(in: chatTemplate.readVariables)
        throw DataError(
          message: "the model's chat template reads no variable \(name.shortened)"
            + (near.map { "; did you mean \($0)?" } ?? ""),
          hint: "leave it out: it would change nothing")
      }
    }
    var encoder = self
    encoder.templateVariables = templateVariables
    encoder.findTraits()
    return encoder
  }

  /// The tokens of a conversation up to where the assistant's answer begins.
  ///
  /// - Parameter messages: objects with role and content.
  /// - Throws: `DataError` where the messages are faulty or the template refuses them.
  public func prompt(messages: [JSONValue], tools: [JSONValue]? = nil) throws -> [Int32] {
    try prompt(PromptRow(messages: messages, tools: tools))
  }

  /// The tokens of a conversation up to where the assistant's answer begins.
  public func prompt(messages: [(role: String, content: String)]) throws -> [Int32] {
    try prompt(
      messages: messages.map {
        .object(["role": .string($0.role), "content": .string($0.content)])
      })
  }

  /// The tokens of a text that is to be continued, with BOS where the model has it.
  public func prompt(text: String) -> [Int32] { start(text) }

  /// The tokens of a piece of a rendered template, which spells its special tokens itself.
  func tokens(_ text: String) -> [Int32] { tokenizer.encode(text, addSpecialTokens: false) }

  /// The tokens of the start of a text: BOS by the tokenizer's own rule, but never EOS, and no
  /// second BOS where the text spells it out.
  func start(_ text: String) -> [Int32] {
    let tokens = tokens(text)
    guard tokenizer.addsBOS, let bos = tokenizer.bosTokenID, tokens.first != bos else {
      return tokens
    }
    return [bos] + tokens
  }

  /// The text of a conversation, given as the template wants it.
  func render(_ conversation: Conversation, addGenerationPrompt: Bool) throws -> String {
    guard let chatTemplate else {
      throw DataError(
        message: "the model has no chat template, so it cannot hold conversations",
        hint: "use rows with prompt and completion, or a model that was made for chat")
    }
    do {
      return try render(
        chatTemplate, conversation.messages, tools: conversation.tools,
        addGenerationPrompt: addGenerationPrompt)
    } catch let error as ChatTemplateError {
      throw DataError(
        message: error.description, hint: "write the messages as the model's template expects them")
    }
  }

  private func render(
    _ template: ChatTemplate, _ messages: [JSONValue], tools: [JSONValue]?,
    addGenerationPrompt: Bool
  ) throws -> String {
    func text(_ id: Int32?) -> String? { id.flatMap { tokenizer.token($0) } }
    return try template.render(
      messages: messages, addGenerationPrompt: addGenerationPrompt, tools: tools,
      bosToken: text(tokenizer.bosTokenID), eosToken: text(tokenizer.eosTokenID),
      variables: Dictionary(uniqueKeysWithValues: templateVariables.map { ($0.key, $0.value) }))
  }
}
