// The bytes behind tensors: from the caching pool, or borrowed from a mapped file.

import CLoRAKernels

/// A block of bytes that tensors share.
///
/// Invariant for `Sendable`: the pointer and the length never change; the bytes are written only by
/// the operation that made the storage, before any other thread sees it, or by an optimizer step,
/// which runs when nothing else reads the parameters.
package final class Storage: @unchecked Sendable {
  package let pointer: UnsafeMutableRawPointer
  package let byteCount: Int
  private let release: (UnsafeMutableRawPointer) -> Void

  /// New bytes from the caching pool, aligned to 64, their content undefined.
  package init(byteCount: Int) {
    let block = BufferPool.shared.take(byteCount: byteCount)
    self.pointer = block.pointer
    self.byteCount = byteCount
    self.release = { _ in BufferPool.shared.give(block) }
  }

  /// Bytes that `owner` keeps alive, for instance a memory-mapped file. They are never written.
  package init(borrowing pointer: UnsafeRawPointer, byteCount: Int, owner: AnyObject) {
    self.pointer = UnsafeMutableRawPointer(mutating: pointer)
    self.byteCount = byteCount
    self.release = { _ in withExtendedLifetime(owner) {} }
  }

  deinit { release(pointer) }
}
