// Bare matrix products, as the engine calls oneDNN, and what they are compared with.

import CLoRAKernels
import LoRATensor

/// c = op(a)·op(b), or added to c: one call of the engine's product, nothing around it.
func gemm(
  _ a: Tensor, _ b: Tensor, transposeA: Bool = false, transposeB: Bool = false, into c: Tensor,
  accumulate: Bool = false
) {
  let inner = transposeA ? a.shape[0] : a.shape[1]
  precondition(
    (transposeB ? b.shape[1] : b.shape[0]) == inner && c.shape[0] == a.shape[transposeA ? 1 : 0]
      && c.shape[1] == b.shape[transposeB ? 0 : 1],
    "gemm: \(a.shape) with \(b.shape) into \(c.shape)")
  var product = lk_gemm_arguments()
  product.m = Int64(c.shape[0])
  product.n = Int64(c.shape[1])
  product.k = Int64(inner)
  product.a = UnsafeRawPointer(a.pointer)
  product.b = UnsafeRawPointer(b.pointer)
  product.c = c.pointer
  product.lda = Int64(a.shape[1])
  product.ldb = Int64(b.shape[1])
  product.ldc = Int64(c.shape[1])
  product.ab_type = a.dtype.kernelType
  product.c_type = c.dtype.kernelType
  product.transpose_a = transposeA ? 1 : 0
  product.transpose_b = transposeB ? 1 : 0
  product.accumulate = accumulate ? 1 : 0
  withExtendedLifetime((a, b, c)) { lk_gemm(&product) }
}

extension Tensor {
  /// The first rows × columns numbers as a matrix of that shape; shares bytes.
  func part(_ rows: Int, _ columns: Int) -> Tensor {
    Tensor(storage: storage, byteOffset: byteOffset, shape: [rows, columns], dtype: dtype)
  }
}

/// The machine's rate of matrix products: a square product that fits the caches, in FLOP/s.
struct ProductLimit {
  private let size = 1024
  private let a: Tensor
  private let c: Tensor

  init(_ type: DType) {
    a = numbers([size, size], type)
    c = .zeros([size, size], dtype: type)
  }

  func measured() -> Double {
    let start = ContinuousClock.now
    gemm(a, a, into: c)
    return 2 * Double(size * size * size) / start.duration(to: .now).inSeconds
  }
}

/// The machine's rate of y += a·x in bytes/s, at a size: what lies in a cache there does so here.
struct MemoryLimit {
  private let x: Tensor
  private let y: Tensor

  /// - Parameter bytes: what is read and written in all.
  init(bytes: Double) {
    let count = max(Int(bytes / 12), 1)
    x = numbers([count], .float32)
    y = .zeros([count])
  }

  func measured() -> Double {
    let start = ContinuousClock.now
    lk_axpy(1e-3, x.floats, y.floats, x.count)
    return 12 * Double(x.count) / start.duration(to: .now).inSeconds
  }
}

/// Normal numbers: zeros could be faster than what occurs.
func numbers(_ shape: Shape, _ type: DType, deviation: Float = 1) -> Tensor {
  var random = Random(seed: UInt64(shape.count))
  return random.normal(shape, deviation: deviation).converted(to: type)
}
