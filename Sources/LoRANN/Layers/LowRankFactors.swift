// Best low-rank factors of whole weights, of several layers at a time: LAPACK works on one processor.

import Dispatch
package import LoRATensor
import Synchronization

extension Tensor {
  /// B = U·√(S·c) and A = √(S·c)·Vᵀ of the r largest singular values: B·A is the best approximation
  /// of c times this matrix that has rank r (Eckart & Young 1936).
  ///
  /// A tall matrix is decomposed lying down: the products of its columns, which run through memory,
  /// take twice as long.
  /// - Throws: `LinearAlgebraError` where the matrix holds NaN or infinity.
  package func lowRankFactors(rank: Int, times c: Float = 1) throws -> (a: Tensor, b: Tensor) {
    guard shape[0] > shape[1] else {
      return try singularValueDecomposition(rank: rank).factors(times: c)
    }
    let lying = try transposed().singularValueDecomposition(rank: rank).factors(times: c)
    return (lying.b.transposed(), lying.a.transposed())
  }
}

extension Array {
  /// `body` of every element, in order, of as many at a time as the engine has threads.
  ///
  /// `body` should not use the engine's products, which have threads of their own.
  /// - Throws: what `body` throws for the first element for which it does.
  package func mapConcurrently<T: Sendable>(_ body: (Element) throws -> T) throws -> [T] {
    let workers = Swift.min(Engine.threadCount, count)
    guard workers > 1 else { return try map(body) }
    let next = Atomic(0)
    let results = Mutex([Result<T, any Error>?](repeating: nil, count: count))
    DispatchQueue.concurrentPerform(iterations: workers) { _ in
      while case let index = next.add(1, ordering: .relaxed).oldValue, index < count {
        let result = Result { try body(self[index]) }
        results.withLock { $0[index] = result }
      }
    }
    return try results.withLock { $0 }.compactMap { try $0?.get() }
  }
}
