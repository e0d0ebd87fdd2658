// Linear layers in a batch whose rows have different adapters: every row gets, bit for bit, what it
// gets when the whole batch has its adapter. Docs/decisions/0001-rows-of-a-mixed-batch.md says what
// follows from that for a row alone.
//
// Plain pairs need nothing for it: P is 0 in the other rows, and adding 0 changes no bit. A layer
// with magnitudes rounds in another order, so each such adapter has a pass over all rows, of which
// its own are taken: the kernel that oneDNN picks may depend on the number of rows.

import CLoRAKernels

/// `linear` for layers with pairs on some rows of which some need a pass of their own.
func mixedLinear(
  _ input: LinearInput, _ layers: [LinearOperand], residual: Tensor?
) -> [Tensor] {
  precondition(
    !Tape.records(input.tensors + layers.flatMap(\.tensors) + (residual.map { [$0] } ?? [])),
    "linear: pairs with magnitudes or biases act on all rows of a batch when training")
  let count = input.shape.rows
  var choices: [[Range<Int>]] = []
  for pair in layers.flatMap(\.pairs) where pair.needsOwnPass {
    let rows = pair.rows ?? [0..<count]
    if !choices.contains(rows) { choices.append(rows) }
  }
  let outputs = layers.map { layer in
    Tensor(
      uninitialized: input.shape.replacingLast(with: layer.weight.shape[0]),
      dtype: residual?.dtype ?? input.dtype)
  }
  func take(_ rows: Range<Int>, of results: [Tensor], at place: Int) {
    for (output, result) in zip(outputs, results) {
      output.rows(rows).copy(from: result.rows(place..<place + rows.count))
    }
  }

  // The rows of plain adapters and of none, together; wasted on the others, which come after.
  if choices.joined().reduce(0, { $0 + $1.count }) < count {
    let rest = layers.map { layer in
      var layer = layer
      layer.pairs.removeAll { choices.contains($0.rows ?? [0..<count]) }
      return layer
    }
    take(0..<count, of: linear(input, rest, residual: residual), at: 0)
  }
  for rows in choices {
    let own = layers.map { $0.restricted(to: rows, of: count) }
    if PassContext.current.readsStoredWeights {
      // There a row never depends on the others.
      let x = input.recorded()
      for range in rows {
        let results = linear(.plain(x.rows(range)), own, residual: residual?.rows(range))
        take(range, of: results, at: 0)
      }
    } else {
      let results = linear(input, own, residual: residual)
      for range in rows { take(range, of: results, at: range.lowerBound) }
    }
  }
  return outputs
}

extension LowRankOperand {
  /// Where weights are read as they are stored, a layer has one bias.
  var needsOwnPass: Bool {
    magnitude != nil || (bias != nil && PassContext.current.readsStoredWeights)
  }
}

extension LinearOperand {
  var needsOwnPass: Bool { pairs.contains(where: \.needsOwnPass) }

  /// The layer with the pairs of these rows alone, acting on every row.
  fileprivate func restricted(to rows: [Range<Int>], of count: Int) -> LinearOperand {
    var layer = self
    layer.pairs = pairs.filter { ($0.rows ?? [0..<count]) == rows }.map { pair in
      var pair = pair
      if let bias = pair.bias { layer.bias = layer.bias.map { $0 + bias } ?? bias }
      (pair.rows, pair.bias) = (nil, nil)
      return pair
    }
    return layer
  }

  /// What is added to which rows: the layer's bias with those of the pairs that act there.
  func biases(of count: Int) -> [(rows: Range<Int>, bias: Tensor)] {
    guard hasBiasesOfRows else { return bias.map { [(0..<count, $0)] } ?? [] }
    let edges = pairs.flatMap { $0.bias == nil ? [] : $0.rows ?? [] }.flatMap {
      [$0.lowerBound, $0.upperBound]
    }
    let bounds = Set(edges).union([0, count]).sorted()
    return zip(bounds, bounds.dropFirst()).compactMap { start, end in
      let acting = pairs.filter { $0.rows?.contains { $0.contains(start) } ?? true }
      let sum = acting.compactMap(\.bias).reduce(bias) { sum, own in sum.map { $0 + own } ?? own }
      return sum.map { (start..<end, $0) }
    }
  }
}

extension LinearInput {
  /// The type of the function's value.
  fileprivate var dtype: DType {
    switch self {
    case .plain(let x): x.dtype
    case .normalized(_, _, _, let dtype): dtype
    case .gated(let gate, _, _): gate.dtype
    }
  }
}
