// Random numbers that depend on a seed and a place, not on what was drawn before.

import CLoRAKernels
import Synchronization

/// A source of random numbers: Philox4x32-10 (Salmon et al., SC 2011) at (seed, stream, index).
///
/// The same seed, stream and shape give the same numbers on every machine and thread count.
public struct Random: Sendable {
  /// The key: another seed is another sequence.
  public var seed: UInt64
  private var stream: UInt64 = 0

  /// A source with the given seed.
  public init(seed: UInt64) { self.seed = seed }

  /// The seed of the next thing that is made without one: each differs from the others, and a
  /// program that makes them in the same order has the same ones in every run.
  public static func nextSeed() -> UInt64 {
    sequence.withLock {
      $0 &+= 0x9E37_79B9_7F4A_7C15
      return $0
    }
  }

  /// Restarts `nextSeed()`, as `torch.manual_seed` does for PyTorch's generator.
  public static func setSeed(_ seed: UInt64) { sequence.withLock { $0 = seed } }

  private static let sequence = Mutex<UInt64>(0)

  /// Numbers from N(mean, deviation²).
  public mutating func normal(_ shape: Shape, mean: Float = 0, deviation: Float = 1) -> Tensor {
    let result = Tensor(uninitialized: shape)
    lk_random_normal(result.floats, mean, deviation, seed, stream, shape.count)
    stream += 1
    return result
  }

  /// Numbers from the uniform distribution on [low, high).
  public mutating func uniform(_ shape: Shape, low: Float = 0, high: Float = 1) -> Tensor {
    let result = Tensor(uninitialized: shape)
    lk_random_uniform(result.floats, low, high, seed, stream, shape.count)
    stream += 1
    return result
  }

  /// A whole number in 0 ..< bound, without bias.
  public mutating func index(below bound: Int) -> Int {
    precondition(bound > 0, "Random.index: the bound \(bound) is not positive")
    // Rejection: the part of 2^64 that is no multiple of the bound is drawn again.
    let limit = UInt64.max - UInt64.max % UInt64(bound)
    while true {
      let word = next()
      if word < limit { return Int(word % UInt64(bound)) }
    }
  }

  /// The order of 0 ..< count after a Fisher–Yates shuffle.
  public mutating func permutation(of count: Int) -> [Int] {
    var order = Array(0..<count)
    for i in stride(from: count - 1, to: 0, by: -1) { order.swapAt(i, index(below: i + 1)) }
    return order
  }

  private mutating func next() -> UInt64 {
    // The third word keeps whole numbers apart from the streams of tensors.
    var counter = (
      UInt32(truncatingIfNeeded: stream), UInt32(truncatingIfNeeded: stream >> 32),
      UInt32.max, UInt32(0)
    )
    withUnsafeMutableBytes(of: &counter) { bytes in
      lk_philox(
        bytes.assumingMemoryBound(to: UInt32.self).baseAddress,
        UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
    }
    stream += 1
    return UInt64(counter.0) << 32 | UInt64(counter.1)
  }
}

extension Tensor {
  /// Numbers from N(mean, deviation²), the same for the same seed; without one, others each time.
  public static func randomNormal(
    _ shape: Shape, mean: Float = 0, deviation: Float = 1, seed: UInt64? = nil
  ) -> Tensor {
    var random = Random(seed: seed ?? Random.nextSeed())
    return random.normal(shape, mean: mean, deviation: deviation)
  }
}
