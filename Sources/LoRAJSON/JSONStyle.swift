// How JSON is written: separators, indentation, order of keys, escapes.

/// How a JSON value is written as text.
public struct JSONStyle: Sendable, Hashable {
  /// Between elements and members.
  public var itemSeparator: String
  /// Between a key and its value.
  public var keySeparator: String
  /// The text of one level of indentation; nil writes everything on one line.
  public var indentation: String?
  /// Whether keys are sorted by their scalars instead of kept in order.
  public var sortKeys: Bool
  /// Whether scalars outside printable ASCII become `\uXXXX`.
  public var ensureASCII: Bool

  /// A style of its own.
  public init(
    itemSeparator: String, keySeparator: String, indentation: String? = nil,
    sortKeys: Bool = false, ensureASCII: Bool = false
  ) {
    self.itemSeparator = itemSeparator
    self.keySeparator = keySeparator
    self.indentation = indentation
    self.sortKeys = sortKeys
    self.ensureASCII = ensureASCII
  }

  /// The shortest text: `{"a":1,"b":[2,3]}`.
  public static let compact = JSONStyle(itemSeparator: ",", keySeparator: ":")

  /// As Python's `json.dumps(value, ensure_ascii=False)`: `{"a": 1, "b": [2, 3]}`.
  public static let python = JSONStyle(itemSeparator: ", ", keySeparator: ": ")

  /// As Python's `json.dumps(value, ensure_ascii=False, indent=spaces)`.
  public static func indented(_ spaces: Int) -> JSONStyle {
    JSONStyle(
      itemSeparator: ",", keySeparator: ": ",
      indentation: String(repeating: " ", count: max(0, spaces)))
  }
}
