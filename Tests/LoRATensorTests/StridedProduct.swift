// One matrix product for tests of lk_gemm, with what it should give.

import CLoRAKernels
import LoRATensor
import Testing

/// C = op(A)·op(B), or added to C. Stored wider than they are: A, B and C are columns of larger
/// matrices, and what lies beside C must stay.
struct StridedProduct {
  let m: Int
  let n: Int
  let k: Int
  var transposeA = false
  var transposeB = false
  var accumulate = false
  /// Of A and B.
  var type = DType.float32
  /// Of C.
  var resultType = DType.float32

  private var aShape: (rows: Int, columns: Int) { transposeA ? (k, m) : (m, k) }
  private var bShape: (rows: Int, columns: Int) { transposeB ? (n, k) : (k, n) }
  private var aStride: Int { aShape.columns + 3 }
  private var bStride: Int { bShape.columns + 5 }
  private var cStride: Int { n + 2 }
  private var before: Float { 7 }

  /// A and B, the same at each call.
  func inputs() -> (a: Tensor, b: Tensor) {
    var random = Random(seed: UInt64(m * 10_000 + n * 100 + k))
    let a = random.normal([aShape.rows, aStride]).converted(to: type)
    return (a, random.normal([bShape.rows, bStride]).converted(to: type))
  }

  /// What `lk_gemm` makes of them.
  func result(_ a: Tensor, _ b: Tensor) -> [Float] {
    let result = Tensor.full([m, cStride], before).converted(to: resultType)
    var product = lk_gemm_arguments()
    product.m = Int64(m)
    product.n = Int64(n)
    product.k = Int64(k)
    product.a = UnsafeRawPointer(a.pointer)
    product.b = UnsafeRawPointer(b.pointer)
    product.c = result.pointer
    product.lda = Int64(aStride)
    product.ldb = Int64(bStride)
    product.ldc = Int64(cStride)
    product.ab_type = type.kernelType
    product.c_type = resultType.kernelType
    product.transpose_a = transposeA ? 1 : 0
    product.transpose_b = transposeB ? 1 : 0
    product.accumulate = accumulate ? 1 : 0
    withExtendedLifetime((a, b, result)) { lk_gemm(&product) }
    return result.converted(to: .float32).elements
  }

  /// The same from sums in double.
  func expected(_ a: Tensor, _ b: Tensor) -> [Float] {
    let left = a.converted(to: .float32).elements
    let right = b.converted(to: .float32).elements
    var expected = [Float](repeating: before, count: m * cStride)
    for i in 0..<m {
      for j in 0..<n {
        var sum = accumulate ? Double(before) : 0
        for l in 0..<k {
          let x = transposeA ? left[l * aStride + i] : left[i * aStride + l]
          let y = transposeB ? right[j * bStride + l] : right[l * bStride + j]
          sum += Double(x) * Double(y)
        }
        expected[i * cStride + j] = Float(sum)
      }
    }
    return expected
  }
}

extension StridedProduct: CustomTestStringConvertible {
  var testDescription: String {
    "\(m)×\(n)×\(k) A\(transposeA ? "ᵀ" : "") B\(transposeB ? "ᵀ" : "")"
      + "\(accumulate ? " added" : "") \(type.rawValue) into \(resultType.rawValue)"
  }
}
