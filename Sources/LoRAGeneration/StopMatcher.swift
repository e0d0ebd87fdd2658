// Stop strings in a text that comes piece by piece: a piece may end within one, or within a character.

/// Ends a text before the first of some strings, wherever the borders of its tokens are.
///
/// Bytes are given out as soon as no stop string can begin with them any more. Of strings that end at
/// the same place the longest counts. A value: every text has its own.
public struct StopMatcher: Sendable {
  /// Knuth, Morris and Pratt's: how much of the string the bytes so far end in.
  private struct Pattern: Sendable {
    let bytes: [UInt8]
    /// The length of the longest proper end of each beginning that is a beginning too.
    let failure: [Int]
    var matched = 0

    init(_ text: String) {
      bytes = Array(text.utf8)
      var failure = [Int](repeating: 0, count: bytes.count)
      var length = 0
      for i in bytes.indices.dropFirst() {
        while length > 0, bytes[i] != bytes[length] { length = failure[length - 1] }
        if bytes[i] == bytes[length] { length += 1 }
        failure[i] = length
      }
      self.failure = failure
    }

    var isWhole: Bool { matched == bytes.count }

    mutating func take(_ byte: UInt8) {
      while matched > 0, bytes[matched] != byte { matched = failure[matched - 1] }
      if bytes[matched] == byte { matched += 1 }
    }
  }

  private var patterns: [Pattern]
  /// Bytes that a stop string may begin with.
  private var held: [UInt8] = []
  /// Whether a stop string has come: the text is over.
  public private(set) var isStopped = false

  /// A matcher at the beginning of a text; empty strings stop nothing.
  public init(_ stops: [String]) { patterns = stops.filter { !$0.isEmpty }.map(Pattern.init) }

  /// Takes the bytes of a token and gives out those that are certainly of the text.
  public mutating func append(_ bytes: [UInt8]) -> [UInt8] {
    guard !patterns.isEmpty else { return bytes }
    var certain: [UInt8] = []
    for byte in bytes where !isStopped {
      held.append(byte)
      for index in patterns.indices { patterns[index].take(byte) }
      if let length = patterns.filter(\.isWhole).map(\.matched).max() {
        certain += held.dropLast(length)
        held = []
        isStopped = true
      } else {
        let open = patterns.map(\.matched).max() ?? 0
        certain += held.dropLast(open)
        held.removeFirst(held.count - open)
      }
    }
    return certain
  }

  /// What was held back, where the text ends without a stop string.
  public mutating func finish() -> [UInt8] {
    defer { held = [] }
    return held
  }
}
