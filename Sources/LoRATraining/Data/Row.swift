// One row of a data file, read and checked, before it becomes tokens.

import LoRAJSON

/// The forms that rows come in; a file has one of them.
public enum DataFormat: String, Sendable, CaseIterable {
  /// `{"messages": [{"role", "content"}…]}`
  case messages
  /// `{"conversations": [{"from", "value"}…]}`, as ShareGPT has it.
  case conversations
  /// `{"prompt", "completion"}`, both texts or both lists of messages.
  case promptCompletion = "prompt and completion"
  /// `{"instruction", "input"?, "output"}`
  case instruction
  /// `{"text"}`
  case text

  /// The keys by which the form is known: what is asked, then what is learned.
  var keys: [String] {
    switch self {
    case .messages: ["messages"]
    case .conversations: ["conversations"]
    case .promptCompletion: ["prompt", "completion"]
    case .instruction: ["instruction", "output"]
    case .text: ["text"]
    }
  }
}

/// What a row says.
enum Row: Sendable {
  case conversation(Conversation)
  case completion(prompt: String, completion: String)
  case text(String)

  /// What the row's author wrote, without what a template adds.
  var texts: [String] {
    switch self {
    case .conversation(let conversation): conversation.messages.map(Messages.content)
    case .completion(let prompt, let completion): [prompt, completion]
    case .text(let text): [text]
    }
  }
}

/// A row with its form.
struct ParsedRow: Sendable {
  let row: Row
  let format: DataFormat
  /// What its keys give reason to say.
  let oddities: [Oddity]

  /// Reads a row.
  ///
  /// - Throws: `DataError` without a place.
  init(_ text: String) throws {
    let value: JSONValue
    do {
      value = try JSONValue(parsing: text)
    } catch let error as JSONError {
      let place = error.line > 1 ? "line \(error.line) of the row, " : ""
      throw DataError(
        message: "not JSON: \(error.message) (\(place)column \(error.column))",
        hint: Row.hint(for: text))
    }
    guard let object = value.objectValue else {
      throw DataError(message: "the row is \(value.kind), not an object", hint: Row.hint(for: text))
    }
    try self.init(object)
  }

  /// Reads the object of a row.
  ///
  /// - Parameter isQuestion: whether the answer may be missing: the row is asked, not learned.
  /// - Throws: `DataError` without a place.
  init(_ given: JSONObject, isQuestion: Bool = false) throws {
    // Arrow and Parquet write every column in every row: what has no value is null.
    let object = given.withoutNulls
    format = try Row.format(of: object)
    if let key = format.keys.first(where: { object[$0] == nil }),
      !isQuestion || key == format.keys[0]
    {
      throw Row.missing(key, in: object, format)
    }
    var fields = RowFields(object, format, isQuestion: isQuestion)
    row = try fields.row()
    oddities = fields.oddities + Row.keyOddities(object, format, row)
  }

  /// The first key that could not be left out without a loss, as an error: for rows that are read
  /// alone. A file of rows has each key named once.
  func checkKeys() throws {
    for case .refusedKey(let key, let remedy) in oddities {
      throw DataError(
        message: "the key \"\(key)\" is not used: \(remedy)", hint: Row.keyHint([key]))
    }
  }
}

extension Row {
  fileprivate static func format(of object: JSONObject) throws -> DataFormat {
    let found = DataFormat.allCases.filter { format in
      format.keys.contains { object[$0] != nil }
    }
    if let format = found.first, found.count == 1 { return format }
    guard found.isEmpty else {
      let keys = found.map { format in format.keys.filter { object[$0] != nil } }.joined()
      throw DataError(
        message: "the row has the keys of two forms: " + keys.joined(separator: ", "),
        hint: "remove the keys that are not to be trained on")
    }
    throw unknown(object)
  }
}

/// Reads the values of a row's keys.
private struct RowFields {
  let object: JSONObject
  let format: DataFormat
  let isQuestion: Bool
  var oddities: [Oddity] = []

  init(_ object: JSONObject, _ format: DataFormat, isQuestion: Bool) {
    (self.object, self.format, self.isQuestion) = (object, format, isQuestion)
  }

  mutating func row() throws -> Row {
    switch format {
    case .messages, .conversations:
      return try conversation { reader, fields in
        let key = fields.format.keys[0]
        try reader.read(fields.list(key), key: key, isLearned: true)
      }
    case .promptCompletion:
      guard object["prompt"]?.arrayValue != nil || object["completion"]?.arrayValue != nil else {
        return .completion(
          prompt: try text("prompt"),
          completion: object["completion"] == nil ? "" : try text("completion", filled: true))
      }
      return try conversation { reader, fields in
        try reader.read(fields.list("prompt"), key: "prompt", isLearned: false)
        if fields.object["completion"] != nil {
          try reader.read(fields.list("completion"), key: "completion", isLearned: true)
        }
      }
    case .instruction:
      let instruction = try text("instruction", filled: true)
      let input = object["input"] == nil ? "" : try text("input")
      let question = input.isEmpty ? instruction : instruction + "\n\n" + input
      let output = object["output"] == nil ? nil : try text("output", filled: true)
      return try conversation { reader, _ in
        reader.add(role: "user", question, key: "instruction")
        if let output { reader.add(role: "assistant", output, key: "output") }
      }
    case .text: return .text(try text("text", filled: true))
    }
  }

  /// A conversation with the row's system message and tools.
  private mutating func conversation(
    _ read: (inout MessageReader, RowFields) throws -> Void
  ) throws -> Row {
    var reader = MessageReader()
    if let system = object["system"], !system.isBlankValue {
      reader.add(role: "system", try text("system"), key: "system")
    }
    try read(&reader, self)
    var conversation = try reader.conversation(needsAnswer: !isQuestion)
    conversation.tools = try Tools.list(object["tools"], &reader.hasNullValue)
    try Tools.checkParallelCalls(object["parallel_tool_calls"], conversation)
    if reader.hasNullValue { reader.oddities.append(.nullValue) }
    oddities += reader.oddities
    return .conversation(conversation)
  }

  private func list(_ key: String) throws -> [JSONValue] {
    let value = object[key] ?? .null
    guard let list = value.arrayValue else {
      throw DataError(
        message: "\(key) is \(value.kind), not a list",
        hint: value.stringValue?.first == "["
          ? "it is a list as text: jq -c '.\(key) |= fromjson' FILE > rows.jsonl decodes it"
          : "it is a list like [{\"role\": \"user\", \"content\": \"…\"}]")
    }
    guard !list.isEmpty else {
      throw DataError(message: "\(key) is empty", hint: "remove the row, or fill it")
    }
    return list
  }

  private func text(_ key: String, filled: Bool = false) throws -> String {
    let value = object[key] ?? .null
    guard let text = value.stringValue else {
      throw DataError(
        message: "\(key) is \(value.kind), not a string", hint: "write the value in quotes")
    }
    guard !filled || !text.isEmpty else {
      throw DataError(
        message: "\(key) is empty: there is nothing to learn from",
        hint: "remove the row, or fill it"
      )
    }
    return text
  }
}
