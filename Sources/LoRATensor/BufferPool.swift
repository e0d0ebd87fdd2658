// The caching allocator: buffers of a finished operation serve the next one of about that size.

import Foundation

/// A pool of buffers in size classes of at most 1/8 slack, which never holds much more than what
/// was in use at once.
///
/// A training step allocates the same sizes in the same order again and again; taking them from
/// free lists spares the page faults that a fresh mapping of some megabytes costs each time. Passes
/// of other lengths need other sizes: then a somewhat larger buffer serves, and what no longer fits
/// is given back before the pool grows.
///
/// Invariant for `Sendable`: all state is touched under `lock`.
package final class BufferPool: @unchecked Sendable {
  package static let shared = BufferPool()

  package struct Block: Sendable {
    package nonisolated(unsafe) let pointer: UnsafeMutableRawPointer
    package let capacity: Int
    /// What was asked for.
    let byteCount: Int
  }

  /// Bytes that were asked for and are in use, the most of them at once, and all bytes held.
  package struct Usage: Sendable {
    package var live = 0
    package var peakLive = 0
    package var held = 0
  }

  private let lock = NSLock()
  private var freeLists: [Int: [UnsafeMutableRawPointer]] = [:]
  private var state = Usage()
  /// What is left of the mapping that new buffers are cut from.
  private var region = UnsafeMutableRawBufferPointer(start: nil, count: 0)

  package init() {}

  package var usage: Usage { lock.withLock { state } }

  /// What the pool may hold when so much was in use at once: slack for size classes and for sizes
  /// that come and go.
  static func limit(peakLive: Int) -> Int { peakLive + peakLive / 8 + 8 << 20 }

  /// The size class of a request: the next multiple of 1/8 of the power of two below it.
  static func sizeClass(_ byteCount: Int) -> Int {
    let minimum = 256
    guard byteCount > minimum else { return minimum }
    let step = max(64, 1 << (Int.bitWidth - byteCount.leadingZeroBitCount - 4))
    return (byteCount + step - 1) / step * step
  }

  package func take(byteCount: Int) -> Block {
    let capacity = Self.sizeClass(byteCount)
    return lock.withLock {
      state.live += byteCount
      state.peakLive = max(state.peakLive, state.live)
      func block(_ pointer: UnsafeMutableRawPointer, _ capacity: Int) -> Block {
        Block(pointer: pointer, capacity: capacity, byteCount: byteCount)
      }
      if let pointer = freeLists[capacity]?.popLast() { return block(pointer, capacity) }
      let limit = Self.limit(peakLive: state.peakLive)
      if state.held + capacity > limit {
        // A much larger one would be missing where it is needed, and the pool would grow for it.
        if let larger = waiting.filter({ $0 > capacity && $0 <= capacity / 2 * 3 }).min(),
          let pointer = freeLists[larger]?.popLast()
        {
          return block(pointer, larger)
        }
        while state.held + capacity > limit, let smaller = waiting.max(),
          let pointer = freeLists[smaller]?.popLast()
        {
          Self.release(pointer, smaller)
          state.held -= smaller
        }
      }
      state.held += capacity
      return block(allocate(capacity), capacity)
    }
  }

  /// The size classes of which a buffer waits.
  private var waiting: some Sequence<Int> {
    freeLists.lazy.filter { !$0.value.isEmpty }.map(\.key)
  }

  package func give(_ block: Block) {
    lock.withLock {
      state.live -= block.byteCount
      freeLists[block.capacity, default: []].append(block.pointer)
    }
  }

  /// From this size on a buffer has pages of its own. In malloc's heap, among small objects that
  /// stay, what was given back left gaps that no other size fitted: a run grew by 200 MB.
  private static let leastMapped = 128 << 10
  private static let hugePage = 2 << 20
  private static let regionBytes = 32 << 20

  private func allocate(_ capacity: Int) -> UnsafeMutableRawPointer {
    var pointer: UnsafeMutableRawPointer?
    if capacity >= Self.leastMapped {
      pointer = cut(Self.wholePages(capacity))
    } else {
      posix_memalign(&pointer, 64, capacity)
    }
    guard let pointer else {
      // Swift has no way to throw out of every tensor expression; memory is predicted beforehand.
      preconditionFailure("out of memory: \(capacity) bytes more are not to be had")
    }
    return pointer
  }

  /// The next `bytes` of the region, or of a new one.
  ///
  /// Buffers lie one behind the other so that huge pages hold them: a product that reads a matrix of
  /// 1 MB in place touches another page in every row or two, and on scattered pages of 4 KB it waits
  /// for their addresses (Docs/performance.md).
  private func cut(_ bytes: Int) -> UnsafeMutableRawPointer? {
    if bytes >= Self.regionBytes { return Self.map(bytes) }
    if bytes > region.count {
      guard let start = Self.map(Self.regionBytes) else { return nil }
      // Nothing has touched the rest of the last one.
      if let rest = region.baseAddress, region.count > 0 { munmap(rest, region.count) }
      region = UnsafeMutableRawBufferPointer(start: start, count: Self.regionBytes)
    }
    defer { region = UnsafeMutableRawBufferPointer(rebasing: region[bytes...]) }
    return region.baseAddress
  }

  /// A mapping that begins with a huge page.
  private static func map(_ bytes: Int) -> UnsafeMutableRawPointer? {
    let start = mmap(
      nil, bytes + hugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let start, start != MAP_FAILED else { return nil }
    let first = start.alignedUp(toMultipleOf: hugePage)
    let before = first - start
    if before > 0 { munmap(start, before) }
    munmap(first + bytes, hugePage - before)
    madvise(first, bytes, 14 /* MADV_HUGEPAGE */)
    return first
  }

  private static func release(_ pointer: UnsafeMutableRawPointer, _ capacity: Int) {
    if capacity >= leastMapped {
      munmap(pointer, wholePages(capacity))
    } else {
      free(pointer)
    }
  }

  private static func wholePages(_ capacity: Int) -> Int { (capacity + 4095) & ~4095 }
}
