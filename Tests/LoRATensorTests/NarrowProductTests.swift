// Products with a narrow matrix (narrow_product_body.h) against sums in double, every element, at odd
// sizes and with strides: G = dY·B, dB = dYᵀ·P, dA = Gᵀ·X. On a processor without AVX512-BF16 the
// same products go to oneDNN, to the same bounds.

import CLoRAKernels
import LoRATensor
import LoRATestSupport
import Testing

struct NarrowProductTests {
  struct Case: CustomTestStringConvertible {
    let m: Int
    let n: Int
    let k: Int
    let transposeA: Bool
    let type: DType

    var testDescription: String { "\(m)×\(n)×\(k) \(transposeA ? "Aᵀ" : "A") \(type.rawValue)" }
  }

  private static let cases: [Case] =
    [(1, 1, 1), (17, 3, 5), (16, 16, 64), (33, 16, 577), (5, 17, 31), (70, 48, 130), (40, 64, 257)]
    .flatMap { m, n, k in
      [DType.float32, .bfloat16].map { Case(m: m, n: n, k: k, transposeA: false, type: $0) }
    }
    + [
      (1, 1, 1), (31, 1, 2), (33, 16, 127), (577, 16, 129), (16, 577, 129), (3, 65, 257),
      (48, 130, 511), (64, 67, 300), (67, 64, 300), (8, 32, 128), (40, 40, 3),
    ].map { Case(m: $0.0, n: $0.1, k: $0.2, transposeA: true, type: .float32) }

  @Test(arguments: cases) func everyElement(_ c: Case) {
    // Stored wider than they are: A, B and C are columns of larger matrices.
    let (aRows, aColumns) = c.transposeA ? (c.k, c.m) : (c.m, c.k)
    let (aStride, bStride, cStride) = (aColumns + 3, c.n + 5, c.n + 2)
    var random = Random(seed: UInt64(c.m * 10_000 + c.n * 100 + c.k))
    let a = random.normal([aRows, aStride]).converted(to: .bfloat16)
    let b = random.normal([c.k, bStride]).converted(to: .bfloat16)
    let before: Float = 7
    let result = Tensor.full([c.m, cStride], before).converted(to: c.type)
    var product = lk_gemm_arguments()
    product.m = Int64(c.m)
    product.n = Int64(c.n)
    product.k = Int64(c.k)
    product.a = UnsafeRawPointer(a.pointer)
    product.b = UnsafeRawPointer(b.pointer)
    product.c = result.pointer
    product.lda = Int64(aStride)
    product.ldb = Int64(bStride)
    product.ldc = Int64(cStride)
    product.ab_type = LK_BF16
    product.c_type = c.type.kernelType
    product.transpose_a = c.transposeA ? 1 : 0
    withExtendedLifetime((a, b, result)) { lk_gemm(&product) }

    let left = a.converted(to: .float32).elements
    let right = b.converted(to: .float32).elements
    var expected = [Float](repeating: before, count: c.m * cStride)
    for i in 0..<c.m {
      for j in 0..<c.n {
        var sum = 0.0
        for l in 0..<c.k {
          let x = c.transposeA ? left[l * aStride + i] : left[i * aStride + l]
          sum += Double(x) * Double(right[l * bStride + j])
        }
        expected[i * cStride + j] = Float(sum)
      }
    }
    // Sums of k terms of size 1 in float32; a bf16 result is rounded once (2⁻⁹ of it).
    let rounding = 1e-6 * Float(c.k).squareRoot() + 1e-6
    expectClose(
      actual: result.converted(to: .float32).elements, expected: expected, atol: 4 * rounding,
      rtol: c.type == .bfloat16 ? 0.004 : 1e-6, name: c.testDescription)
  }
}
