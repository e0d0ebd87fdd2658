// DoRA in the linear layer's own pass: its rows are stretched in the product itself, so that nothing
// more is kept than a plain pair keeps, but for the product where the layer's output does not hold it.
//
//   Y = g∘U + b (+ residual),   U = X·Wᵀ + s·P·Bᵀ,   g = m/n
//   dU = g∘dY,   dm_i = Σ_t dY_ti·U_ti / n_i, or, where Y = g∘U, Σ_t dY_ti·Y_ti / m_i
//
// What acts on another input than X (dropout) or after another magnitude: see WeightDecomposed.swift.

import CLoRAKernels

/// The stretch of one layer's rows.
struct RowStretch {
  private let magnitude: Tensor  // m, [out]
  private let inverseNorm: Tensor  // 1/n, [out]
  private let factors: Tensor  // g
  /// What dm is found by: U and 1/n, or Y and 1/m where Y is nothing but g∘U and g is never 0.
  private var kept: (tensor: Tensor, factors: Tensor)?

  /// The stretch of a layer; nil where it has none that its own pass can apply.
  init?(_ layer: LinearOperand) {
    guard let operand = layer.magnitudeOfItsPass else { return nil }
    magnitude = operand.magnitude
    inverseNorm = operand.inverseNorm
    factors = magnitude.detached * inverseNorm
  }

  /// Makes Y of U.
  ///
  /// - Parameters:
  ///   - u: [T, out]; stretched in place where nothing needs it any more.
  ///   - hasBias: whether one is added to Y afterwards.
  ///   - keeps: whether the way back will come.
  mutating func applied(to u: Tensor, residual: Tensor?, hasBias: Bool, keeps: Bool) -> Tensor {
    let (type, rows, width) = (u.dtype.kernelType, u.shape.rows, factors.count)
    if let residual {
      let y = residual.copied()
      lk_add_scaled_columns(type, u.pointer, factors.floats, y.floats, rows, width)
      if keeps { kept = (u, inverseNorm) }
      return y
    }
    let isInPlace = !keeps || !hasBias && factors.elements.allSatisfy { $0 != 0 }
    let y = isInPlace ? u : Tensor(uninitialized: u.shape, dtype: u.dtype)
    lk_scale_columns(type, u.pointer, factors.floats, y.pointer, rows, width)
    guard keeps else { return y }
    kept =
      isInPlace
      ? (y, Tensor(magnitude.elements.map { 1 / $0 }, shape: magnitude.shape)) : (u, inverseNorm)
    return y
  }

  /// Adds dm, and gives dU.
  ///
  /// - Parameter dy: [T, out], of the type of the products.
  func propagate(_ dy: Tensor, to gradients: Gradients) -> Tensor {
    let (type, rows, width) = (dy.dtype.kernelType, dy.shape.rows, factors.count)
    if gradients.wants(magnitude), let kept {
      let sums = Tensor.zeros(magnitude.shape)
      lk_column_dots(type, dy.pointer, kept.tensor.pointer, sums.floats, rows, width)
      gradients.add(sums * kept.factors, to: magnitude)
    }
    let du = Tensor(uninitialized: dy.shape, dtype: dy.dtype)
    lk_scale_columns(type, dy.pointer, factors.floats, du.pointer, rows, width)
    return du
  }
}

extension LinearOperand {
  /// The magnitude that stretches all rows of the whole product: the last pair's, which sees X itself,
  /// where no pair before it has one.
  var magnitudeOfItsPass: MagnitudeOperand? {
    guard let last = pairs.last, last.dropout == nil, last.rows == nil, last.bias == nil,
      pairs.dropLast().allSatisfy({ $0.magnitude == nil })
    else { return nil }
    return last.magnitude
  }
}
