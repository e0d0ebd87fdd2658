// The chat template of a model: its own Jinja text, rendered as transformers renders it.

public import LoRAJSON

/// A model's chat template in Jinja, as `tokenizer_config.json` or a GGUF file carries it.
///
/// Renders what transformers' `apply_chat_template` renders: `trim_blocks` and `lstrip_blocks`
/// on, lists and dictionaries immutable, `tojson` with the order of keys kept, and undefined
/// values that print as nothing. What the interpreter does not know is an error.
public struct ChatTemplate: Sendable {
  /// The Jinja text.
  public let source: String
  /// The day that `strftime_now` writes; nil: the moment of each rendering.
  public var date: TemplateDate?
  /// Whether the template may write the day of the rendering.
  public var asksForDate: Bool { program.names.contains("strftime_now") }

  private let text: TemplateSource
  private let program: TemplateProgram

  /// Parses a template.
  /// - Throws: `ChatTemplateError` for faulty syntax and for what is not supported.
  public init(_ source: String) throws {
    self.source = source
    text = TemplateSource(source)
    do {
      var lexer = TemplateLexer(text)
      var parser = TemplateParser(try lexer.tokenize())
      program = try parser.parse()
    } catch let fault as TemplateFault {
      throw ChatTemplateError(fault, in: text)
    }
  }

  /// Whether the template reads a variable of this name.
  public func reads(_ variable: String) -> Bool { program.readNames.contains(variable) }

  /// The names of everything that the template reads, sorted.
  public var readVariables: [String] { program.readNames.sorted() }

  /// What has a parameter of its own when a conversation is rendered.
  package static let reservedVariables = ["messages", "tools", "add_generation_prompt"]

  /// Renders a conversation.
  ///
  /// - Parameters:
  ///   - messages: objects, usually with "role" and "content".
  ///   - addGenerationPrompt: whether the text ends where the assistant's answer starts.
  ///   - tools: the tools as JSON schemas, nil for none.
  ///   - bosToken: the text of the token, undefined in the template when nil.
  ///   - eosToken: the text of the token, undefined in the template when nil.
  ///   - variables: more variables, such as `documents`, `enable_thinking` or `pad_token`.
  /// - Throws: `ChatTemplateError`, also when the template itself refuses the conversation.
  public func render(
    messages: [JSONValue], addGenerationPrompt: Bool, tools: [JSONValue]? = nil,
    bosToken: String?, eosToken: String?, variables: [String: JSONValue] = [:]
  ) throws -> String {
    do {
      var values: [String: TemplateValue] = ["documents": .none]
      if let bosToken { values["bos_token"] = .string(bosToken) }
      if let eosToken { values["eos_token"] = .string(eosToken) }
      for (name, value) in variables {
        if Self.reservedVariables.contains(name) {
          throw TemplateFault(
            "the variable '\(name)' is given twice", hint: "It has a parameter of its own.")
        }
        values[name] = try TemplateValue(value)
      }
      values["messages"] = try TemplateValue(.array(messages.map(Self.withReasoning)))
      values["tools"] = try tools.map { try TemplateValue(.array($0)) } ?? TemplateValue.none
      values["add_generation_prompt"] = .bool(addGenerationPrompt)
      return try TemplateInterpreter(program, now: date?.seconds).render(values)
    } catch let fault as TemplateFault {
      throw ChatTemplateError(fault, in: text)
    }
  }

  /// Names a message's reasoning as templates look for it, whichever name it came under.
  private static func withReasoning(_ message: JSONValue) throws -> JSONValue {
    guard case .object(let object) = message else {
      throw TemplateFault(
        "a message is \(message.kind) instead of an object",
        hint: "A message looks like {\"role\": \"user\", \"content\": \"…\"}.")
    }
    let names = ["reasoning_content", "thinking", "reasoning"]
    let reasoning = names.lazy.compactMap { object[$0] }.first { $0 != .null }
    guard let reasoning else { return message }
    var result: JSONObject = ["thinking": reasoning]
    for (key, value) in object { result[key] = value }
    result["reasoning_content"] = reasoning
    return .object(result)
  }
}
