// Element-wise operations on float32 tensors.

import CLoRAKernels

/// A function of one number.
public enum UnaryFunction: Sendable, CaseIterable {
  /// −x, eˣ, ln x and √x.
  case negate, exp, log, squareRoot
  /// Hyperbolic tangent and 1/(1 + e^(−x)).
  case tanh, sigmoid
  /// max(x, 0) and x·σ(x).
  case relu, silu
  /// x·Φ(x), exact and by the tanh approximation (Hendrycks & Gimpel 2016).
  case gelu, geluTanh

  private var kernel: Int32 {
    switch self {
    case .negate: Int32(LK_NEGATE)
    case .exp: Int32(LK_EXP)
    case .log: Int32(LK_LOG)
    case .squareRoot: Int32(LK_SQRT)
    case .tanh: Int32(LK_TANH)
    case .sigmoid: Int32(LK_SIGMOID)
    case .relu: Int32(LK_RELU)
    case .silu: Int32(LK_SILU_OP)
    case .gelu: Int32(LK_GELU)
    case .geluTanh: Int32(LK_GELU_TANH_OP)
    }
  }

  /// The function of every element; the gradient is dy·f'(x).
  public func callAsFunction(_ x: Tensor) -> Tensor {
    let y = Tensor(uninitialized: x.shape)
    lk_unary(kernel, x.floats, y.floats, x.count)
    return Tape.record(y, inputs: [x]) { dy, gradients in
      let sum = gradients.accumulator(for: x)
      lk_unary_backward(kernel, x.floats, y.floats, dy.floats, sum.floats, x.count)
      gradients.set(sum, for: x)
    }
  }
}

extension Tensor {
  /// The sum, element by element; `rhs` has the shape of `lhs`, of its last axes, or is one number.
  public static func + (lhs: Tensor, rhs: Tensor) -> Tensor { binary(Int32(LK_ADD), lhs, rhs) }

  /// The difference, with the shapes of `+`.
  public static func - (lhs: Tensor, rhs: Tensor) -> Tensor {
    binary(Int32(LK_SUBTRACT), lhs, rhs)
  }

  /// The product element by element, with the shapes of `+`.
  public static func * (lhs: Tensor, rhs: Tensor) -> Tensor {
    binary(Int32(LK_MULTIPLY), lhs, rhs)
  }

  /// The quotient element by element, with the shapes of `+`.
  public static func / (lhs: Tensor, rhs: Tensor) -> Tensor { binary(Int32(LK_DIVIDE), lhs, rhs) }

  private static func binary(_ op: Int32, _ a: Tensor, _ b: Tensor) -> Tensor {
    // `b` repeats over a's leading axes: [rows, n] against [n].
    let suffix = b.count == 1 || a.shape.dimensions.suffix(b.shape.rank) == b.shape.dimensions[...]
    precondition(suffix, "element-wise operation: shapes \(a.shape) and \(b.shape) do not fit")
    let width = b.count == 1 ? a.shape.lastDimension : b.count
    let rows = width == 0 ? 0 : a.count / width
    let y = compute(op, a, b, rows: rows, width: width)
    return Tape.record(y, inputs: [a, b]) { dy, gradients in
      let isProduct = op == Int32(LK_MULTIPLY)
      let isQuotient = op == Int32(LK_DIVIDE)
      if gradients.wants(a) {
        let da = isProduct || isQuotient ? compute(op, dy, b, rows: rows, width: width) : dy
        gradients.add(da, to: a)
      }
      guard gradients.wants(b) else { return }
      // Full-size gradient of b first: dy, −dy, dy·a or −dy·y/b; then summed over what repeats.
      var full = dy
      if isProduct { full = compute(op, dy, a, rows: 1, width: a.count) }
      if isQuotient {
        let scaled = compute(op, dy, b, rows: rows, width: width)
        full = compute(Int32(LK_MULTIPLY), scaled, y, rows: 1, width: y.count)
      }
      let sign: Float = op == Int32(LK_SUBTRACT) || isQuotient ? -1 : 1
      let sum = gradients.accumulator(for: b)
      if b.count == 1 {
        sum.floats[0] += sign * Float(lk_sum(full.floats, full.count))
      } else {
        for row in 0..<rows { lk_axpy(sign, full.floats + row * width, sum.floats, width) }
      }
      gradients.set(sum, for: b)
    }
  }

  private static func compute(
    _ op: Int32, _ a: Tensor, _ b: Tensor, rows: Int, width: Int
  ) -> Tensor {
    let y = Tensor(uninitialized: a.shape)
    lk_binary(op, a.floats, b.floats, b.count, y.floats, rows, width)
    return y
  }
}
