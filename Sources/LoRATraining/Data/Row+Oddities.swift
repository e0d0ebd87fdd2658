// What is odd about a row though it can be trained on.

import LoRAJSON

/// What may not be meant.
enum Oddity: Hashable, Sendable {
  /// A special token is spelled out in what the row's author wrote.
  case specialToken(String)
  /// The vocabulary cannot spell a character: it is left out.
  case unencodable(Unicode.Scalar)
  /// A message or an answer is nothing but white space.
  case blankText
  /// The same speaker has two turns in a row, the assistant or the user.
  case repeatedRole(String)
  /// Messages follow the last answer: nothing is learned from them.
  case unanswered
}

extension Row {
  /// The roles of the row's messages, in order; none where it is no conversation.
  var roles: [String] {
    guard case .conversation(let messages, _, _) = self else { return [] }
    return messages.map(Messages.role)
  }

  /// What is odd about the row itself, before it is tokenised.
  var oddities: [Oddity] {
    var found: [Oddity] = []
    switch self {
    case .text(let text), .completion(_, let text):
      if text.allSatisfy(\.isWhitespace) { found.append(.blankText) }
    case .conversation(let messages, _, _):
      let isBlank = messages.contains { message in
        let hasCalls = message.objectValue?["tool_calls"]?.arrayValue?.isEmpty == false
        return Messages.role(message) != "system" && !hasCalls
          && Messages.content(message).allSatisfy(\.isWhitespace)
      }
      if isBlank { found.append(.blankText) }
      let twice = zip(roles, roles.dropFirst()).first {
        $0 == $1 && ["user", "assistant"].contains($0)
      }
      if let role = twice?.0 { found.append(.repeatedRole(role)) }
      if roles.last != "assistant" { found.append(.unanswered) }
    }
    return found
  }
}
