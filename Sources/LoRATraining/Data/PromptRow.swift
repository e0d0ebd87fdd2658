// A row that is asked: what stands before its answer.

public import LoRAJSON

/// What a model is asked, read from the object of a row: the same object gives the same prompt
/// wherever it is read.
public struct PromptRow: Sendable {
  let row: Row
  /// What is asked, for people: the last message before the answer, or the prompt.
  let question: String
  /// The answer that the row has; empty where it has none.
  let answer: String

  /// Whether the row had an answer, which is not part of the prompt.
  package var hasAnswer: Bool { !answer.isEmpty }

  /// Reads a list of messages, or the object of a row of any form but `text`.
  ///
  /// - Throws: `DataError` without a place, also for keys that are not used.
  public init(_ value: JSONValue) throws {
    if case .array = value {
      try self.init(object: ["messages": value])
    } else if let object = value.objectValue {
      try self.init(object: object)
    } else {
      throw DataError(
        message: "this is \(value.kind), not a list of messages or an object",
        hint: "it is a list like [{\"role\": \"user\", \"content\": \"…\"}]")
    }
  }

  private init(object: JSONObject) throws {
    let parsed = try ParsedRow(object, isQuestion: true)
    try parsed.checkKeys()
    for case .unknownKey(let key) in parsed.oddities {
      throw DataError(message: "the key \"\(key.shortened)\" is not used", hint: "take it out")
    }
    try self.init(parsed, cutsAnswer: false)
  }

  /// A conversation that is asked as it is.
  init(messages: [JSONValue], tools: [JSONValue]?) throws {
    var object: JSONObject = ["messages": .array(messages)]
    if let tools { object["tools"] = .array(tools) }
    row = try ParsedRow(object, isQuestion: true).row
    (question, answer) = ("", "")
  }

  /// A row up to its last answer that is learned.
  ///
  /// - Parameter cutsAnswer: whether messages behind that answer are cut too.
  init(_ parsed: ParsedRow, cutsAnswer: Bool) throws {
    switch parsed.row {
    case .text:
      throw DataError(
        message: "rows with text ask nothing, so there is no answer to compare",
        hint: "use rows with messages, prompt and completion, or instruction and output")
    case .completion(let prompt, let completion):
      (row, question, answer) = (parsed.row, prompt, completion)
    case .conversation(let conversation):
      let messages = conversation.messages
      let endsInAnswer = messages.last.map(Messages.role) == "assistant"
      guard cutsAnswer || endsInAnswer else {
        (row, question, answer) = (parsed.row, Messages.content(messages[messages.count - 1]), "")
        return
      }
      let last = conversation.learned.last ?? messages.count - 1
      row = .conversation(conversation.prefix(last))
      question = last > 0 ? Messages.content(messages[last - 1]) : ""
      answer = Messages.content(messages[last])
    }
  }
}

extension TextEncoder {
  /// The tokens of what is asked, up to where the answer begins.
  ///
  /// - Throws: `DataError` where the template refuses the messages.
  public func prompt(_ asked: PromptRow) throws -> [Int32] {
    switch asked.row {
    case .conversation(let conversation):
      return tokens(try render(traits.adapted(conversation), addGenerationPrompt: true))
    case .completion(let prompt, _): return start(prompt)
    case .text(let text): return start(text)
    }
  }

  /// What the row says and its prompt does not: `the tools`.
  package func losses(of asked: PromptRow) throws -> [String] {
    guard case .conversation(let given) = asked.row else { return [] }
    let conversation = traits.adapted(given)
    let whole = try render(conversation, addGenerationPrompt: true)
    return try losses(conversation, in: whole, addGenerationPrompt: true).compactMap {
      if case .notRendered(let what) = $0 { what } else { nil }
    }
  }
}
