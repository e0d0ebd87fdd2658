// One row as the model sees it: tokens, and which of them carry loss.

/// One row of a data set, tokenised.
public struct Example: Sendable, Hashable {
  /// The tokens.
  public let tokens: [Int32]
  /// Whether the prediction of the token at the same place carries loss; never of the first, which
  /// nothing precedes.
  public let mask: [Bool]
  /// Whether every supervised part ends in a token that ends a turn: from others, a model does not
  /// learn to stop.
  public let endsWithStop: Bool
  /// The line of the file, from 1.
  public let line: Int
  /// The file.
  public let file: String

  /// An example; the mask's first element is taken as false.
  public init(
    tokens: [Int32], mask: [Bool], endsWithStop: Bool = true, line: Int, file: String
  ) {
    precondition(
      tokens.count == mask.count, "Example: \(tokens.count) tokens and a mask of \(mask.count)")
    self.tokens = tokens
    self.mask = mask.isEmpty ? [] : [false] + mask.dropFirst()
    self.endsWithStop = endsWithStop
    self.line = line
    self.file = file
  }

  /// The number of tokens that carry loss.
  public var supervisedCount: Int { mask.reduce(0) { $0 + ($1 ? 1 : 0) } }

  /// A number in 0 ..< 1 that follows from the tokens: FNV-1a, whose upper bits are mixed once more.
  var contentFraction: Double {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for token in tokens { hash = (hash ^ UInt64(UInt32(bitPattern: token))) &* 0x100_0000_01b3 }
    hash = (hash ^ (hash >> 31)) &* 0x9E37_79B9_7F4A_7C15
    return Double(hash >> 11) * 0x1p-53
  }

  /// A row that was tokenised.
  init(_ row: EncodedRow, line: Int, file: String) {
    self.init(
      tokens: row.tokens, mask: row.mask, endsWithStop: row.endsWithStop, line: line, file: file)
  }

  /// The first `length` tokens.
  func prefix(_ length: Int) -> Example {
    guard length < tokens.count else { return self }
    return Example(
      tokens: Array(tokens.prefix(length)), mask: Array(mask.prefix(length)), endsWithStop: false,
      line: line, file: file)
  }
}
