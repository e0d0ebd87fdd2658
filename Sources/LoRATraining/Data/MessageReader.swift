// Reads the messages of a row: what each must have, and what each key of it does.

import LoRAJSON

/// Collects the messages of a conversation; every key acts, is handed to the template, is refused, or
/// is known not to matter.
struct MessageReader {
  var hasNullValue = false
  var oddities: [Oddity] = []
  private var messages: [JSONValue] = []
  private var learned: [Int] = []
  private var lists: [(key: String, start: Int)] = []
  private var isPlain = true
  private var answers = 0
  /// The list whose answers are learned.
  private var learnedKey = "messages"
  private var callIdentifiers: Set<String> = []

  /// Adds a message that the row has under a key of its own.
  mutating func add(role: String, _ content: String, key: String) {
    lists.append((key, messages.count))
    if role == "assistant" { learned.append(messages.count) }
    answers += role == "assistant" ? 1 : 0
    messages.append(.object(["role": .string(role), "content": .string(content)]))
  }

  /// Reads a list of messages.
  ///
  /// - Parameter isLearned: whether its answers carry loss unless their weight is 0.
  /// - Throws: `DataError` without a place.
  mutating func read(_ list: [JSONValue], key: String, isLearned: Bool) throws {
    if isLearned { learnedKey = key }
    let hasSystem = lists.last?.key == "system"
    lists.append((key, messages.count))
    for (index, message) in list.enumerated() {
      let place = "\(key)[\(index)]"
      guard let given = message.objectValue else {
        throw DataError(
          message: "\(place) is \(message.kind), not an object",
          hint: "a message looks like {\"role\": \"user\", \"content\": \"…\"}")
      }
      var object = given.withoutNulls
      if object["role"] == nil, object["from"] != nil { try Self.rename(&object, place) }
      let role = try Self.role(object, place)
      guard !hasSystem || index > 0 || !["system", Messages.developer].contains(role) else {
        throw DataError(
          message: "the row has a system message of its own, and \(place) is another",
          hint: "keep one of them")
      }
      if object.count > 2 || object["content"]?.stringValue == nil {
        try readKeys(&object, role, place)
      }
      try Self.checkContent(object, role: role, place: place)
      if role == "assistant" {
        answers += 1
        if try Self.weight(&object, place, mayBeLearned: isLearned) ?? isLearned {
          learned.append(messages.count)
        }
      } else {
        _ = try Self.weight(&object, place, mayBeLearned: false)
      }
      if object.count > 2 || object["content"] == nil || role == Messages.developer {
        isPlain = false
      }
      messages.append(.object(object))
    }
  }

  /// The conversation, without tools.
  func conversation(needsAnswer: Bool) throws -> Conversation {
    if needsAnswer, learned.isEmpty {
      throw answers == 0
        ? DataError(
          message: "no message of \(learnedKey) is the assistant's: there is nothing to learn from",
          hint: "add the answer, with the role assistant")
        : DataError(
          message: "every answer of \(learnedKey) has weight 0: there is nothing to learn from",
          hint: "remove the row, or the weight of an answer")
    }
    return Conversation(
      messages: messages, tools: nil, learned: learned, lists: lists, isPlain: isPlain)
  }

  private static func role(_ object: JSONObject, _ place: String) throws -> String {
    guard let role = object["role"]?.stringValue else {
      throw DataError(
        message: "\(place) has no role",
        hint: "the role is one of " + Messages.roles.joined(separator: ", "))
    }
    guard Messages.roles.contains(role) || role == Messages.developer else {
      let near =
        (Messages.otherRoles[role] ?? role.nearest(in: Messages.roles))
        .map { "did you mean \"\($0)\"? " } ?? ""
      throw DataError(
        message: "\(place) has the unknown role \"\(role.shortened)\"",
        hint: near + "the roles are " + Messages.roles.joined(separator: ", "))
    }
    return role
  }

