// The heart of the engine: linear layers with low-rank paths, forward right above backward.
//
//   y_j = X·W_jᵀ + b_j + Σ_p s_p·(D_p(X)·A_pᵀ)·B_pᵀ   (+ residual)
//
// X [T, in] is shared by the layers (q, k, v; gate, up). D_p is the pair's dropout or the identity.
// Kept for the backward step: what X is made from and P_p = D_p(X)·A_pᵀ [T, r]. With dY_j given:
//
//   G_p = s_p·dY_j·B_p           [T, r]
//   dA_p = G_pᵀ·D_p(X)           [r, in]
//   dB_p = s_p·dY_jᵀ·P_p         [out, r]
//   dX = Σ_j dY_j·W_j + Σ_p D_p(G_p·A_p)
//
// dW_j = dY_jᵀ·X is formed only if W_j is trained. Source: Hu et al. 2021 (LoRA); the order of the
// products after RunLoRA (2312.03415): no product is as large as in × out.

import CLoRAKernels

/// One low-rank path beside a weight: s·B·A.
public struct LowRankOperand {
  package var a: Tensor  // [r, in], float32
  package var b: Tensor  // [out, r], float32
  package var scale: Float
  package var dropout: DropoutMask?
  package var magnitude: MagnitudeOperand?  // DoRA: see WeightDecomposed.swift
  package var rows: [Range<Int>]?  // the rows of X that it acts on, ascending; nil: all
  package var bias: Tensor?  // [out], added to these rows; a bias of all rows is the layer's

  package init(
    a: Tensor, b: Tensor, scale: Float, dropout: DropoutMask? = nil,
    magnitude: MagnitudeOperand? = nil, rows: [Range<Int>]? = nil, bias: Tensor? = nil
  ) {
    self.a = a
    self.b = b
    self.scale = scale
    self.dropout = dropout
    self.magnitude = magnitude
    self.rows = rows
    self.bias = bias
  }

  var rank: Int { a.shape[0] }
}

/// One linear layer as the operation sees it.
public struct LinearOperand {
  package var weight: Tensor  // [out, in], any type
  package var bias: Tensor?  // [out], float32
  package var pairs: [LowRankOperand]

  package init(weight: Tensor, bias: Tensor? = nil, pairs: [LowRankOperand] = []) {
    self.weight = weight
    self.bias = bias
    self.pairs = pairs
  }

  var hasMagnitudes: Bool { pairs.contains { $0.magnitude != nil } }
  var hasBiasesOfRows: Bool { pairs.contains { $0.bias != nil } }

  var tensors: [Tensor] {
    [weight] + (bias.map { [$0] } ?? [])
      + pairs.flatMap { [$0.a, $0.b] + ($0.magnitude.map { [$0.magnitude] } ?? []) }
  }
}

