// The pool of buffers: no two in use share a byte, and passes of other lengths work in the same pages.

import LoRATensor
import LoRATestSupport
import Testing

struct BufferPoolTests {
  /// Random sizes, taken and given back in random order, each filled with a byte of its own.
  @Test func buffersDoNotOverlap() {
    let pool = BufferPool()
    var random = Random(seed: 7)
    var used: [(block: BufferPool.Block, mark: UInt8)] = []
    for turn in 0..<4_000 {
      if used.count == 60 || (turn % 3 == 2 && !used.isEmpty) {
        let place = random.index(below: used.count)
        let (block, mark) = used.remove(at: place)
        let bytes = UnsafeRawBufferPointer(start: block.pointer, count: block.byteCount)
        #expect(bytes.allSatisfy { $0 == mark }, "turn \(turn): \(block.byteCount) bytes")
        pool.give(block)
      } else {
        // From none to some 100 KB, half of them below what comes from malloc.
        let size = random.index(below: turn % 2 == 0 ? 5_000 : 100_000)
        let block = pool.take(byteCount: size)
        #expect(block.byteCount == size)
        #expect(Int(bitPattern: block.pointer) % 64 == 0)
        block.pointer.initializeMemory(as: UInt8.self, repeating: UInt8(turn % 251), count: size)
        used.append((block, UInt8(turn % 251)))
      }
    }
    for (block, _) in used { pool.give(block) }
    #expect(pool.extent == 0, "what was given back did not merge")
  }

  /// Sizes as of a pass of so many tokens: taken layer by layer, with work between that goes at once,
  /// and given back from the last.
  private func pass(_ tokens: Int, in pool: BufferPool) -> Int {
    var kept: [BufferPool.Block] = []
    var extent = 0
    for _ in 0..<12 {
      let work = pool.take(byteCount: tokens * 3_333)
      for width in [576, 192, 64, 1_536, 9] {
        kept.append(pool.take(byteCount: tokens * width * 4))
      }
      pool.give(work)
      extent = max(extent, pool.extent)
    }
    while let last = kept.popLast() {
      let work = pool.take(byteCount: tokens * 2_000)
      pool.give(last)
      pool.give(work)
      extent = max(extent, pool.extent)
    }
    return extent
  }

  @Test func passesOfOtherLengthsTakeNoMore() {
    let pool = BufferPool()
    // Held across passes, as gradients are.
    let held = [40_000, 150_000, 4_096].map { pool.take(byteCount: $0) }
    let largest = pass(512, in: pool)
    let atRest = pool.extent
    for tokens in [511, 64, 480, 1, 333, 512, 97] {
      #expect(pass(tokens, in: pool) <= largest, "\(tokens) tokens")
      #expect(pool.extent == atRest, "\(tokens) tokens")
    }
    for block in held { pool.give(block) }
    #expect(pool.extent == 0)
  }

  @Test func theLowestGapThatIsLargeEnoughServes() {
    let pool = BufferPool()
    let blocks = (0..<6).map { _ in pool.take(byteCount: 8_192) }
    for place in [1, 3, 4] { pool.give(blocks[place]) }
    #expect(pool.take(byteCount: 16_384).pointer == blocks[3].pointer)
    #expect(pool.take(byteCount: 4_096).pointer == blocks[1].pointer)
    #expect(pool.take(byteCount: 4_096).pointer == blocks[1].pointer + 4_096)
    #expect(pool.take(byteCount: 4_096).pointer == blocks[5].pointer + 8_192)
  }

  /// Larger than what the pool grows by.
  @Test func aBufferOf100MB() {
    let pool = BufferPool()
    let block = pool.take(byteCount: 100_000_000)
    block.pointer.storeBytes(of: 1, toByteOffset: 99_999_999, as: UInt8.self)
    pool.give(block)
    #expect(pool.take(byteCount: 50_000_000).pointer == block.pointer)
  }
}
