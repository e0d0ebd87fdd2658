// What a linear layer multiplies: a tensor, or a cheap function of one that is computed again in
// the backward step instead of being kept.

import CLoRAKernels

/// The activation of a gated unit.
package enum GateActivation: Sendable {
  /// x·σ(x) (Llama, Qwen).
  case silu
  /// GELU with the tanh approximation (Gemma).
  case geluTanh

  var kernelKind: Int32 { Int32(self == .silu ? LK_SILU : LK_GELU_TANH) }
}

/// The input of one or more linear layers.
///
/// A normalisation or a gated product costs a few operations per element where the products that
/// follow cost thousands; keeping only what it is made from saves more memory than time is lost.
package enum LinearInput {
  /// The tensor itself, float32 or bfloat16, [..., in].
  case plain(Tensor)
  /// RMSNorm of the residual stream `x` (float32), given out as `dtype`.
  case normalized(_ x: Tensor, weight: Tensor, epsilon: Float, dtype: DType)
  /// act(gate)·up.
  case gated(gate: Tensor, up: Tensor, activation: GateActivation)

  var tensors: [Tensor] {
    switch self {
    case .plain(let x): [x]
    case .normalized(let x, let weight, _, _): [x, weight]
    case .gated(let gate, let up, _): [gate, up]
    }
  }

  /// The shape of the layers' input.
  var shape: Shape { tensors[0].shape }

  /// The function's value, of which nothing is kept.
  func materialized() -> Tensor { materialized(keeping: nil) }

  /// The function's value, and what a backward step holds on to of it.
  func kept() -> (value: Tensor, kept: KeptInput) {
    switch self {
    case .plain(let x):
      return (x, .plain(x))
    case .normalized(let x, let weight, _, let dtype):
      let unit = Tensor(uninitialized: x.shape, dtype: dtype)
      let rstd = Tensor(uninitialized: [x.shape.rows])
      return (
        materialized(keeping: (unit, rstd)),
        .normalized(unit: unit, rstd: rstd, weight: weight, x: x.gradientSlot)
      )
    case .gated(let gate, let up, let activation):
      return (materialized(), .gated(gate: gate, up: up, activation: activation))
    }
  }

  /// The function's value on the tape.
  func recorded() -> Tensor {
    if case .plain(let x) = self { return x }
    guard Tape.records(tensors) else { return materialized() }
    let (value, kept) = kept()
    return Tape.record(value, inputs: tensors) { dy, gradients in
      kept.propagate(dy, to: gradients)
    }
  }

  private func materialized(keeping kept: (unit: Tensor, rstd: Tensor)?) -> Tensor {
    switch self {
    case .plain(let x):
      return x
    case .normalized(let x, let weight, let epsilon, let dtype):
      let y = Tensor(uninitialized: x.shape, dtype: dtype)
      lk_rms_norm(
        dtype.kernelType, x.floats, weight.floats, epsilon, y.pointer, kept?.unit.pointer,
        kept?.rstd.floats, x.shape.rows, x.shape.lastDimension)
      return y
    case .gated(let gate, let up, let activation):
      let h = Tensor(uninitialized: gate.shape, dtype: gate.dtype)
      lk_gated(
        activation.kernelKind, gate.dtype.kernelType, gate.pointer, up.pointer, h.pointer,
        gate.count)
      return h
    }
  }
}

/// What a backward step holds on to of its input: enough to form it again and to pass its gradient on.
enum KeptInput {
  case plain(Tensor)
  /// x̂ = x·rstd, in the type of the products: in bfloat16 half the bytes of x, which nothing else
  /// keeps. The value formed again is x̂·w with x̂ rounded (2⁻⁹); in float32 it has the same bits.
  case normalized(unit: Tensor, rstd: Tensor, weight: Tensor, x: GradientSlot)
  case gated(gate: Tensor, up: Tensor, activation: GateActivation)

  var isNormalized: Bool {
    if case .normalized = self { true } else { false }
  }

  /// The function's value again.
  func value() -> Tensor {
    switch self {
    case .plain(let x):
      return x
    case .normalized(let unit, _, let weight, _):
      let y = Tensor(uninitialized: unit.shape, dtype: unit.dtype)
      lk_scale_columns(
        unit.dtype.kernelType, unit.pointer, weight.floats, y.pointer, unit.shape.rows,
        weight.count)
      return y
    case .gated(let gate, let up, let activation):
      return LinearInput.gated(gate: gate, up: up, activation: activation).materialized()
    }
  }

  /// Whether a gradient of something that it was made from is asked for.
  func isWanted(by gradients: Gradients) -> Bool {
    switch self {
    case .plain(let x): gradients.wants(x)
    case .normalized(_, _, let weight, let x): gradients.wants(x) || gradients.wants(weight)
    case .gated(let gate, let up, _): gradients.wants(gate) || gradients.wants(up)
    }
  }

  /// Passes the gradient of the value on to what it was made from.
  func propagate(_ dy: Tensor, to gradients: Gradients) {
    switch self {
    case .plain(let x):
      gradients.add(dy, to: x)
    case .normalized(let unit, let rstd, let weight, let x):
      let wide = dy.converted(to: .float32)
      let dx = gradients.wants(x) ? gradients.accumulator(for: x) : nil
      let dw = gradients.wants(weight) ? gradients.accumulator(for: weight) : nil
      lk_rms_norm_backward(
        unit.dtype.kernelType, unit.pointer, weight.floats, rstd.floats, wide.floats, dx?.floats,
        dw?.floats, unit.shape.rows, unit.shape.lastDimension)
      if let dx { gradients.set(dx, for: x) }
      if let dw { gradients.set(dw, for: weight) }
    case .gated(let gate, let up, let activation):
      let dgate = Tensor(uninitialized: gate.shape, dtype: gate.dtype)
      let dup = Tensor(uninitialized: up.shape, dtype: up.dtype)
      let narrow = dy.converted(to: gate.dtype)
      lk_gated_backward(
        activation.kernelKind, gate.dtype.kernelType, gate.pointer, up.pointer, narrow.pointer,
        dgate.pointer, dup.pointer, gate.count)
      gradients.add(dgate, to: gate)
      gradients.add(dup, to: up)
    }
  }
}
