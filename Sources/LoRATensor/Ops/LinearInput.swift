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

  /// The function's value. `rstd` receives the rows' 1/√(mean x² + ε) of a normalisation.
  func materialized(rstd: Tensor? = nil) -> Tensor {
    switch self {
    case .plain(let x):
      return x
    case .normalized(let x, let weight, let epsilon, let dtype):
      let y = Tensor(uninitialized: x.shape, dtype: dtype)
      lk_rms_norm(
        dtype.kernelType, x.floats, weight.floats, epsilon, y.pointer, rstd?.floats, x.shape.rows,
        x.shape.lastDimension)
      return y
    case .gated(let gate, let up, let activation):
      let h = Tensor(uninitialized: gate.shape, dtype: gate.dtype)
      lk_gated(
        activation.kernelKind, gate.dtype.kernelType, gate.pointer, up.pointer, h.pointer,
        gate.count)
      return h
    }
  }

  /// Passes the gradient of the value on to what it was made from.
  func propagate(_ dy: Tensor, rstd: Tensor?, to gradients: Gradients) {
    switch self {
    case .plain(let x):
      gradients.add(dy, to: x)
    case .normalized(let x, let weight, _, _):
      guard let rstd else { return }
      let wide = dy.converted(to: .float32)
      let dx = gradients.wants(x) ? gradients.accumulator(for: x) : nil
      let dw = gradients.wants(weight) ? gradients.accumulator(for: weight) : nil
      lk_rms_norm_backward(
        x.floats, weight.floats, rstd.floats, wide.floats, dx?.floats, dw?.floats, x.shape.rows,
        x.shape.lastDimension)
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
