// Finds the special tokens that are spelled out in a text: the leftmost first, the longest of those.

/// A trie over the bytes of the special tokens' spellings.
struct SpecialTokenMatcher: Sendable {
  /// A special token found in a text.
  struct Match {
    var range: Range<Int>
    var id: Int32
  }

  /// Longer spellings are refused, so that a search takes time in proportion to the text.
  static let maximumLength = 1024

  private struct Node {
    var byte: UInt8
    var id: Int32 = -1
    /// Children are a list: the first one, and for each the next one beside it; 0 is none.
    var firstChild: Int32 = 0
    var nextSibling: Int32 = 0
  }

  private var nodes = [Node(byte: 0)]
  /// The nodes of first bytes, for the quick no to nearly every position of a text.
  private var roots = [Int32](repeating: 0, count: 256)

  /// Whether there is nothing to find.
  var isEmpty: Bool { nodes.count == 1 }

  /// Adds a token; the spelling must not be empty.
  mutating func insert(_ spelling: some Collection<UInt8>, id: Int32) {
    var node = 0
    for byte in spelling {
      node = child(of: node, byte) ?? addChild(to: node, byte)
    }
    nodes[node].id = id
  }

  /// The next special token at or after an offset.
  func firstMatch(in text: UnsafeBufferPointer<UInt8>, from start: Int) -> Match? {
    if isEmpty { return nil }
    for position in start..<text.count where roots[Int(text[position])] != 0 {
      if let match = longestMatch(in: text, at: position) { return match }
    }
    return nil
  }

  private func longestMatch(in text: UnsafeBufferPointer<UInt8>, at start: Int) -> Match? {
    var match: Match?
    var node = 0
    var position = start
    while position < text.count, let next = child(of: node, text[position]) {
      node = next
      position += 1
      if nodes[node].id >= 0 { match = Match(range: start..<position, id: nodes[node].id) }
    }
    return match
  }

  private func child(of node: Int, _ byte: UInt8) -> Int? {
    if node == 0 { return roots[Int(byte)] == 0 ? nil : Int(roots[Int(byte)]) }
    var child = Int(nodes[node].firstChild)
    while child != 0 {
      if nodes[child].byte == byte { return child }
      child = Int(nodes[child].nextSibling)
    }
    return nil
  }

  private mutating func addChild(to node: Int, _ byte: UInt8) -> Int {
    let child = nodes.count
    nodes.append(Node(byte: byte))
    if node == 0 {
      roots[Int(byte)] = Int32(child)
    } else {
      nodes[child].nextSibling = nodes[node].firstChild
      nodes[node].firstChild = Int32(child)
    }
    return child
  }
}
