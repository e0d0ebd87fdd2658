// A conversation as a chat template takes it, and which of its turns are learned.

import LoRAJSON

/// Messages with their tools, each key checked and brought into the one form that templates know.
struct Conversation: Sendable {
  /// Objects with role and content; no value in them is null.
  var messages: [JSONValue]
  var tools: [JSONValue]?
  /// The places of the assistant's turns that carry loss, in order.
  var learned: [Int]
  /// The lists of the row that the messages come from, each with the place of its first.
  var lists: [(key: String, start: Int)]
  /// Whether the messages have role and content alone.
  var isPlain: Bool

  /// `messages[2]`, as the row's author finds it.
  func place(_ index: Int) -> String {
    guard let list = lists.last(where: { $0.start <= index }) else { return "messages[\(index)]" }
    return ["messages", "conversations", "prompt", "completion"].contains(list.key)
      ? "\(list.key)[\(index - list.start)]" : list.key
  }

  /// The conversation up to a message, without it.
  func prefix(_ count: Int) -> Conversation {
    var result = self
    result.messages = Array(messages.prefix(count))
    result.learned = learned.filter { $0 < count }
    return result
  }
}

extension JSONValue {
  /// Whether there is nothing in it: null, "", [] or {}.
  var isBlankValue: Bool {
    switch self {
    case .null: true
    case .string(let text): text.isEmpty
    case .array(let elements): elements.isEmpty
    case .object(let object): object.isEmpty
    default: false
    }
  }

  /// Without the members of objects that are null, at any depth.
  var withoutNullMembers: JSONValue {
    switch self {
    case .array(let elements): return .array(elements.map(\.withoutNullMembers))
    case .object(let object):
      return .object(
        JSONObject(
          object.lazy.filter { $0.value != .null }.map { ($0.key, $0.value.withoutNullMembers) }))
    default: return self
    }
  }

  /// Whether a member of an object in it is null.
  var hasNullMember: Bool {
    switch self {
    case .array(let elements): elements.contains(where: \.hasNullMember)
    case .object(let object): object.contains { $0.value == .null || $0.value.hasNullMember }
    default: false
    }
  }
}

extension JSONObject {
  /// Without the keys whose value is null.
  var withoutNulls: JSONObject {
    guard contains(where: { $0.value == .null }) else { return self }
    return JSONObject(lazy.filter { $0.value != .null }.map { ($0.key, $0.value) })
  }
}
