// A binary heap of possible merges: the lowest rank comes out first, the leftmost among equals.

/// The queue of the merges that a long piece may still make.
struct MergeHeap {
  /// The rank above the position, so that one comparison orders both.
  private var entries: [UInt64] = []

  /// Empties the heap and keeps its memory.
  mutating func removeAll() { entries.removeAll(keepingCapacity: true) }

  /// Adds a possible merge.
  mutating func push(rank: UInt32, position: Int) {
    let entry = UInt64(rank) << 32 | UInt64(position)
    var index = entries.count
    entries.append(entry)
    while index > 0, case let parent = (index - 1) / 2, entries[parent] > entry {
      entries[index] = entries[parent]
      index = parent
    }
    entries[index] = entry
  }

  /// Takes the merge that goes first.
  mutating func popFirst() -> (rank: UInt32, position: Int)? {
    guard let first = entries.first, let last = entries.popLast() else { return nil }
    if !entries.isEmpty { sink(last) }
    return (UInt32(first >> 32), Int(first & 0xFFFF_FFFF))
  }

  private mutating func sink(_ entry: UInt64) {
    var index = 0
    while case var child = index * 2 + 1, child < entries.count {
      if child + 1 < entries.count, entries[child + 1] < entries[child] { child += 1 }
      if entries[child] >= entry { break }
      entries[index] = entries[child]
      index = child
    }
    entries[index] = entry
  }
}
