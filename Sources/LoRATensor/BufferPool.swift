// The allocator of tensors: one range of addresses that buffers are cut from and merge into again.

import Foundation

/// Memory for tensors, taken and given back in any order and in any sizes.
///
/// A training step takes and gives back the same sizes again and again, much as on a stack; a pass of
/// another length does the same with other sizes. What is given back merges with its free neighbours,
/// and the lowest gap that is large enough serves next: every pass works in the pages of the one
/// before. Fresh pages, which the kernel clears, were 5% of a step.
///
/// All of it lies on huge pages. A product that reads a matrix of 1 MB in place touches another page
/// in every row or two, and on pages of 4 KB it waits for their addresses (Docs/performance.md).
///
/// Invariant for `Sendable`: all state is touched under `lock`. A pool outlives its blocks.
package final class BufferPool: @unchecked Sendable {
  package static let shared = BufferPool()

  package struct Block: Sendable {
    package nonisolated(unsafe) let pointer: UnsafeMutableRawPointer
    package let byteCount: Int
  }

  private let lock = NSLock()
  /// Addresses set aside; nothing is behind them before they are used.
  private let base: UnsafeMutableRawPointer
  private let reserved: Int
  /// The bytes from `base` on that may be written.
  private var writable = 0
  /// The end of the last buffer in use.
  private var top = 0
  /// The gaps between those in use, by address; no two touch.
  private var gaps: [Range<Int>] = []

  package init() {
    (base, reserved) = Self.reserve()
  }

  deinit { munmap(base, reserved) }

  /// The bytes from the first buffer to the end of the last one in use, gaps included.
  package var extent: Int { lock.withLock { top } }

  /// Smaller ones are malloc's: they come in thousands, and would be gaps to look through.
  private static let leastPooled = 4096
  private static let alignment = 64
  private static let growth = 32 << 20

  /// Bytes aligned to 64, their content undefined.
  package func take(byteCount: Int) -> Block {
    guard byteCount >= Self.leastPooled else {
      var pointer: UnsafeMutableRawPointer?
      posix_memalign(&pointer, Self.alignment, max(byteCount, 1))
      guard let pointer else { Self.outOfMemory(byteCount) }
      return Block(pointer: pointer, byteCount: byteCount)
    }
    let count = Self.aligned(byteCount)
    return lock.withLock {
      let start: Int
      if let gap = gaps.firstIndex(where: { $0.count >= count }) {
        start = gaps[gap].lowerBound
        if gaps[gap].count == count {
          gaps.remove(at: gap)
        } else {
          gaps[gap] = start + count..<gaps[gap].upperBound
        }
      } else {
        start = top
        top += count
        if top > writable { grow(byteCount) }
      }
      return Block(pointer: base + start, byteCount: byteCount)
    }
  }

  package func give(_ block: Block) {
    guard block.byteCount >= Self.leastPooled else { return free(block.pointer) }
    lock.withLock {
      var start = block.pointer - base
      var end = start + Self.aligned(block.byteCount)
      var place = gaps.firstIndex { $0.lowerBound > start } ?? gaps.count
      if place < gaps.count, gaps[place].lowerBound == end {
        end = gaps.remove(at: place).upperBound
      }
      if place > 0, gaps[place - 1].upperBound == start {
        place -= 1
        start = gaps.remove(at: place).lowerBound
      }
      if end == top { top = start } else { gaps.insert(start..<end, at: place) }
    }
  }

  private static func aligned(_ byteCount: Int) -> Int {
    (byteCount + alignment - 1) & ~(alignment - 1)
  }

  private func grow(_ byteCount: Int) {
    let wanted = (top + Self.growth - 1) / Self.growth * Self.growth
    guard
      wanted <= reserved,
      mprotect(base + writable, wanted - writable, PROT_READ | PROT_WRITE) == 0
    else { Self.outOfMemory(byteCount) }
    madvise(base + writable, wanted - writable, 14 /* MADV_HUGEPAGE */)
    writable = wanted
  }

  /// As many addresses as the system gives, to 1 TB: a machine may bound them (`ulimit -v`).
  private static func reserve() -> (UnsafeMutableRawPointer, Int) {
    var count = 1 << 40
    while count >= growth {
      let start = mmap(
        nil, count, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
      if let start, start != MAP_FAILED { return (start, count) }
      count /= 2
    }
    outOfMemory(growth)
  }

  private static func outOfMemory(_ byteCount: Int) -> Never {
    // Swift has no way to throw out of every tensor expression; memory is predicted beforehand.
    preconditionFailure("out of memory: \(byteCount) bytes more are not to be had")
  }
}
