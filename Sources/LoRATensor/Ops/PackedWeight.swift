// Products with stored weights.
//
// In bfloat16 a weight goes from its stored blocks straight to the order that oneDNN's kernels read
// (see pack_body.h), into a buffer that the next product uses again: training from a quantised file
// needs no second copy of the model. Elsewhere the weight is converted and the library packs it.

import CLoRAKernels

/// A weight as the second matrix of one product, and perhaps of the next.
struct PackedWeight {
  private let storage: Storage
  /// The rows and columns of the product's second matrix.
  let rows: Int
  let columns: Int

  /// The elements up to which a weight is packed. A packed weight is written and read once more, which
  /// is cheap near the cores only: at 4096 × 4096 and 128 rows it cost half of the product, where
  /// oneDNN packs and multiplies piece by piece.
  private static let largest = 1 << 22

  /// Whether products of this type take this weight packed on this processor. How the weight is
  /// stored does not matter, so that a mapped and a resident one give the same bits.
  static func isUsed(for weight: Tensor, in dtype: DType) -> Bool {
    dtype == .bfloat16 && weight.count <= largest && lk_multiplies_packed() != 0
  }

  /// W [out, in] for dY·W, or with `transposed` for X·Wᵀ.
  ///
  /// - Parameter beside: bfloat16 [out, n], more columns of a transposed W: [X | P]·[W | beside]ᵀ.
  init(_ weight: Tensor, transposed: Bool, beside: Tensor? = nil) {
    let (out, width) = (weight.shape[0], weight.shape[1])
    let more = beside?.shape[1] ?? 0
    precondition(
      beside.map { transposed && $0.dtype == .bfloat16 && $0.shape[0] == out } ?? true,
      "PackedWeight: \(beside?.shape ?? []) beside \(weight.shape)")
    rows = transposed ? width + more : out
    columns = transposed ? out : width
    storage = Storage(byteCount: max(2 * lk_packed_count(rows, columns), 1))
    var packing = lk_packing()
    packing.type = weight.dtype.kernelType
    packing.weight = UnsafeRawPointer(weight.pointer)
    packing.rows = out
    packing.columns = width
    packing.transpose = transposed ? 1 : 0
    packing.beside = beside.map { UnsafePointer($0.pointer.assumingMemoryBound(to: UInt16.self)) }
    packing.beside_columns = more
    packing.packed = storage.pointer.assumingMemoryBound(to: UInt16.self)
    withExtendedLifetime((weight, beside, storage)) { lk_pack(&packing) }
  }

  var pointer: UnsafeRawPointer { UnsafeRawPointer(storage.pointer) }
}

/// `c = a·b`, or added to what `c` holds.
func multiply(_ a: Matrix, _ b: PackedWeight, into c: Matrix, accumulate: Bool = false) {
  precondition(
    a.columns == b.rows && c.rows == a.rows && c.columns == b.columns && a.dtype == .bfloat16,
    "product: \(a.rows)×\(a.columns) with a packed \(b.rows)×\(b.columns) into "
      + "\(c.rows)×\(c.columns)")
  guard a.rows > 0, b.rows > 0, b.columns > 0 else { return }
  var arguments = lk_gemm_arguments()
  arguments.m = Int64(a.rows)
  arguments.n = Int64(b.columns)
  arguments.k = Int64(b.rows)
  arguments.a = UnsafeRawPointer(a.pointer)
  arguments.b = b.pointer
  arguments.c = c.pointer
  arguments.lda = Int64(a.stride)
  arguments.ldc = Int64(c.stride)
  arguments.ab_type = a.dtype.kernelType
  arguments.c_type = c.dtype.kernelType
  arguments.accumulate = accumulate ? 1 : 0
  arguments.b_packed = 1
  withExtendedLifetime((a, b, c)) { lk_gemm(&arguments) }
}

/// `c = x·Wᵀ` (`transposed`) or `c = x·W` for a weight of any stored type, or added to `c`.
func multiply(
  _ x: Matrix, weight: Tensor, transposed: Bool, into c: Matrix, accumulate: Bool = false
) {
  if PackedWeight.isUsed(for: weight, in: x.dtype) {
    multiply(x, PackedWeight(weight, transposed: transposed), into: c, accumulate: accumulate)
  } else {
    multiply(
      x, Matrix(weight.converted(to: x.dtype)), transposeB: transposed, into: c,
      accumulate: accumulate)
  }
}
