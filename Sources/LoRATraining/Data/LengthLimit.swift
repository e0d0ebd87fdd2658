// How long a row may be, and what happens to one that is longer.

/// What happens to a row that is longer than the limit.
public enum Truncation: String, Sendable, CaseIterable {
  /// The file is refused, with the lines listed.
  case error
  /// The row is left out.
  case drop
  /// The row keeps its first tokens.
  case truncate
}

/// The longest row, and what happens to longer ones.
struct LengthLimit: Sendable {
  /// In tokens; nil: no limit.
  let maxLength: Int?
  let truncation: Truncation

  /// The example as the limit allows it; nil where it is left out.
  func fitting(_ example: Example) -> Example? {
    guard let maxLength, example.tokens.count > maxLength else { return example }
    guard truncation == .truncate else { return nil }
    let shorter = example.prefix(maxLength)
    return shorter.supervisedCount > 0 ? shorter : nil
  }
}
