// The roles and texts of messages.

import LoRAJSON

enum Messages {
  static let roles = ["system", "user", "assistant", "tool"]
  /// What a model is told by whoever runs it, in OpenAI's newer rows; few templates know it.
  static let developer = "developer"

  /// What other tools call them.
  static let otherRoles = [
    "human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant",
    "ai": "assistant", "chatgpt": "assistant", "function": "tool", "observation": "tool",
    "ipython": "tool", "function_response": "tool", "function_call": "assistant",
  ]

  /// Where reasoning is kept, whichever name it has.
  static let reasoningKeys = ["reasoning_content", "thinking", "reasoning"]

  /// A message's text; empty where it only calls tools.
  static func content(_ message: JSONValue) -> String {
    message.objectValue?["content"]?.stringValue ?? ""
  }

  static func role(_ message: JSONValue) -> String {
    message.objectValue?["role"]?.stringValue ?? ""
  }

  static func hasCalls(_ message: JSONValue) -> Bool {
    message.objectValue?["tool_calls"] != nil
  }
}
