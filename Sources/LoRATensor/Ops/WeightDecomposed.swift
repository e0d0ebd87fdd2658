// DoRA: a linear layer whose adapted weight has rows of trained length, composed of the fused
// operation and a few of its own.
//
//   Y = g∘(X·Wᵀ + s·(X·Aᵀ)·Bᵀ) + b,    g = m/n,    n_i = ‖W_i + s·(B·A)_i‖
//
// m [out] is trained; n follows A and B but no gradient goes through it. With dropout D in training
// the low-rank part and its share of the base see D(X):
//
//   Y = X·Wᵀ + (g − 1)∘(D(X)·Wᵀ) + g∘s·(D(X)·Aᵀ)·Bᵀ + b
//
// Without dropout a layer's last magnitude is applied in the layer's own pass (RowStretch.swift);
// here is what is not as simple, and what needs no gradient while weights are read as stored.
//
// Beside PiSSA or OLoRA W is what is left of it, W − s·B₀·A₀. Several pairs act one after the other, each on what those before it made.
// Source: Liu et al. 2024 (DoRA, 2402.09353), section 4.3; the dropout rule is PEFT's.

import CLoRAKernels

/// The trained lengths of DoRA, and what makes the rows of W + s·B·A unit vectors.
package struct MagnitudeOperand {
  package var magnitude: Tensor  // m, [out], float32
  package var inverseNorm: Tensor  // 1/n, [out], float32; a constant
  /// A₀ and B₀, whose product is out of W: a pair before this one takes it out of Y.
  package var start: (a: Tensor, b: Tensor)?

  package init(
    magnitude: Tensor, inverseNorm: Tensor, start: (a: Tensor, b: Tensor)? = nil
  ) {
    self.magnitude = magnitude
    self.inverseNorm = inverseNorm
    self.start = start
  }
}

/// `linear` for layers of which some have magnitudes; the others run as one.
func composedLinear(
  _ input: LinearInput, _ layers: [LinearOperand], residual: Tensor?
) -> [Tensor] {
  let x = input.recorded()
  let plain = layers.filter { !$0.hasMagnitudes }
  var outputs = (plain.isEmpty ? [] : linear(.plain(x), plain))[...]
  return layers.map { layer in
    guard layer.hasMagnitudes else { return outputs.removeFirst() }
    let y = weightDecomposed(x, layer)
    return layer.bias == nil && residual == nil
      ? y : combined([y] + (residual.map { [$0] } ?? []), bias: layer.bias)
  }
}

private func weightDecomposed(_ x: Tensor, _ layer: LinearOperand) -> Tensor {
  // The pairs before the first magnitude are sums, and its own is too unless it sees another input:
  // one pass for all of them.
  var rest = layer.pairs[...]
  var fused = LinearOperand(weight: layer.weight)
  while let pair = rest.first, pair.magnitude == nil { fused.pairs.append(rest.removeFirst()) }
  if let pair = rest.first, pair.dropout == nil { fused.pairs.append(pair.product) }
  var y = linear(.plain(x), [fused])[0]
  var isIncluded = rest.first?.dropout == nil
  for pair in rest {
    let seen = pair.dropout.map { dropout(x, $0) } ?? x
    let addition = isIncluded ? nil : lowRankProduct(seen, pair)
    isIncluded = false
    if pair.magnitude == nil || pair.dropout == nil {
      y = scaled(addition.map { combined([y, $0]) } ?? y, by: pair)
    } else if let addition {
      let taken = pair.magnitude?.start.map {
        LowRankOperand(a: $0.a, b: $0.b, scale: -pair.scale)
      }
      let own = LinearOperand(weight: layer.weight, pairs: taken.map { [$0] } ?? [])
      let base = linear(.plain(seen), [own])[0]
      let change = combined([scaled(combined([base, addition]), by: pair), base], signs: [1, -1])
      y = combined([y, change])
    }
  }
  return y
}

/// s·(X·Aᵀ)·Bᵀ.
private func lowRankProduct(_ x: Tensor, _ pair: LowRankOperand) -> Tensor {
  let p = linear(.plain(x), [LinearOperand(weight: pair.a)])[0]
  return linear(.plain(p), [LinearOperand(weight: pair.b * Tensor(pair.scale))])[0]
}

/// g∘y of a pair with a magnitude; without one, y.
private func scaled(_ y: Tensor, by pair: LowRankOperand) -> Tensor {
  pair.magnitude.map { stretched(y, by: $0) } ?? y
}

/// g∘y in the given rows (nil: all), y in the others.
///
/// dY_in = g∘dY, dm = Σ_rows dY∘Y_in / n.
package func stretched(
  _ y: Tensor, by operand: MagnitudeOperand, rows ranges: [Range<Int>]? = nil
) -> Tensor {
  let (magnitude, inverse) = (operand.magnitude, operand.inverseNorm)
  let (rows, width) = (y.shape.rows, y.shape.lastDimension)
  let ranges = ranges ?? [0..<rows]
  let factor = magnitude.detached * inverse
  func product(_ t: Tensor) -> Tensor {
    let wide = t.converted(to: .float32).detached
    guard ranges != [0..<rows] else { return (wide * factor).converted(to: y.dtype) }
    let result = wide.copied()
    for range in ranges { result.rows(range).copy(from: wide.rows(range) * factor) }
    return result.converted(to: y.dtype)
  }
  return Tape.record(product(y), inputs: [y, magnitude]) { dy, gradients in
    if gradients.wants(y) { gradients.add(product(dy), to: y) }
    guard gradients.wants(magnitude) else { return }
    let (wideY, wideDy) = (y.converted(to: .float32), dy.converted(to: .float32))
    let sums = Tensor.zeros(magnitude.shape)
    for range in ranges {
      let (part, dPart) = (wideY.rows(range), wideDy.rows(range))
      lk_column_dots(LK_F32, part.pointer, dPart.pointer, sums.floats, range.count, width)
    }
    gradients.add(sums * inverse, to: magnitude)
  }
}

/// Σ sign·t (+ bias), of the last tensor's type: a residual comes last.
private func combined(_ tensors: [Tensor], signs: [Float]? = nil, bias: Tensor? = nil) -> Tensor {
  let shape = tensors[0].shape
  let signs = signs ?? tensors.map { _ in 1 }
  let sum = Tensor.zeros(shape)
  for (tensor, sign) in zip(tensors, signs) {
    let wide = tensor.converted(to: .float32)
    lk_axpy(sign, wide.floats, sum.floats, sum.count)
  }
  if let bias { lk_add_bias(LK_F32, sum.pointer, bias.floats, shape.rows, bias.count) }
  let type = tensors.last?.dtype ?? .float32
  let slots = tensors.map(\.gradientSlot)  // their bytes need not be kept
  return Tape.record(
    sum.converted(to: type), inputs: tensors + (bias.map { [$0] } ?? [])
  ) { dy, gradients in
    for (slot, sign) in zip(slots, signs) {
      gradients.add(sign == 1 ? dy : dy.converted(to: .float32) * Tensor(sign), to: slot)
    }
    guard let bias, gradients.wants(bias) else { return }
    let sums = Tensor.zeros(bias.shape)
    lk_column_sums(dy.dtype.kernelType, dy.pointer, sums.floats, dy.shape.rows, bias.count)
    gradients.add(sums, to: bias)
  }
}

extension LowRankOperand {
  fileprivate var product: LowRankOperand {
    var pair = self
    pair.magnitude = nil
    return pair
  }
}