/// The outputs of linear layers that share an input; see the file's head for the mathematics.
///
/// - Parameters:
///   - input: X, [..., in].
///   - layers: each with its weight [out, in], bias [out] and low-rank pairs.
///   - residual: float32 [..., out], added to the one layer's output; the output is then float32,
///     otherwise of X's type.
/// - Returns: one tensor [..., out] per layer.
package func linear(
  _ input: LinearInput, _ layers: [LinearOperand], residual: Tensor? = nil
) -> [Tensor] {
  let inFeatures = input.shape.lastDimension
  for layer in layers {
    precondition(
      layer.weight.shape.rank == 2 && layer.weight.shape[1] == inFeatures,
      "linear: an input of shape \(input.shape) does not fit a weight of shape "
        + "\(layer.weight.shape)")
    for pair in layer.pairs {
      precondition(
        pair.a.shape == [pair.rank, inFeatures]
          && pair.b.shape == [layer.weight.shape[0], pair.rank],
        "linear: low-rank factors of shapes \(pair.a.shape) and \(pair.b.shape) beside a weight of "
          + "shape \(layer.weight.shape)")
    }
  }
  precondition(
    residual == nil || layers.count == 1, "linear: a residual belongs to one layer, not to several")
  let recorded = input.tensors + layers.flatMap(\.tensors) + (residual.map { [$0] } ?? [])
  let keeps = Tape.records(recorded)
  let readsStored = !keeps && PassContext.readsStoredWeights(of: layers)
  if layers.contains(where: \.needsOwnPass) {
    if layers.contains(where: { $0.pairs.contains { $0.rows != nil || $0.bias != nil } }) {
      return mixedLinear(input, layers, residual: residual)
    }
    if layers.contains(where: {
      $0.hasMagnitudes && (readsStored || $0.magnitudeOfItsPass == nil)
    }) {
      return composedLinear(input, layers, residual: residual)
    }
  }
  precondition(
    !keeps || !layers.contains(where: \.hasBiasesOfRows),
    "linear: a bias of B acts on all rows of a batch when training")
  let rows = input.shape.rows
  let (x, kept) = keeps ? input.kept() : (input.materialized(), nil)
  if readsStored {
    return linearOnStoredWeights(x, layers, residual: residual)
  }

  let lowRank = LowRankProducts(layers, x: x)
  // Where weights are packed, the pairs are more columns of the one product: [X | P]·[W | s·B]ᵀ.
  let isPacked = layers.map { PackedWeight.isUsed(for: $0.weight, in: x.dtype) }
  let wide = isPacked.contains(true) ? lowRank.beside(x) : nil
  var stretches = layers.map(RowStretch.init)
  let outputs = layers.indices.map { j -> Tensor in
    let layer = layers[j]
    let shape = input.shape.replacingLast(with: layer.weight.shape[0])
    // What is stretched must not hold the residual yet.
    let isFilled = residual != nil && stretches[j] == nil
    var y =
      (isFilled ? residual?.copied() : nil) ?? Tensor(uninitialized: shape, dtype: x.dtype)
    precondition(
      residual.map { $0.shape == shape } ?? true,
      "linear: a residual of shape \(residual?.shape ?? []) for an output of shape \(shape)")
    if isPacked[j], let wide {
      multiply(
        Matrix(wide),
        PackedWeight(layer.weight, transposed: true, beside: lowRank.factors(of: j)),
        into: Matrix(y), accumulate: isFilled)
    } else {
      // The small products come first: the large one then adds to them as it stores its tile.
      var holdsSum = isFilled
      for pair in lowRank.pairs where pair.layer == j {
        multiply(
          lowRank.p(of: pair), Matrix(lowRank.scaledB(of: pair)), transposeB: true, into: Matrix(y),
          accumulate: holdsSum)
        holdsSum = true
      }
      multiply(
        Matrix(x), weight: layer.weight, transposed: true, into: Matrix(y), accumulate: holdsSum)
    }
    y =
      stretches[j]?.applied(
        to: y, residual: residual, hasBias: layer.bias != nil, keeps: keeps) ?? y
    for (range, bias) in layer.biases(of: rows) {
      let part = y.rows(range)
      lk_add_bias(y.dtype.kernelType, part.pointer, bias.floats, range.count, bias.count)
    }
    return y
  }
  guard let kept else { return outputs }

  let residual = residual?.gradientSlot
  return Tape.record(outputs, inputs: recorded) { [stretches] upstream, gradients in
    let x = kept.value()
    let wantsX = kept.isWanted(by: gradients)
    // Several contributions are summed in float32; a single layer's are stored once.
    let several = layers.count > 1 || lowRank.pairs.contains { $0.operand.dropout != nil }
    let dxType: DType = several || kept.isNormalized ? .float32 : x.dtype
    let dx = wantsX ? Tensor(uninitialized: x.shape, dtype: dxType) : nil
    var holdsSum = false

    let narrow = upstream.map { $0?.converted(to: x.dtype) }
    // What arrives at the products: dU of those that are stretched.
    let arriving = zip(narrow, stretches).map { dy, stretch in
      dy.map { stretch?.propagate($0, to: gradients) ?? $0 }
    }
    holdsSum = lowRank.propagate(arriving, x: x, dx: dx, to: gradients)
    for (j, layer) in layers.enumerated() {
      guard let dy = narrow[j], let du = arriving[j] else { continue }
      if let dx {
        multiply(
          Matrix(du), weight: layer.weight, transposed: false, into: Matrix(dx),
          accumulate: holdsSum)
        holdsSum = true
      }
      if gradients.wants(layer.weight) {
        let sum = gradients.accumulator(for: layer.weight)
        multiply(Matrix(du), Matrix(x), transposeA: true, into: Matrix(sum), accumulate: true)
        gradients.set(sum, for: layer.weight)
      }
      if let bias = layer.bias, gradients.wants(bias) {
        let sum = gradients.accumulator(for: bias)
        lk_column_sums(dy.dtype.kernelType, dy.pointer, sum.floats, rows, bias.count)
        gradients.set(sum, for: bias)
      }
    }
    if let dx { kept.propagate(dx, to: gradients) }
    if let residual, let dy = upstream[0] { gradients.add(dy, to: residual) }
  }
}
