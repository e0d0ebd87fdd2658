// Products with a narrow matrix (narrow_product_body.h) against sums in double, every element, at odd
// sizes and with strides: G = dY·B, dB = dYᵀ·P, dA = Gᵀ·X. On a processor without AVX512-BF16 the
// same products go to oneDNN, to the same bounds.

import LoRATensor
import LoRATestSupport
import Testing

struct NarrowProductTests {
  private static let cases: [StridedProduct] =
    [(1, 1, 1), (17, 3, 5), (16, 16, 64), (33, 16, 577), (5, 17, 31), (70, 48, 130), (40, 64, 257)]
    .flatMap { m, n, k in
      [DType.float32, .bfloat16].map {
        StridedProduct(m: m, n: n, k: k, type: .bfloat16, resultType: $0)
      }
    }
    + [
      (1, 1, 1), (31, 1, 2), (33, 16, 127), (577, 16, 129), (16, 577, 129), (3, 65, 257),
      (48, 130, 511), (64, 67, 300), (67, 64, 300), (8, 32, 128), (40, 40, 3),
    ].map { StridedProduct(m: $0.0, n: $0.1, k: $0.2, transposeA: true, type: .bfloat16) }

  @Test(arguments: cases) func everyElement(_ product: StridedProduct) {
    let (a, b) = product.inputs()
    // Sums of k terms of size 1 in float32; a bf16 result is rounded once (2⁻⁹ of it).
    let rounding = 1e-6 * Float(product.k).squareRoot() + 1e-6
    expectClose(
      actual: product.result(a, b), expected: product.expected(a, b), atol: 4 * rounding,
      rtol: product.resultType == .bfloat16 ? 0.004 : 1e-6, name: product.testDescription)
  }
}
