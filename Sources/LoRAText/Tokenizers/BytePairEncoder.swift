// Turns one piece of text into tokens: again and again, the neighbours with the lowest rank merge.

/// Byte-level BPE over the pieces that a pre-tokenizer cuts.
///
/// The result of "lowest rank first, leftmost among equals" is unique, so how it is found is a
/// matter of speed only: a piece that is one token is looked up, a short one is merged by scanning
/// the ranks, and a long one with a heap, in O(n log n).
struct BytePairEncoder: Sendable {
  /// Memory for one thread's merging, kept from piece to piece.
  struct Scratch {
    fileprivate var tokens: [Int32] = []
    fileprivate var ranks: [UInt32] = []
    fileprivate var heap = MergeHeap()
    fileprivate var next: [Int32] = []
    fileprivate var previous: [Int32] = []
  }

  /// Pieces of more tokens than this are merged with the heap.
  private static let longPiece = 100

  private let byteTokens: [Int32]
  private let merges: MergeTable
  private var wholePieces: ByteStringTable
  private var wholePieceTokens: [Int32] = []

  /// An encoder; with `ignoresMerges` every piece that is a normal token is that token.
  init(_ vocabulary: Vocabulary, _ merges: MergeTable, ignoresMerges: Bool) {
    byteTokens = vocabulary.byteTokens
    self.merges = merges
    wholePieces = ByteStringTable(capacity: vocabulary.count)
    wholePieceTokens.reserveCapacity(vocabulary.count)
    // Most pieces of ordinary text are one token. Which tokens the merges arrive at from their
    // own text does not depend on anything else, so it is found out once, here.
    var scratch = Scratch()
    var tokens: [Int32] = []
    for id in 0..<Int32(vocabulary.count) where vocabulary.types[Int(id)] == .normal {
      vocabulary.text(of: id).withUnsafeBufferPointer { text in
        if !ignoresMerges {
          tokens.removeAll(keepingCapacity: true)
          merge(text, into: &tokens, &scratch)
          if tokens.count != 1 || tokens[0] != id { return }
        }
        if wholePieces.append(text) != nil { wholePieceTokens.append(id) }
      }
    }
  }

  /// Appends the tokens of a piece.
  @inline(__always)
  func encode(
    _ piece: UnsafeBufferPointer<UInt8>, into output: inout [Int32], _ scratch: inout Scratch
  ) {
    if let position = wholePieces.position(of: piece) {
      output.append(wholePieceTokens[position])
    } else {
      merge(piece, into: &output, &scratch)
    }
  }

  private func merge(
    _ piece: UnsafeBufferPointer<UInt8>, into output: inout [Int32], _ scratch: inout Scratch
  ) {
    scratch.tokens.removeAll(keepingCapacity: true)
    for byte in piece {
      let token = byteTokens[Int(byte)]
      // A byte that the vocabulary lacks leaves no trace, and its neighbours become neighbours:
      // so do Hugging Face's tokenizers without an unknown token, and llama.cpp.
      if token >= 0 { scratch.tokens.append(token) }
    }
    if scratch.tokens.count > Self.longPiece {
      mergeLong(into: &output, &scratch)
    } else {
      mergeShort(&scratch)
      output.append(contentsOf: scratch.tokens)
    }
  }

  private func mergeShort(_ scratch: inout Scratch) {
    var count = scratch.tokens.count
    if count < 2 { return }
    if scratch.ranks.count < Self.longPiece {
      scratch.ranks = [UInt32](repeating: MergeTable.noRank, count: Self.longPiece)
    }
    scratch.tokens.withUnsafeMutableBufferPointer { tokens in
      scratch.ranks.withUnsafeMutableBufferPointer { ranks in
        for index in 0..<count - 1 { ranks[index] = merges.rank(tokens[index], tokens[index + 1]) }
        while count > 1 {
          var best = 0
          for index in 1..<count - 1 where ranks[index] < ranks[best] { best = index }
          if ranks[best] == MergeTable.noRank { break }
          tokens[best] = merges.result(ranks[best])
          count -= 1
          for index in best + 1..<max(count, best + 1) {
            tokens[index] = tokens[index + 1]
            ranks[index] = ranks[index + 1]
          }
          if best > 0 { ranks[best - 1] = merges.rank(tokens[best - 1], tokens[best]) }
          if best + 1 < count { ranks[best] = merges.rank(tokens[best], tokens[best + 1]) }
        }
      }
    }
    scratch.tokens.removeLast(scratch.tokens.count - count)
  }

  private func mergeLong(into output: inout [Int32], _ scratch: inout Scratch) {
    let count = scratch.tokens.count
    scratch.heap.removeAll()
    scratch.ranks.removeAll(keepingCapacity: true)
    scratch.next.removeAll(keepingCapacity: true)
    scratch.previous.removeAll(keepingCapacity: true)
    for index in 0..<count {
      scratch.next.append(index + 1 < count ? Int32(index + 1) : -1)
      scratch.previous.append(Int32(index - 1))
      scratch.ranks.append(MergeTable.noRank)
      if index + 1 < count { updateRank(at: index, &scratch) }
    }
    while let candidate = scratch.heap.popFirst() {
      let left = candidate.position
      // Whoever merged since then left entries behind that no longer say what is there.
      if scratch.ranks[left] != candidate.rank { continue }
      let right = Int(scratch.next[left])
      let following = scratch.next[right]
      scratch.tokens[left] = merges.result(candidate.rank)
      scratch.tokens[right] = -1
      scratch.ranks[right] = MergeTable.noRank
      scratch.next[left] = following
      if following >= 0 { scratch.previous[Int(following)] = Int32(left) }
      updateRank(at: left, &scratch)
      if scratch.previous[left] >= 0 { updateRank(at: Int(scratch.previous[left]), &scratch) }
    }
    for token in scratch.tokens where token >= 0 { output.append(token) }
    // One giant word should not hold on to its memory for the rest of the text.
    if count > 1 << 16 { scratch = Scratch() }
  }

  private func updateRank(at position: Int, _ scratch: inout Scratch) {
    let right = scratch.next[position]
    let rank =
      right < 0
      ? MergeTable.noRank : merges.rank(scratch.tokens[position], scratch.tokens[Int(right)])
    scratch.ranks[position] = rank
    if rank != MergeTable.noRank { scratch.heap.push(rank: rank, position: position) }
  }
}
