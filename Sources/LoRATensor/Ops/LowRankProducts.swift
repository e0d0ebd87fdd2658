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
    let columns: Range<Int>  // its rows of the stacked A
    let choice: Int  // the pairs on the same rows share a P
    let ownColumns: Range<Int>  // its columns of that
  }

  let pairs: [Pair]  // without dropout first, and of these the ones on the same rows together
  private let rank: Int  // R
  private let sharedRank: Int  // rows of stackedA that read X itself
  private let products: [Tensor]  // P of each choice of rows, [T, its ranks]
  private let outFeatures: [Int]
  private let dtype: DType

  init(_ layers: [LinearOperand], x: Tensor) {
    outFeatures = layers.map { $0.weight.shape[0] }
    dtype = x.dtype
    let operands = layers.indices.flatMap { j in layers[j].pairs.map { (j, $0) } }
    var choices: [[Range<Int>]?] = []
    for (_, operand) in operands where !choices.contains(operand.rows) {
      choices.append(operand.rows)
    }
    let ordered =
      choices.flatMap { rows in operands.filter { $0.1.dropout == nil && $0.1.rows == rows } }
      + operands.filter { $0.1.dropout != nil }
    var offset = 0
    var ranks = choices.map { _ in 0 }
    pairs = ordered.map { j, operand in
      let choice = choices.firstIndex(of: operand.rows) ?? 0
      defer {
        offset += operand.rank
        ranks[choice] += operand.rank
      }
      return Pair(
        layer: j, operand: operand, columns: offset..<(offset + operand.rank), choice: choice,
        ownColumns: ranks[choice]..<(ranks[choice] + operand.rank))
    }
    rank = offset
    sharedRank = pairs.last { $0.operand.dropout == nil }?.columns.upperBound ?? 0

    let stackedA = Self.stackedA(of: pairs, for: x)
    products = ranks.map { Tensor(uninitialized: [x.shape.rows, $0], dtype: x.dtype) }
    // As if all rows had this choice: oneDNN's kernel depends on the product's width and strides.
    for choice in choices.indices {
      let own = pairs.filter { $0.operand.dropout == nil && $0.choice == choice }
      guard let first = own.first, let last = own.last else { continue }
      multiply(
        Matrix(x), Matrix(stackedA.rows(first.columns.lowerBound..<last.columns.upperBound)),
        transposeB: true,
        into: Matrix(products[choice], columns: 0..<last.ownColumns.upperBound))
    }
    for pair in pairs {
      guard let mask = pair.operand.dropout else { continue }
      multiply(
        Matrix(mask.applied(to: x)), Matrix(stackedA.rows(pair.columns)), transposeB: true,
        into: Matrix(products[pair.choice], columns: pair.ownColumns))
    }
    // A pair that acts on some rows has P = 0 and G = 0 at the others.
    for pair in pairs {
      guard let rows = pair.operand.rows else { continue }
      products[pair.choice].clearRows(outside: rows, columns: pair.ownColumns)
    }
  }

  // Neither is kept: making them again costs little, and of all layers they are as large as the
  // adapter.

  /// A, [R, in], in the type of the products.
  private static func stackedA(of pairs: [Pair], for x: Tensor) -> Tensor {
    let rank = pairs.last?.columns.upperBound ?? 0
    let stacked = Tensor(uninitialized: [rank, x.shape.lastDimension], dtype: x.dtype)
    for pair in pairs {
      let slot = stacked.rows(pair.columns)
      lk_convert(
        LK_F32, pair.operand.a.pointer, x.dtype.kernelType, slot.pointer, pair.operand.a.count)
    }
    return stacked
  }

  /// s·B of one pair, [out, r], in the type of the products.
  func scaledB(of pair: Pair) -> Tensor {
    let b = pair.operand.b
    let scaled = Tensor.zeros(b.shape)
    lk_axpy(pair.operand.scale, b.floats, scaled.floats, scaled.count)
    return scaled.converted(to: dtype)
  }

  /// P of one pair, [T, r]. Of few rows a copy: in a matrix with a longer stride oneDNN sums these in
  /// another order than more rows, and a row must not depend on how many there are.
  func p(of pair: Pair) -> Matrix {
    let all = products[pair.choice]
    guard all.shape.rows < 16, pair.ownColumns.count < all.shape.lastDimension else {
      return Matrix(all, columns: pair.ownColumns)
    }
    let own = Tensor(uninitialized: [all.shape.rows, pair.ownColumns.count], dtype: all.dtype)
    let bytes = all.dtype.byteCount(of: pair.ownColumns.count)
    let offset = all.dtype.byteCount(of: pair.ownColumns.lowerBound)
    let stride = all.dtype.byteCount(of: all.shape.lastDimension)
    for row in 0..<all.shape.rows {
      (own.pointer + row * bytes).copyMemory(
        from: all.pointer + row * stride + offset, byteCount: bytes)
    }
    return Matrix(own)
  }

  /// [X | P_1 | P_2 …], one P for each choice of rows, [T, in + R]; X itself where there are no pairs.
  func beside(_ x: Tensor) -> Tensor {
    guard !pairs.isEmpty else { return x }
    let width = x.shape.lastDimension
    let starts = besideStarts
    let shape: Shape = [x.shape.rows, width + (starts.last ?? 0)]
    let isFilled = starts.last == rank
    let wide =
      isFilled ? Tensor(uninitialized: shape, dtype: x.dtype) : Tensor.zeros(shape, dtype: x.dtype)
    wide.copyColumns(of: x, at: 0)
    for (p, start) in zip(products, starts) { wide.copyColumns(of: p, at: width + start) }
    return wide
  }

  /// The factors s·B of a layer's pairs under the columns of P, [out, R], zeros under those of other
  /// layers' pairs; nil where no layer has pairs.
  func factors(of layer: Int) -> Tensor? {
    guard !pairs.isEmpty else { return nil }
    let starts = besideStarts
    let result = Tensor.zeros([outFeatures[layer], starts.last ?? 0], dtype: dtype)
    for pair in pairs where pair.layer == layer {
      result.copyColumns(
        of: scaledB(of: pair), at: starts[pair.choice] + pair.ownColumns.lowerBound)
    }
    return result
  }

  /// Where each P begins beside X, and at last R. The numbers are even: bf16 products sum pairs of
  /// columns, and which two are a pair must not depend on the adapters of other rows.
  private var besideStarts: [Int] {
    products.reduce(into: [0]) { starts, p in
      starts.append((starts.last ?? 0) + (p.shape.lastDimension + 1) / 2 * 2)
    }
  }

  /// Adds dA and dB to the gradients and writes Σ D(G·A) to `dx`.
  ///
  /// - Returns: whether `dx` was written.
  func propagate(_ upstream: [Tensor?], x: Tensor, dx: Tensor?, to gradients: Gradients) -> Bool {
    guard !pairs.isEmpty else { return false }
    // A layer whose output did not matter has G = 0.
    let g = Tensor.zeros([x.shape.rows, rank], dtype: dtype)
    let stackedA = Self.stackedA(of: pairs, for: x)
    for pair in pairs {
      guard let dy = upstream[pair.layer] else { continue }
      multiply(Matrix(dy), Matrix(scaledB(of: pair)), into: Matrix(g, columns: pair.columns))
      guard gradients.wants(pair.operand.b) else { continue }
      let unscaled = Tensor(uninitialized: pair.operand.b.shape)
      multiply(Matrix(dy), p(of: pair), transposeA: true, into: Matrix(unscaled))
      let sum = gradients.accumulator(for: pair.operand.b)
      lk_axpy(pair.operand.scale, unscaled.floats, sum.floats, sum.count)
      gradients.set(sum, for: pair.operand.b)
    }
    for pair in pairs {
      if let rows = pair.operand.rows { g.clearRows(outside: rows, columns: pair.columns) }
    }
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
