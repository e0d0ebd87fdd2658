// Matrix products for the operations: row-major matrices, or columns cut out of wider ones.

import CLoRAKernels

/// A matrix inside a buffer: `rows` × `columns`, rows `stride` elements apart.
///
/// It holds on to the bytes: a product of a temporary tensor must not see them handed to another.
struct Matrix {
  private let storage: Storage
  let pointer: UnsafeMutableRawPointer
  let rows: Int
  let columns: Int
  let stride: Int
  let dtype: DType

  /// A tensor with its leading axes folded into rows.
  init(_ tensor: Tensor) {
    storage = tensor.storage
    pointer = tensor.pointer
    rows = tensor.shape.rows
    columns = tensor.shape.lastDimension
    stride = columns
    dtype = tensor.dtype
  }

  /// The columns `range` of a tensor's matrix.
  init(_ tensor: Tensor, columns range: Range<Int>) {
    storage = tensor.storage
    pointer = tensor.pointer + tensor.dtype.byteCount(of: range.lowerBound)
    rows = tensor.shape.rows
    columns = range.count
    stride = tensor.shape.lastDimension
    dtype = tensor.dtype
  }
}

/// `c = op(a)·op(b)`, or added to what `c` holds.
///
/// `a` and `b` have one type, float32 or bfloat16; `c` is float32, or bfloat16 like them. Sums run
/// in float32.
func multiply(
  _ a: Matrix, _ b: Matrix, transposeA: Bool = false, transposeB: Bool = false, into c: Matrix,
  accumulate: Bool = false
) {
  let m = transposeA ? a.columns : a.rows
  let k = transposeA ? a.rows : a.columns
  let n = transposeB ? b.rows : b.columns
  precondition(
    (transposeB ? b.columns : b.rows) == k && c.rows == m && c.columns == n && a.dtype == b.dtype,
    "product: \(a.rows)×\(a.columns)\(transposeA ? "ᵀ" : "") \(a.dtype.rawValue) with "
      + "\(b.rows)×\(b.columns)\(transposeB ? "ᵀ" : "") \(b.dtype.rawValue) into "
      + "\(c.rows)×\(c.columns)")
  guard m > 0, n > 0, k > 0 else { return }
  var arguments = lk_gemm_arguments()
  arguments.m = Int64(m)
  arguments.n = Int64(n)
  arguments.k = Int64(k)
  arguments.a = UnsafeRawPointer(a.pointer)
  arguments.b = UnsafeRawPointer(b.pointer)
  arguments.c = c.pointer
  arguments.lda = Int64(a.stride)
  arguments.ldb = Int64(b.stride)
  arguments.ldc = Int64(c.stride)
  arguments.ab_type = a.dtype.kernelType
  arguments.c_type = c.dtype.kernelType
  arguments.transpose_a = transposeA ? 1 : 0
  arguments.transpose_b = transposeB ? 1 : 0
  arguments.accumulate = accumulate ? 1 : 0
  withExtendedLifetime((a, b, c)) { lk_gemm(&arguments) }
}