  /// ShareGPT's `from` and `value` become role and content.
  private static func rename(_ object: inout JSONObject, _ place: String) throws {
    let from = object["from"]?.stringValue ?? ""
    let known = Messages.roles + [Messages.developer]
    guard let role = Messages.otherRoles[from] ?? known.first(where: { $0 == from }) else {
      throw DataError(
        message: "\(place) is from \"\(from.shortened)\", which is not known",
        hint: "known are human, gpt, system, observation, function_call, and the roles "
          + Messages.roles.joined(separator: ", "))
    }
    var message: JSONObject = ["role": .string(role)]
    if from == "function_call" {
      guard let text = object["value"]?.stringValue, let call = try? JSONValue(parsing: text) else {
        throw DataError(
          message: "the value of \(place) is not the JSON of a function call",
          hint: #"it is a text like {"name": "…", "arguments": {…}}"#)
      }
      message["tool_calls"] = call.arrayValue == nil ? [call] : call
    } else {
      message["content"] = object["value"]
    }
    for (key, value) in object where key != "from" && key != "value" { message[key] = value }
    object = message
  }

  /// What the keys beside role and content do.
  private mutating func readKeys(
    _ object: inout JSONObject, _ role: String, _ place: String
  ) throws {
    if let parts = object["content"]?.arrayValue {
      object["content"] = .string(try Self.joined(parts, place))
    }
    for (key, value) in object where key != "role" && key != "content" && key != "weight" {
      guard !value.isBlankValue else {
        // An empty list of calls is none; templates that ask whether the key is there differ.
        object[key] = nil
        continue
      }
      if let remedy = Row.remedy(forMessageKey: key, role: role) {
        throw DataError(
          message: "\(place) has the key \"\(key.shortened)\", which is not used: \(remedy)",
          hint: "what could be meant is never left out silently: rename it, or take it out")
      }
      if key == "tool_call_id" || !Row.isHarmless(key) { continue }
      let unused = Oddity.unusedKey("\(key) of messages")
      if !oddities.contains(unused) { oddities.append(unused) }
    }
    if let calls = object["tool_calls"] {
      let list = try Tools.calls(calls, place, &hasNullValue)
      object["tool_calls"] = list.isEmpty ? nil : .array(list)
      for call in list {
        if let id = call.objectValue?["id"]?.stringValue { callIdentifiers.insert(id) }
      }
    }
    if let id = object["tool_call_id"] {
      guard let text = id.stringValue else {
        throw DataError(
          message: "the tool_call_id of \(place) is \(id.kind), not a string",
          hint: "it is the id of the call that the message answers")
      }
      guard callIdentifiers.isEmpty || callIdentifiers.contains(text) else {
        throw DataError(
          message: "the tool_call_id of \(place) is \"\(text.shortened)\", and no call before it "
            + "has that id",
          hint: "it is the id of the call that the message answers")
      }
    }
  }

  /// 0 leaves an answer out of the loss, 1 is as if it were not there.
  private static func weight(
    _ object: inout JSONObject, _ place: String, mayBeLearned: Bool
  ) throws -> Bool? {
    guard let value = object["weight"] else { return nil }
    guard let number = value.numberValue, number == 0 || number == 1 else {
      let text = value.serialized(.compact).shortened
      throw DataError(
        message: "the weight of \(place) is \(text): it is 0 or 1",
        hint: "0 leaves the answer out of the loss, 1 learns it")
    }
    guard number == 0 || mayBeLearned else {
      throw DataError(
        message: "\(place) has weight 1, but it is not learned",
        hint: "only the assistant's messages are, of prompt and completion those of the "
          + "completion: remove the weight")
    }
    object["weight"] = nil
    return number == 1
  }

  /// The texts of a content that is a list of parts, as written, one behind the other.
  private static func joined(_ parts: [JSONValue], _ place: String) throws -> String {
    var text = ""
    for (index, part) in parts.enumerated() {
      let object = part.objectValue?.withoutNulls ?? [:]
      guard object["type"]?.stringValue == "text", let piece = object["text"]?.stringValue else {
        let type = object["type"]?.stringValue.map { "of the type \"\($0.shortened)\"" }
        throw DataError(
          message: "content[\(index)] of \(place) is \(type ?? part.kind), not a text",
          hint: #"only texts are trained on: {"type": "text", "text": "…"}"#)
      }
      if let key = object.first(where: { !["type", "text"].contains($0.key) })?.key {
        throw DataError(
          message: "content[\(index)] of \(place) has the key \"\(key.shortened)\", which is not "
            + "used", hint: "take it out; of a text, type and text are read")
      }
      text += piece
    }
    return text
  }

  private static func checkContent(_ object: JSONObject, role: String, place: String) throws {
    let hasCalls = object["tool_calls"] != nil
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
}
