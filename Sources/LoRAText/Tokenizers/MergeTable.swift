// The merges of a model: which two neighbouring tokens become one, and which pair goes first.

/// Merges found by the pair of tokens that they join. The rank is the position in the file.
struct MergeTable: Sendable {
  /// The rank of pairs that do not merge, later than every other.
  static let noRank = UInt32.max

  /// The token that a merge makes, by rank.
  private var results: [Int32] = []
  /// Open addressing: the pair in 64 bits; all ones is an empty slot, as no token is -1.
  private var pairs: [UInt64]
  private var ranks: [UInt32]
  private let shift: UInt64

  /// Checks the merges of a description against its vocabulary.
  init(
    _ merges: [String], _ vocabulary: Vocabulary, keys: TokenizerKeys
  ) throws {
    guard merges.count < Int(Int32.max) else {
      throw TokenizerError(
        message: "\(keys.name("merges")): \(merges.count) merges", hint: TokenizerError.convertAgain
      )
    }
    // A key that is missing would otherwise be a model that reads everything letter by letter.
    guard !merges.isEmpty || !vocabulary.hasTokensOfSeveralBytes else {
      throw TokenizerError(
        message: "\(keys.name("merges")): no merges, but tokens of several bytes",
        hint: TokenizerError.convertAgain)
    }
    var bits: UInt64 = 4
    while 1 << bits < merges.count * 2 { bits += 1 }
    shift = 64 - bits
    pairs = [UInt64](repeating: .max, count: 1 << bits)
    ranks = [UInt32](repeating: Self.noRank, count: 1 << bits)
    results.reserveCapacity(merges.count)
    var joined: [UInt8] = []
    for (rank, merge) in merges.enumerated() {
      var merge = merge
      let found = merge.withUTF8 { bytes -> (left: Int32, right: Int32, result: Int32)? in
        // Tokens have no blanks in this alphabet: exactly one may be there, between the two.
        guard let blank = bytes.firstIndex(of: 0x20), blank == bytes.lastIndex(of: 0x20) else {
          return nil
        }
        joined.removeAll(keepingCapacity: true)
        joined.append(contentsOf: bytes[..<blank])
        joined.append(contentsOf: bytes[(blank + 1)...])
        guard let left = vocabulary.id(of: UnsafeBufferPointer(rebasing: bytes[..<blank])),
          let right = vocabulary.id(of: UnsafeBufferPointer(rebasing: bytes[(blank + 1)...])),
          let result = joined.withUnsafeBufferPointer(vocabulary.id(of:))
        else { return nil }
        return (left, right, result)
      }
      guard let found, insert(found.left, found.right, UInt32(rank)) else {
        throw TokenizerError(
          message: "\(keys.name("merges"))[\(rank)]: \"\(merge)\" "
            + (found == nil
              ? "is not two tokens of the vocabulary that make a third" : "occurs twice"),
          hint: TokenizerError.convertAgain)
      }
      results.append(found.result)
    }
  }

  /// The rank of a pair of tokens; `noRank` if it does not merge.
  @inline(__always)
  func rank(_ left: Int32, _ right: Int32) -> UInt32 {
    let pair = Self.key(left, right)
    var slot = firstSlot(pair)
    while pairs[slot] != .max {
      if pairs[slot] == pair { return ranks[slot] }
      slot = (slot + 1) & (pairs.count - 1)
    }
    return Self.noRank
  }

  /// The token that the merge of a rank makes.
  @inline(__always)
  func result(_ rank: UInt32) -> Int32 { results[Int(rank)] }

  private mutating func insert(_ left: Int32, _ right: Int32, _ rank: UInt32) -> Bool {
    let pair = Self.key(left, right)
    var slot = firstSlot(pair)
    while pairs[slot] != .max {
      if pairs[slot] == pair { return false }
      slot = (slot + 1) & (pairs.count - 1)
    }
    pairs[slot] = pair
    ranks[slot] = rank
    return true
  }

  @inline(__always)
  private func firstSlot(_ pair: UInt64) -> Int {
    Int(truncatingIfNeeded: (pair &* 0x9E37_79B9_7F4A_7C15) >> shift)
  }

  @inline(__always)
  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }
}
