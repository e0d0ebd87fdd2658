// The caching allocator: buffers of a finished operation serve the next one of that size.

import Foundation

/// A pool of buffers in size classes of at most 1/8 slack.
///
/// A training step allocates the same sizes in the same order again and again; taking them from
/// free lists spares the page faults that a fresh `mmap` of some megabytes costs each time.
///
/// Invariant for `Sendable`: all state is touched under `lock`.
package final class BufferPool: @unchecked Sendable {
  package static let shared = BufferPool()

  package struct Block: Sendable {
    package nonisolated(unsafe) let pointer: UnsafeMutableRawPointer
    package let capacity: Int
  }

  /// Bytes in use and bytes waiting on the free lists.
  package struct Usage: Sendable {
    package var live = 0
    package var free = 0
    package var peakLive = 0
  }

  private let lock = NSLock()
  private var freeLists: [Int: [Block]] = [:]
  private var state = Usage()

  package var usage: Usage { lock.withLock { state } }

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
      state.live += capacity
      state.peakLive = max(state.peakLive, state.live)
      if let block = freeLists[capacity]?.popLast() {
        state.free -= capacity
        return block
      }
      // Sizes drift when every pass packs another number of tokens: what waited unused while a new
      // size was needed is given back before the heap grows by more than a quarter.
      if state.free > max(state.live / 4, 32 << 20) { releaseFreeBlocks() }
      return Self.allocate(capacity)
    }
  }

  package func give(_ block: Block) {
    lock.withLock {
      state.live -= block.capacity
      state.free += block.capacity
      freeLists[block.capacity, default: []].append(block)
    }
  }

  /// Returns all waiting buffers to the system.
  package func trim() { lock.withLock { releaseFreeBlocks() } }

  private func releaseFreeBlocks() {
    for block in freeLists.values.joined() { free(block.pointer) }
    freeLists.removeAll(keepingCapacity: true)
    state.free = 0
  }

  private static func allocate(_ capacity: Int) -> Block {
    let hugePage = 2 << 20
    let alignment = capacity >= hugePage ? hugePage : 64
    var pointer: UnsafeMutableRawPointer?
    let status = posix_memalign(&pointer, alignment, capacity)
    guard status == 0, let pointer else {
      // Swift has no way to throw out of every tensor expression; memory is predicted beforehand.
      preconditionFailure("out of memory: \(capacity) bytes more are not to be had")
    }
    if capacity >= hugePage { madvise(pointer, capacity, 14 /* MADV_HUGEPAGE */) }
    return Block(pointer: pointer, capacity: capacity)
  }
}
