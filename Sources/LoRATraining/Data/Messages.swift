// The messages of a conversation: what each must have.

import LoRAJSON

enum Messages {
  static let roles = ["system", "user", "assistant", "tool"]

  /// What other tools call them.
  private static let otherRoles = [
    "human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant",
    "ai": "assistant", "chatgpt": "assistant", "function": "tool", "observation": "tool",
    "ipython": "tool", "developer": "system",
  ]

  /// Checks a list of messages.
  ///
  /// - Parameter mustAnswer: whether one of them has to be the assistant's.
  /// - Throws: `DataError` without a place.
  static func check(_ messages: [JSONValue], key: String, mustAnswer: Bool) throws {
    var answers = false
    for (index, message) in messages.enumerated() {
      let place = "\(key)[\(index)]"
      guard let object = message.objectValue else {
        throw DataError(
          message: "\(place) is \(message.kind), not an object",
          hint: "a message looks like {\"role\": \"user\", \"content\": \"…\"}")
      }
      guard let role = object["role"]?.stringValue else {
        throw DataError(
          message: "\(place) has no role",
          hint: object["from"] == nil
            ? "the role is one of " + roles.joined(separator: ", ")
            : "rename from to role (human is user, gpt is assistant) and value to content")
      }
      guard roles.contains(role) else {
        let near =
          (otherRoles[role] ?? role.nearest(in: roles)).map { "did you mean \"\($0)\"? " } ?? ""
        throw DataError(
          message: "\(place) has the unknown role \"\(role.shortened)\"",
          hint: near + "the roles are " + roles.joined(separator: ", "))
      }
      try checkContent(object, role: role, place: place)
      answers = answers || role == "assistant"
    }
    guard answers || !mustAnswer else {
      throw DataError(
        message: "no message of \(key) is the assistant's: there is nothing to learn from",
        hint: "add the answer, with the role assistant")
    }
  }

  private static func checkContent(_ object: JSONObject, role: String, place: String) throws {
    let hasCalls = role == "assistant" && object["tool_calls"]?.arrayValue?.isEmpty == false
    let content = object["content"] ?? .null
    if let text = content.stringValue {
      guard role != "assistant" || !text.isEmpty || hasCalls else {
        throw DataError(
          message: "the answer \(place) is empty: there is nothing to learn from",
          hint: "remove the row, or fill in the content")
      }
      return
    }
    guard content == .null else {
      throw DataError(
        message: "the content of \(place) is \(content.kind), not a string",
        hint: "only texts are supported: write the content as one string")
    }
    guard hasCalls else {
      throw DataError(message: "\(place) has no content", hint: "add the key content with a text")
    }
  }

  /// A message's text; empty where it only calls tools.
  static func content(_ message: JSONValue) -> String {
    message.objectValue?["content"]?.stringValue ?? ""
  }

  static func role(_ message: JSONValue) -> String {
    message.objectValue?["role"]?.stringValue ?? ""
  }
}
