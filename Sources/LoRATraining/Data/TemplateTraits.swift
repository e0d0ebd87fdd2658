// What a chat template wants of tool calls and roles, found by asking it.

import LoRAJSON

/// How messages must be given so that a template renders what they hold.
struct TemplateTraits: Sendable, Hashable {
  /// Whether a call's arguments are an object, which the template writes as JSON itself; some paste
  /// OpenAI's text of it instead.
  var takesArgumentObjects = true
  /// Whether the content of a message that only calls tools is null; in others that prints "None".
  var takesNullContent = false
  /// Whether it knows the role developer.
  var knowsDeveloper = false

  /// The defaults suit a template that renders no calls.
  init() {}

  /// Renders a call in each way and takes the first that shows it as JSON.
  init(of source: String, render: ([JSONValue], [JSONValue]) throws -> String) {
    knowsDeveloper = source.contains(Messages.developer)
    guard source.contains("tool_calls") else { return }
    for (takesObjects, takesNull) in [(true, false), (true, true), (false, false), (false, true)] {
      let message = Self.call(
        arguments: takesObjects
          ? ["lora_key": "lora_value"] : .string(#"{"lora_key": "lora_value"}"#),
        content: takesNull ? .null : "")
      let question: JSONValue = .object(["role": "user", "content": "?"])
      guard let text = try? render([question, message], [Self.tool]) else { continue }
      // Python's way to print a dictionary, and a text put into quotes a second time.
      let isSpoilt = text.contains("'lora_key'") || text.contains(#"\"lora_key"#)
      if text.contains("lora_call"), text.contains("lora_value"), !isSpoilt {
        (takesArgumentObjects, takesNullContent) = (takesObjects, takesNull)
        return
      }
    }
  }

  /// Nine characters, as Mistral's templates demand of an id.
  private static func call(arguments: JSONValue, content: JSONValue) -> JSONValue {
    .object([
      "role": "assistant", "content": content,
      "tool_calls": [
        .object([
          "id": "call00001", "type": "function",
          "function": .object(["name": "lora_call", "arguments": arguments]),
        ])
      ],
    ])
  }

  private static let tool: JSONValue = .object([
    "type": "function",
    "function": .object([
      "name": "lora_tool", "description": "-",
      "parameters": .object(["type": "object", "properties": [:]]),
    ]),
  ])

  /// A conversation as the template wants it.
  func adapted(_ conversation: Conversation) -> Conversation {
    guard !conversation.isPlain else { return conversation }
    var result = conversation
    result.messages = conversation.messages.map(adapted)
    return result
  }

  private func adapted(_ message: JSONValue) -> JSONValue {
    guard var object = message.objectValue else { return message }
    if !knowsDeveloper, object["role"] == .string(Messages.developer) { object["role"] = "system" }
    if let calls = object["tool_calls"]?.arrayValue {
      object["tool_calls"] = .array(calls.map(adaptedCall))
      if Messages.content(message).isEmpty { object["content"] = takesNullContent ? .null : "" }
    }
    return .object(object)
  }

  private func adaptedCall(_ call: JSONValue) -> JSONValue {
    guard var object = call.objectValue, var function = object["function"]?.objectValue else {
      return call
    }
    switch (function["arguments"], takesArgumentObjects) {
    case (.string(let text)?, true):
      // Known to be one: the row was checked.
      function["arguments"] = (try? JSONValue(parsing: text)) ?? .string(text)
    case (.object(let arguments)?, false):
      function["arguments"] = .string(JSONValue.object(arguments).serialized(.python))
    default: return call
    }
    object["function"] = .object(function)
    return .object(object)
  }
}
