// The members of a JSON object: an ordered dictionary with keys compared by scalars.

/// The members of a JSON object in the order of the text.
///
/// Finding a key scans a small object and asks a hash index in a large one. Two objects are equal
/// when they have the same members in any order.
public struct JSONObject: Sendable {
  /// One member of an object.
  public typealias Element = (key: String, value: JSONValue)

  /// Objects up to this size are scanned; above it an index pays.
  static let largestScanned = 12

  private var members: [Element] = []
  /// Position of each key, only kept for objects larger than `largestScanned`.
  private var index: [ScalarKey: Int]?

  /// An object without members.
  public init() {}

  /// An object with these members; the last value of a repeated key wins, in its first place.
  public init(_ members: some Sequence<(String, JSONValue)>) {
    for (key, value) in members { self[key] = value }
  }

  /// The number of members.
  public var count: Int { members.count }
  /// Whether there are no members.
  public var isEmpty: Bool { members.isEmpty }
  /// The keys in order.
  public var keys: [String] { members.map(\.key) }
  /// The values in the order of their keys.
  public var values: [JSONValue] { members.map(\.value) }

  /// The value of a key, nil when the object has no such key.
  ///
  /// Setting keeps the place of a key that exists and appends a new one; setting nil removes.
  public subscript(key: String) -> JSONValue? {
    get { position(of: key).map { members[$0].value } }
    set {
      switch (position(of: key), newValue) {
      case (let position?, let value?): members[position].value = value
      case (let position?, nil): remove(at: position)
      case (nil, let value?): append(key, value)
      case (nil, nil): break
      }
    }
  }

  /// Adds a member unless the key exists; says whether it was added.
  mutating func appendIfNew(_ key: String, _ value: JSONValue) -> Bool {
    guard position(of: key) == nil else { return false }
    append(key, value)
    return true
  }

  private mutating func append(_ key: String, _ value: JSONValue) {
    members.append((key, value))
    if index != nil {
      index?[ScalarKey(key)] = members.count - 1
    } else if members.count > Self.largestScanned {
      rebuildIndex()
    }
  }

  private mutating func remove(at position: Int) {
    members.remove(at: position)
    rebuildIndex()
  }

  private mutating func rebuildIndex() {
    guard members.count > Self.largestScanned else {
      index = nil
      return
    }
    var positions = [ScalarKey: Int](minimumCapacity: members.count * 2)
    for (position, member) in members.enumerated() {
      positions[ScalarKey(member.key)] = position
    }
    index = positions
  }

  private func position(of key: String) -> Int? {
    if let index { return index[ScalarKey(key)] }
    return members.firstIndex { $0.key.hasSameBytes(as: key) }
  }
}

extension JSONObject: RandomAccessCollection {
  /// The place of the first member: 0.
  public var startIndex: Int { 0 }
  /// One past the place of the last member.
  public var endIndex: Int { members.count }
  /// The member at a place.
  public subscript(position: Int) -> Element { members[position] }
}

extension JSONObject: Hashable {
  /// Whether both have the same members, in any order.
  public static func == (a: JSONObject, b: JSONObject) -> Bool {
    a.count == b.count && a.members.allSatisfy { b[$0.key] == $0.value }
  }

  /// Hashes the members without regard to their order.
  public func hash(into hasher: inout Hasher) {
    var sum = 0
    for member in members {
      var inner = Hasher()
      inner.combine(ScalarKey(member.key))
      inner.combine(member.value)
      sum ^= inner.finalize()
    }
    hasher.combine(count)
    hasher.combine(sum)
  }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
  /// An object with these members; the last value of a repeated key wins.
  public init(dictionaryLiteral elements: (String, JSONValue)...) { self.init(elements) }
}
