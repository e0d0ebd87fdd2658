// The low-rank paths of layers that share an input, with their factors stacked.
//
// All pairs without dropout read the same X, so their A are stacked to one matrix [R, in] (R the
// sum of the ranks) and one product gives every P; likewise one product gives every dA.

import CLoRAKernels

/// A = [A_1; A_2; …], P = X·Aᵀ, and the backward products through them.
struct LowRankProducts {
  struct Pair {
    let layer: Int
    let operand: LowRankOperand
    let columns: Range<Int>  // its columns of P, its rows of the stacked A
    let scaledB: Tensor  // s·B in the type of the products
  }

  let pairs: [Pair]  // without dropout first, and of these the ones on the same rows together
  private let stackedA: Tensor  // [R, in]; the pairs without dropout come first
  private let sharedRank: Int  // rows of stackedA that read X itself
  private let products: Tensor  // P, [T, R]

  init(_ layers: [LinearOperand], x: Tensor) {
    let operands = layers.indices.flatMap { j in layers[j].pairs.map { (j, $0) } }
    let shared = operands.filter { $0.1.dropout == nil }.map(\.1.rows)
    let choices = shared.indices.filter { shared[..<$0].contains(shared[$0]) == false }.map {
      shared[$0]
    }
    let ordered =
      choices.flatMap { rows in operands.filter { $0.1.dropout == nil && $0.1.rows == rows } }
      + operands.filter { $0.1.dropout != nil }
    var offset = 0
    pairs = ordered.map { j, operand in
      defer { offset += operand.rank }
      let scaled = Tensor.zeros(operand.b.shape)
      lk_axpy(operand.scale, operand.b.floats, scaled.floats, scaled.count)
      return Pair(
        layer: j, operand: operand, columns: offset..<(offset + operand.rank),
        scaledB: scaled.converted(to: x.dtype))
    }
    sharedRank = pairs.last { $0.operand.dropout == nil }?.columns.upperBound ?? 0

    let width = x.shape.lastDimension
    stackedA = Tensor(uninitialized: [offset, width], dtype: x.dtype)
    products = Tensor(uninitialized: [x.shape.rows, offset], dtype: x.dtype)
    for pair in pairs {
      let a = pair.operand.a
      let slot = stackedA.rows(pair.columns)
      lk_convert(LK_F32, a.pointer, x.dtype.kernelType, slot.pointer, a.count)
    }
    // Stacked as they would be if all rows had this choice: the kernel may depend on the width.
    for rows in choices {
      let own = pairs.filter { $0.operand.dropout == nil && $0.operand.rows == rows }
      guard let first = own.first, let last = own.last else { continue }
      let columns = first.columns.lowerBound..<last.columns.upperBound
      multiply(
        Matrix(x), Matrix(stackedA.rows(columns)), transposeB: true,
        into: Matrix(products, columns: columns))
    }
    for pair in pairs {
      guard let mask = pair.operand.dropout else { continue }
      multiply(
        Matrix(mask.applied(to: x)), Matrix(stackedA.rows(pair.columns)), transposeB: true,
        into: p(of: pair))
    }
    clearUnselectedRows(of: products)
  }

  /// A pair that acts on some rows has P = 0 and G = 0 at the others.
  private func clearUnselectedRows(of tensor: Tensor) {
    for pair in pairs {
      if let rows = pair.operand.rows { tensor.clearRows(outside: rows, columns: pair.columns) }
    }
  }

  /// P of one pair, [T, r].
  func p(of pair: Pair) -> Matrix { Matrix(products, columns: pair.columns) }

  /// Adds dA and dB to the gradients and writes Σ D(G·A) to `dx`.
  ///
  /// - Returns: whether `dx` was written.
  func propagate(_ upstream: [Tensor?], x: Tensor, dx: Tensor?, to gradients: Gradients) -> Bool {
    guard !pairs.isEmpty else { return false }
    // A layer whose output did not matter has G = 0.
    let g = Tensor.zeros(products.shape, dtype: x.dtype)
    for pair in pairs {
      guard let dy = upstream[pair.layer] else { continue }
      multiply(Matrix(dy), Matrix(pair.scaledB), into: Matrix(g, columns: pair.columns))
      guard gradients.wants(pair.operand.b) else { continue }
      let unscaled = Tensor(uninitialized: pair.operand.b.shape)
      multiply(Matrix(dy), p(of: pair), transposeA: true, into: Matrix(unscaled))
      let sum = gradients.accumulator(for: pair.operand.b)
      lk_axpy(pair.operand.scale, unscaled.floats, sum.floats, sum.count)
      gradients.set(sum, for: pair.operand.b)
    }
    clearUnselectedRows(of: g)
    var written = false
    if sharedRank > 0 {
      let shared = 0..<sharedRank
      if pairs.contains(where: { $0.operand.dropout == nil && gradients.wants($0.operand.a) }) {
        let da = Tensor(uninitialized: [sharedRank, x.shape.lastDimension])
        multiply(Matrix(g, columns: shared), Matrix(x), transposeA: true, into: Matrix(da))
        for pair in pairs where pair.operand.dropout == nil {
          addGradient(da.rows(pair.columns), of: pair, to: gradients)
        }
      }
      if let dx {
        multiply(Matrix(g, columns: shared), Matrix(stackedA.rows(shared)), into: Matrix(dx))
        written = true
      }
    }
    for pair in pairs {
      guard let mask = pair.operand.dropout else { continue }
      if gradients.wants(pair.operand.a) {
        let da = Tensor(uninitialized: pair.operand.a.shape)
        multiply(
          Matrix(g, columns: pair.columns), Matrix(mask.applied(to: x)), transposeA: true,
          into: Matrix(da))
        addGradient(da, of: pair, to: gradients)
      }
      if let dx {
        let through = Tensor(uninitialized: x.shape)
        multiply(
          Matrix(g, columns: pair.columns), Matrix(stackedA.rows(pair.columns)),
          into: Matrix(through))
        let masked = mask.applied(to: through)
        if written {
          dx.add(masked)
        } else {
          dx.pointer.copyMemory(from: masked.pointer, byteCount: masked.count * 4)
        }
        written = true
      }
    }
    return written
  }

  private func addGradient(_ da: Tensor, of pair: Pair, to gradients: Gradients) {
    guard gradients.wants(pair.operand.a) else { return }
    let sum = gradients.accumulator(for: pair.operand.a)
    sum.add(da)
    gradients.set(sum, for: pair.operand.a)
  }
}
