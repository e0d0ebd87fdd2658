// Products at the borders of the tiles that lk_gemm cuts them into: every element against sums in
// double, and the same bytes on any number of threads.

import LoRATensor
import LoRATestSupport
import Testing

@Suite(.serialized) struct ProductTests {
  private static let cases: [StridedProduct] = [
    StridedProduct(m: 1, n: 1, k: 1), StridedProduct(m: 64, n: 96, k: 7),
    StridedProduct(m: 65, n: 97, k: 31, accumulate: true),
    // P = X·Aᵀ: oneDNN's AVX2 kernels give each thread a part of k.
    StridedProduct(m: 257, n: 16, k: 1536, transposeB: true),
    StridedProduct(m: 31, n: 4, k: 1537, transposeB: true),
    // Y, dX, and more columns and rows than the largest tile has.
    StridedProduct(m: 300, n: 1100, k: 70, transposeB: true, accumulate: true),
    // A large C: several tiles below and beside each other, the last ones smaller.
    StridedProduct(m: 300, n: 2200, k: 40),
    StridedProduct(m: 601, n: 600, k: 37, transposeA: true, transposeB: true),
    StridedProduct(m: 2100, n: 40, k: 33), StridedProduct(m: 5, n: 2100, k: 67, accumulate: true),
    // dA and dB of long passes: from AVX-512 on each thread would take a part of k.
    StridedProduct(m: 16, n: 577, k: 2049, transposeA: true, accumulate: true),
    StridedProduct(m: 577, n: 16, k: 2050, transposeA: true),
    StridedProduct(m: 130, n: 131, k: 2048, transposeA: true, type: .bfloat16),
    StridedProduct(m: 130, n: 131, k: 256, transposeB: true, type: .bfloat16),
  ]

  @Test(arguments: cases) func everyElementOnAnyNumberOfThreads(_ product: StridedProduct) {
    // Nobody else computes meanwhile: the number of threads is the process's.
    Engine.run { compareOnSomeNumbersOfThreads(product) }
  }

  private func compareOnSomeNumbersOfThreads(_ product: StridedProduct) {
    let (a, b) = product.inputs()
    let threads = Engine.threadCount
    defer { Engine.threadCount = threads }
    Engine.threadCount = 1
    let alone = product.result(a, b)
    // Sums of k terms of size 1 in float32.
    expectClose(
      actual: alone, expected: product.expected(a, b),
      atol: 4e-6 * (Float(product.k).squareRoot() + 1), rtol: 1e-6, name: product.testDescription)
    for count in [2, 3, 5] {
      Engine.threadCount = count
      let shared = product.result(a, b)
      let other = zip(alone, shared).enumerated().first { $1.0.bitPattern != $1.1.bitPattern }
      if let (index, (one, many)) = other {
        Issue.record(
          "\(product.testDescription), \(count) threads: element \(index) is \(many), alone \(one)")
      }
    }
  }
}
