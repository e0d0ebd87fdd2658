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
  /// A key about the row that nothing depends on.
  case unusedKey(String)
  /// A key of which nothing is known: it is not used.
  case unknownKey(String)
  /// A key that could be meant, and what to do: the file is refused.
  case refusedKey(String, String)
  /// A null inside tools or arguments was taken as absent.
  case nullValue
  /// Something without which the rendered conversation is the same: `name of user messages`.
  case notRendered(String)
}

extension Row {
  /// The roles of the row's messages, in order; none where it is no conversation.
  var roles: [String] {
    guard case .conversation(let conversation) = self else { return [] }
    return conversation.messages.map(Messages.role)
  }

  /// What is odd about the row itself, before it is tokenised.
  var oddities: [Oddity] {
    var found: [Oddity] = []
    switch self {
    case .text(let text), .completion(_, let text):
      if text.allSatisfy(\.isWhitespace) { found.append(.blankText) }
    case .conversation(let conversation):
      let isBlank = conversation.messages.contains { message in
        !["system", Messages.developer].contains(Messages.role(message))
          && !Messages.hasCalls(message)
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

/// The rows of a file in which something was met; equal ones together.
struct OddityLines: Sendable {
  private var lines: [Oddity: [Int]] = [:]
  /// In the order in which they were met.
  private var order: [Oddity] = []
  /// Of keys that every row may have, the number is enough.
  private(set) var unusedKeys: [(key: String, rows: Int)] = []

  mutating func add(_ found: [Oddity], line: Int) {
    for oddity in found {
      if case .unusedKey(let key) = oddity {
        if let place = unusedKeys.firstIndex(where: { $0.key == key }) {
          unusedKeys[place].rows += 1
        } else {
          unusedKeys.append((key, 1))
        }
      } else if lines[oddity] == nil {
        lines[oddity] = [line]
        order.append(oddity)
      } else if lines[oddity]?.last != line {
        lines[oddity]?.append(line)
      }
    }
  }

  /// What was met of a kind, in order, and where.
  func all<Kind>(_ kind: (Oddity) -> Kind?) -> [(kind: Kind, lines: [Int])] {
    order.compactMap { oddity in kind(oddity).map { ($0, lines[oddity] ?? []) } }
  }

  /// The lines with any of these, in order.
  func lines(_ matches: (Oddity) -> Bool) -> [Int] {
    Set(order.lazy.filter(matches).flatMap { lines[$0] ?? [] }).sorted()
  }

  /// What there is of keys and fields that leave no trace.
  var fields: OddityLines {
    var result = self
    result.order = order.filter {
      switch $0 {
      case .unknownKey, .notRendered, .nullValue: true
      default: false
      }
    }
    result.lines = lines.filter { result.order.contains($0.key) }
    return result
  }

  func without(_ left: Set<Int>) -> OddityLines {
    guard !left.isEmpty else { return self }
    var result = self
    result.lines = lines.mapValues { $0.filter { !left.contains($0) } }.filter { !$0.value.isEmpty }
    result.order = order.filter { result.lines[$0] != nil }
    return result
  }

  /// Keys that could not be left out without a loss, each once, with the rows that have it.
  func refusedKeys(_ file: String, isArray: Bool) -> [DataError] {
    let keys = all { oddity in
      if case .refusedKey(let key, let remedy) = oddity { (key: key, remedy: remedy) } else { nil }
    }
    let hint = Row.keyHint(keys.map(\.kind.key), isArray: isArray)
    return keys.map { found, lines in
      let rows = lines.count == 1 ? "1 row has" : "\(lines.count) rows have"
      return DataError(
        file: file, line: lines.first,
        message: "\(rows) the key \"\(found.key.shortened)\", which is not used: \(found.remedy)",
        hint: hint)
    }
  }
}
