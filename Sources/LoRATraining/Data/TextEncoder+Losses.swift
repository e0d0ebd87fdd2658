// What a row says and its rendered conversation does not: a field without which the text is the same.

import Foundation
import LoRAJSON

extension TextEncoder {
  /// The fields with content that the template does not render.
  ///
  /// A content that stands in the text is rendered; whatever else there is, is left out once, to see
  /// whether the text changes. Only rows with such fields are rendered more often for it.
  ///
  /// - Throws: `DataError` without a place where nothing of an answer is left, or a key is used by
  ///   nobody.
  func losses(
    _ conversation: Conversation, in whole: String, addGenerationPrompt: Bool = false
  ) throws -> [Oddity] {
    func isSame(_ conversation: Conversation) -> Bool {
      // A template that demands the field uses it.
      let text = try? render(conversation, addGenerationPrompt: addGenerationPrompt)
      return text?.hasSameBytes(as: whole) == true
    }
    var fields = Self.missingContents(conversation, in: whole)
    if !conversation.isPlain { fields += Self.furtherFields(conversation) }
    guard !fields.isEmpty || conversation.tools != nil else { return [] }
    var found: [Oddity] = []
    if conversation.tools != nil {
      var without = conversation
      without.tools = nil
      if isSame(without) { found.append(.notRendered("the tools")) }
    }
    let lost = fields.filter { isSame($0.removed(from: conversation)) }
    for field in lost {
      guard field.isKnown else {
        throw DataError(
          message: "\(conversation.place(field.messages[0])) has the key "
            + "\"\(field.key.shortened)\", which the chat template does not render",
          hint: "what could be meant is never left out silently: write it into the content, or "
            + "take it out")
      }
      let oddity = Oddity.notRendered("the \(field.key) of \(field.role) messages")
      if !found.contains(oddity) { found.append(oddity) }
    }
    if !lost.isEmpty { try checkAnswers(conversation, fields, lost) }
    return found
  }

  /// An answer of which the text has nothing is one that teaches to say nothing.
  private func checkAnswers(
    _ conversation: Conversation, _ fields: [Field], _ lost: [Field]
  ) throws {
    for index in conversation.learned {
      func own(_ fields: [Field]) -> [Field] { fields.filter { $0.messages == [index] } }
      let missing = own(lost)
      // A content that was found in the text is no field.
      let hasContent = !Messages.content(conversation.messages[index]).allSatisfy(\.isWhitespace)
      guard !missing.isEmpty, missing.count == own(fields).count,
        !hasContent || missing.contains(where: { $0.key == "content" })
      else { continue }
      let keys = Set(missing.map(\.key)).sorted().joined(separator: ", ")
      throw DataError(
        message: "the chat template renders nothing of the answer \(conversation.place(index)) "
          + "(\(keys)): a model would learn to say nothing",
        hint: "take a model whose template renders it, or write the answer as content, in the "
          + "words that the model is to say")
    }
  }

  /// Contents that are not to be found in the text, one behind the other.
  private static func missingContents(_ conversation: Conversation, in whole: String) -> [Field] {
    var whole = whole
    return whole.withUTF8 { text in
      var rest = UnsafeRawBufferPointer(text)
      return conversation.messages.enumerated().compactMap { index, message -> Field? in
        var content = Messages.content(message)
        // Templates may cut white space off its ends.
        let end = content.withUTF8 { bytes -> Int? in
          let part = UnsafeRawBufferPointer(bytes).trimmed
          return part.isEmpty ? 0 : rest.end(of: part)
        }
        guard let end else {
          return Field(key: "content", role: Messages.role(message), messages: [index])
        }
        rest = UnsafeRawBufferPointer(rebasing: rest[end...])
        return nil
      }
    }
  }

  /// What messages have beside role and content.
  private static func furtherFields(_ conversation: Conversation) -> [Field] {
    var fields: [Field] = []
    var unanswered: [String] = []
    for (index, message) in conversation.messages.enumerated() {
      let role = Messages.role(message)
      for (key, value) in message.objectValue ?? [:] {
        if key == "role" || key == "content" { continue }
        if key == "tool_call_id", let call = unanswered.firstIndex(where: { .string($0) == value })
        {
          unanswered.remove(at: call)
          // In the order of the calls, the place says which is answered.
          if call > 0 { fields.append(Field(key: key, role: role, messages: [index])) }
        }
        if Row.isHarmless(key) { continue }
        if key == "tool_calls", let calls = value.arrayValue {
          unanswered = calls.compactMap { $0.objectValue?["id"]?.stringValue }
          fields += calls.indices.map { Field(key: key, role: role, messages: [index], call: $0) }
        } else if role != "assistant",
          let same = fields.firstIndex(where: { $0.key == key && $0.role == role })
        {
          fields[same].messages.append(index)
        } else {
          fields.append(Field(key: key, role: role, messages: [index]))
        }
      }
    }
    return fields
  }
}

/// A key of one message, or of all of a role.
private struct Field {
  let key: String
  let role: String
  var messages: [Int]
  /// Which of its calls.
  var call: Int?

  /// Whether the key is part of what rows may have: then it is enough to say that it is not rendered.
  var isKnown: Bool {
    ["content", "name", "tool_calls", "tool_call_id"].contains(key)
      || Messages.reasoningKeys.contains(key)
  }

  /// The conversation without it.
  func removed(from conversation: Conversation) -> Conversation {
    var result = conversation
    for index in messages {
      guard var object = conversation.messages[index].objectValue else { continue }
      if let call, var calls = object["tool_calls"]?.arrayValue, calls.count > 1 {
        calls.remove(at: call)
        object["tool_calls"] = .array(calls)
      } else {
        object[key] = key == "content" ? "" : nil
      }
      result.messages[index] = .object(object)
    }
    return result
  }
}

extension UnsafeRawBufferPointer {
  /// Without ASCII's white space at both ends.
  fileprivate var trimmed: UnsafeRawBufferPointer {
    guard let first = firstIndex(where: { $0 > 0x20 }),
      let last = lastIndex(where: { $0 > 0x20 })
    else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    return UnsafeRawBufferPointer(rebasing: self[first...last])
  }

  /// Where the first occurrence of these bytes ends.
  fileprivate func end(of part: UnsafeRawBufferPointer) -> Int? {
    guard let base = baseAddress, let wanted = part.baseAddress else { return nil }
    var start = 0
    while start + part.count <= count {
      let last = count - part.count + 1
      guard let next = memchr(base + start, Int32(part[0]), last - start) else { return nil }
      start = UnsafeRawPointer(next) - base
      if memcmp(base + start, wanted, part.count) == 0 { return start + part.count }
      start += 1
    }
    return nil
  }
}
