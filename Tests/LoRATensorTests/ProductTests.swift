// Products at the borders of the tiles that lk_gemm cuts them into: every element against sums in
// double, and the same bytes on any number of threads.

import CLoRAKernels
import LoRATensor
import LoRATestSupport
import Testing

@Suite(.serialized) struct ProductTests {
  struct Case: CustomTestStringConvertible {
    let m: Int
    let n: Int
    let k: Int
    var transposeA = false
    var transposeB = false
    var accumulate = false
    var type = DType.float32

    var testDescription: String {
      "\(m)×\(n)×\(k) A\(transposeA ? "ᵀ" : "") B\(transposeB ? "ᵀ" : "")"
        + "\(accumulate ? " added" : "") \(type.rawValue)"
    }
  }

  private static let cases: [Case] = [
    Case(m: 1, n: 1, k: 1), Case(m: 64, n: 96, k: 7), Case(m: 65, n: 97, k: 31, accumulate: true),
    // P = X·Aᵀ: oneDNN's AVX2 kernels give each thread a part of k.
    Case(m: 257, n: 16, k: 1536, transposeB: true), Case(m: 31, n: 4, k: 1537, transposeB: true),
    // Y, dX, and more columns and rows than the largest tile has.
    Case(m: 300, n: 1100, k: 70, transposeB: true, accumulate: true),
    // A large C: the library's kernels that copy their inputs.
    Case(m: 300, n: 2200, k: 40), Case(m: 601, n: 600, k: 37, transposeA: true, transposeB: true),
    Case(m: 2100, n: 40, k: 33), Case(m: 5, n: 2100, k: 67, accumulate: true),
    // dA and dB of long passes: from AVX-512 on each thread would take a part of k.
    Case(m: 16, n: 577, k: 2049, transposeA: true, accumulate: true),
    Case(m: 577, n: 16, k: 2050, transposeA: true),
    Case(m: 130, n: 131, k: 2048, transposeA: true, type: .bfloat16),
    Case(m: 130, n: 131, k: 256, transposeB: true, type: .bfloat16),
  ]

  @Test(arguments: cases) func everyElementOnAnyNumberOfThreads(_ c: Case) {
    // Stored wider than they are: A, B and C are columns of larger matrices.
    let (aRows, aColumns) = c.transposeA ? (c.k, c.m) : (c.m, c.k)
    let (bRows, bColumns) = c.transposeB ? (c.n, c.k) : (c.k, c.n)
    let (aStride, bStride, cStride) = (aColumns + 3, bColumns + 5, c.n + 2)
    var random = Random(seed: UInt64(c.m * 10_000 + c.n * 100 + c.k))
    let a = random.normal([aRows, aStride]).converted(to: c.type)
    let b = random.normal([bRows, bStride]).converted(to: c.type)
    let before: Float = 7

    func product() -> [Float] {
      let result = Tensor.full([c.m, cStride], before)
      var arguments = lk_gemm_arguments()
      arguments.m = Int64(c.m)
      arguments.n = Int64(c.n)
      arguments.k = Int64(c.k)
      arguments.a = UnsafeRawPointer(a.pointer)
      arguments.b = UnsafeRawPointer(b.pointer)
      arguments.c = result.pointer
      arguments.lda = Int64(aStride)
      arguments.ldb = Int64(bStride)
      arguments.ldc = Int64(cStride)
      arguments.ab_type = c.type.kernelType
      arguments.c_type = LK_F32
      arguments.transpose_a = c.transposeA ? 1 : 0
      arguments.transpose_b = c.transposeB ? 1 : 0
      arguments.accumulate = c.accumulate ? 1 : 0
      withExtendedLifetime((a, b, result)) { lk_gemm(&arguments) }
      return result.elements
    }

    let left = a.converted(to: .float32).elements
    let right = b.converted(to: .float32).elements
    var expected = [Float](repeating: before, count: c.m * cStride)
    for i in 0..<c.m {
      for j in 0..<c.n {
        var sum = c.accumulate ? Double(before) : 0
        for l in 0..<c.k {
          let x = c.transposeA ? left[l * aStride + i] : left[i * aStride + l]
          let y = c.transposeB ? right[j * bStride + l] : right[l * bStride + j]
          sum += Double(x) * Double(y)
        }
        expected[i * cStride + j] = Float(sum)
      }
    }
    let threads = Engine.threadCount
    defer { Engine.threadCount = threads }
    Engine.threadCount = 1
    let alone = product()
    // Sums of k terms of size 1 in float32.
    expectClose(
      actual: alone, expected: expected, atol: 4e-6 * (Float(c.k).squareRoot() + 1), rtol: 1e-6,
      name: c.testDescription)
    for count in [2, 3, 5] {
      Engine.threadCount = count
      let shared = product()
      let other = zip(alone, shared).enumerated().first { $1.0.bitPattern != $1.1.bitPattern }
      if let (index, (one, many)) = other {
        Issue.record("\(c), \(count) threads: element \(index) is \(many), alone \(one)")
      }
    }
  }
}
