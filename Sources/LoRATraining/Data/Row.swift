// One line of a data file, read and checked, before it becomes tokens.

import LoRAJSON

/// The forms that rows come in; a file has one of them.
public enum DataFormat: String, Sendable, CaseIterable {
  /// `{"messages": [{"role", "content"}…]}`
  case messages
  /// `{"prompt", "completion"}`, both texts or both lists of messages.
  case promptCompletion = "prompt and completion"
  /// `{"instruction", "input"?, "output"}`
  case instruction
  /// `{"text"}`
  case text

  /// The keys by which the form is known.
  var keys: [String] {
    switch self {
    case .messages: ["messages"]
    case .promptCompletion: ["prompt", "completion"]
    case .instruction: ["instruction", "output"]
    case .text: ["text"]
    }
  }
}

/// What a row says.
enum Row {
  /// A conversation; the assistant's turns from `firstSupervised` on carry loss.
  case conversation(messages: [JSONValue], tools: [JSONValue]?, firstSupervised: Int)
  case completion(prompt: String, completion: String)
  case text(String)

  /// What the row's author wrote, without what a template adds.
  var texts: [String] {
    switch self {
    case .conversation(let messages, _, _): messages.map(Messages.content)
    case .completion(let prompt, let completion): [prompt, completion]
    case .text(let text): [text]
    }
  }

  /// Reads a row, and its form.
  ///
  /// - Throws: `DataError` without a place.
  static func parse(_ line: String) throws -> (row: Row, format: DataFormat) {
    let value: JSONValue
    do {
      value = try JSONValue(parsing: line)
    } catch let error as JSONError {
      throw DataError(
        message: "not JSON: \(error.message) (column \(error.column))", hint: hint(for: line))
    }
    guard let object = value.objectValue else {
      throw DataError(
        message: "the row is \(value.kind), not an object", hint: hint(for: line))
    }
    let format = try format(of: object)
    return (try parse(object, format), format)
  }

  /// What to do with a line that is no object.
  private static func hint(for line: String) -> String {
    if line.contains("\r") {
      return
        "the lines end in a carriage return alone: tr '\\r' '\\n' < FILE > rows.jsonl mends that"
    }
    if line.hasPrefix("[") {
      return "write one object a line: jq -c '.[]' does that to a JSON array"
    }
    if line == "{" { return "write one object a line: jq -c . does that" }
    return "every line is one JSON object, like {\"prompt\": \"…\", \"completion\": \"…\"}"
  }

  private static func format(of object: JSONObject) throws -> DataFormat {
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

  private static func parse(_ object: JSONObject, _ format: DataFormat) throws -> Row {
    if let key = format.keys.first(where: { object[$0] == nil }) {
      throw missing(key, in: object, format)
    }
    switch format {
    case .messages:
      let messages = try list(object, "messages")
      try Messages.check(messages, key: "messages", mustAnswer: true)
      return .conversation(
        messages: messages, tools: try tools(object), firstSupervised: 0)
    case .promptCompletion:
      if object["prompt"]?.arrayValue != nil || object["completion"]?.arrayValue != nil {
        let prompt = try list(object, "prompt")
        let completion = try list(object, "completion")
        try Messages.check(prompt, key: "prompt", mustAnswer: false)
        try Messages.check(completion, key: "completion", mustAnswer: true)
        return .conversation(
          messages: prompt + completion, tools: try tools(object), firstSupervised: prompt.count)
      }
      return .completion(
        prompt: try text(object, "prompt"), completion: try text(object, "completion", filled: true)
      )
    case .instruction:
      let instruction = try text(object, "instruction", filled: true)
      let input = try object["input"].map { _ in try text(object, "input") } ?? ""
      let output = try text(object, "output", filled: true)
      let question = input.isEmpty ? instruction : instruction + "\n\n" + input
      return .conversation(
        messages: [
          .object(["role": "user", "content": .string(question)]),
          .object(["role": "assistant", "content": .string(output)]),
        ], tools: nil, firstSupervised: 0)
    case .text:
      return .text(try text(object, "text", filled: true))
    }
  }

  private static func tools(_ object: JSONObject) throws -> [JSONValue]? {
    guard let value = object["tools"], value != .null else { return nil }
    return try list(object, "tools")
  }

  private static func list(_ object: JSONObject, _ key: String) throws -> [JSONValue] {
    let value = object[key] ?? .null
    guard let list = value.arrayValue else {
      throw DataError(
        message: "\(key) is \(value.kind), not a list",
        hint: "it is a list like [{\"role\": \"user\", \"content\": \"…\"}]")
    }
    guard !list.isEmpty else {
      throw DataError(message: "\(key) is empty", hint: "remove the row, or fill it")
    }
    return list
  }

  private static func text(
    _ object: JSONObject, _ key: String, filled: Bool = false
  ) throws -> String {
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
