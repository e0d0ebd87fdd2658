// DoRA's operation at odd sizes: against the formula written out, and finite differences.

import LoRATensor
import LoRATestSupport
import Testing

struct WeightDecomposedTests {
  /// A layer of 5 → 7 features with one pair of rank 3, and inputs [4, 5].
  private struct Case {
    let x: Parameter
    let weight: Tensor
    let bias: Parameter
    let a: Parameter
    let b: Parameter
    let m: Parameter
    let scale: Float = 1.5

    init(seed: UInt64) {
      var random = Random(seed: seed)
      x = Parameter(random.normal([4, 5]))
      weight = random.normal([7, 5])
      bias = Parameter(random.normal([7]))
      a = Parameter(random.normal([3, 5], deviation: 0.5))
      b = Parameter(random.normal([7, 3], deviation: 0.5))
      m = Parameter(random.uniform([7], low: 0.5, high: 3))
    }

    var parameters: [Parameter] { [x, bias, a, b, m] }

    var inverseNorm: Tensor {
      let lengths = adaptedRowNorms(
        weight, squared: squaredRowNorms(weight), a: a.value, b: b.value, scale: scale)
      return Tensor(lengths.elements.map { 1 / $0 }, shape: [7])
    }

    func operand(
      dropout: DropoutMask? = nil, rows: [Range<Int>]? = nil, inverseNorm: Tensor
    ) -> LinearOperand {
      let magnitude = MagnitudeOperand(magnitude: m.tensor, inverseNorm: inverseNorm)
      return LinearOperand(
        weight: weight, bias: bias.tensor,
        pairs: [
          LowRankOperand(
            a: a.tensor, b: b.tensor, scale: scale, dropout: dropout, magnitude: magnitude,
            rows: rows)
        ])
    }

    /// X·Wᵀ and s·(X·Aᵀ)·Bᵀ by the plainest means.
    func products(_ x: Tensor) -> (base: Tensor, lowRank: Tensor) {
      let p = linear(.plain(x), [LinearOperand(weight: a.tensor)])[0]
      return (
        linear(.plain(x), [LinearOperand(weight: weight)])[0],
        linear(.plain(p), [LinearOperand(weight: b.tensor)])[0] * Tensor(scale)
      )
    }
  }

  @Test func rowNormsAreThoseOfTheSum() {
    for seed in 0..<5 {
      let c = Case(seed: UInt64(seed))
      let sum = c.weight + c.b.value.matmul(c.a.value) * Tensor(c.scale)
      let expected = (0..<7).map { row in
        Float(sum.rows(row..<row + 1).elements.reduce(0.0) { $0 + Double($1 * $1) }.squareRoot())
      }
      expectClose(
        actual: c.inverseNorm.elements.map { 1 / $0 }, expected: expected, atol: 0, rtol: 1e-6,
        name: "n")
    }
  }

  @Test func gradientsAreThoseOfFiniteDifferences() {
    let c = Case(seed: 11)
    // A constant, as the norm is for the gradient.
    let inverse = c.inverseNorm
    let dy = Random(seed: 12).normalCopy([4, 7])
    expectFiniteDifferences(c.parameters) {
      let y = linear(.plain(c.x.tensor), [c.operand(inverseNorm: inverse)])[0]
      return projection(y, on: dy)
    }
    let mask = DropoutMask(probability: 0.4, seed: 3, stream: 1)
    expectFiniteDifferences(c.parameters) {
      let y = linear(.plain(c.x.tensor), [c.operand(dropout: mask, inverseNorm: inverse)])[0]
      return projection(y, on: dy)
    }
  }

  private func expectSame(
    _ actual: (Tensor, [Tensor]), _ expected: (Tensor, [Tensor])
  ) {
    expectClose(
      actual: actual.0.elements, expected: expected.0.elements, atol: 1e-4, rtol: 1e-5,
      name: "value")
    for (index, gradient) in actual.1.enumerated() {
      expectClose(
        actual: gradient.elements, expected: expected.1[index].elements, atol: 2e-5, rtol: 1e-5,
        name: "gradient \(index)")
    }
  }

  /// y, dX, db, dA, dB and dm against PEFT's rule written in plain operations.
  @Test(arguments: [false, true], [false, true])
  func equalsTheFormula(hasDropout: Bool, hasResidual: Bool) {
    let c = Case(seed: 21)
    let inverse = c.inverseNorm
    let dy = Random(seed: 22).normalCopy([4, 7])
    let residual = hasResidual ? Parameter(Random(seed: 23).normalCopy([4, 7])) : nil
    let mask = DropoutMask(probability: 0.3, seed: 5, stream: 2)
    let parameters = c.parameters + (residual.map { [$0] } ?? [])
    let expected = valueAndGradient(of: parameters) {
      let x = c.x.tensor
      let g = c.m.tensor * inverse
      let seen = hasDropout ? dropout(x, mask) : x
      let (base, lowRank) = c.products(seen)
      // (g − 1)∘(D(X)·Wᵀ) + g∘s·(D(X)·Aᵀ)·Bᵀ, beside X·Wᵀ + b.
      var y = c.products(x).base + (base * g - base) + lowRank * g + c.bias.tensor
      if let residual { y = y + residual.tensor }
      return projection(y, on: dy)
    }
    let actual = valueAndGradient(of: parameters) {
      let operand = c.operand(dropout: hasDropout ? mask : nil, inverseNorm: inverse)
      let y = linear(.plain(c.x.tensor), [operand], residual: residual?.tensor)[0]
      return projection(y, on: dy)
    }
    expectSame(actual, expected)
  }

  /// Without a bias dm is found by Y; where a row has no length Y tells nothing of it.
  @Test(arguments: [Float?.none, 0]) func gradientsWithoutBias(length: Float?) {
    let c = Case(seed: 24)
    if let length { c.m.value.floats[2] = length }
    let inverse = c.inverseNorm
    let dy = Random(seed: 25).normalCopy([4, 7])
    let parameters = [c.x, c.a, c.b, c.m]
    let expected = valueAndGradient(of: parameters) {
      let (base, lowRank) = c.products(c.x.tensor)
      return projection((base + lowRank) * (c.m.tensor * inverse), on: dy)
    }
    let actual = valueAndGradient(of: parameters) {
      var operand = c.operand(inverseNorm: inverse)
      operand.bias = nil
      return projection(linear(.plain(c.x.tensor), [operand])[0], on: dy)
    }
    expectSame(actual, expected)
    #expect(actual.1[3].elements.allSatisfy { $0 != 0 })
  }

  /// Beside PiSSA and OLoRA: what a start takes out counts as out of the weight, for the share of
  /// dropped inputs too.
  @Test(arguments: [false, true]) func aStartIsOutOfTheWeight(hasDropout: Bool) {
    let c = Case(seed: 26)
    let start = (a: Random(seed: 27).normalCopy([2, 5]), b: Random(seed: 28).normalCopy([7, 2]))
    let mask = hasDropout ? DropoutMask(probability: 0.4, seed: 5, stream: 2) : nil
    let dy = Random(seed: 29).normalCopy([4, 7])
    func run(_ operand: LinearOperand) -> [Tensor] {
      let (value, gradients) = valueAndGradient(of: c.parameters) {
        projection(linear(.plain(c.x.tensor), [operand])[0], on: dy)
      }
      return [value] + gradients
    }
    // The norms are a constant here: any will do.
    var whole = c.operand(dropout: mask, inverseNorm: c.inverseNorm)
    whole.weight = c.weight - start.b.matmul(start.a) * Tensor(c.scale)
    var parts = c.operand(dropout: mask, inverseNorm: c.inverseNorm)
    parts.pairs[0].magnitude?.start = start
    parts.pairs.insert(LowRankOperand(a: start.a, b: start.b, scale: -c.scale), at: 0)
    for (index, (actual, expected)) in zip(run(parts), run(whole)).enumerated() {
      expectClose(
        actual: actual.elements, expected: expected.elements, atol: 2e-4, rtol: 1e-4,
        name: "\(index)")
    }
  }

  /// Layers beside it that share the input run as they would without it, whatever the input is.
  @Test func otherLayersAndInputsStayAsTheyAre() {
    let c = Case(seed: 31)
    let inverse = c.inverseNorm
    let plain = LinearOperand(weight: Random(seed: 32).normalCopy([6, 5]))
    let norm = Random(seed: 33).normalCopy([5])
    let inputs: [LinearInput] = [
      .plain(c.x.value), .normalized(c.x.value, weight: norm, epsilon: 1e-5, dtype: .float32),
      .gated(gate: c.x.value, up: c.x.value, activation: .silu),
    ]
    for input in inputs {
      let outputs = linear(input, [plain, c.operand(inverseNorm: inverse), plain])
      let alone = linear(input, [plain])[0]
      #expect(outputs[0].elements == alone.elements && outputs[2].elements == alone.elements)
      let own = linear(input, [c.operand(inverseNorm: inverse)])[0]
      #expect(outputs[1].elements == own.elements)
    }
  }

  @Test func bfloat16IsFloat32Rounded() {
    let c = Case(seed: 41)
    let inverse = c.inverseNorm
    let x = c.x.value.converted(to: .bfloat16)
    let mask = DropoutMask(probability: 0.5, seed: 6, stream: 3)
    for dropout in [nil, mask] {
      let operand = c.operand(dropout: dropout, inverseNorm: inverse)
      let narrow = linear(.plain(x), [operand])[0]
      let wide = linear(.plain(x.converted(to: .float32)), [operand])[0]
      #expect(narrow.dtype == .bfloat16)
      let largest = wide.elements.map(abs).max() ?? 0
      expectClose(
        actual: narrow.elements, expected: wide.elements, atol: largest / 64, rtol: 0.016,
        name: "bf16")
    }
  }

  /// A pair on some rows leaves the others bit for bit, and gives its own what it gives all.
  @Test func pairOnSomeRows() {
    let c = Case(seed: 51)
    let plain = LinearOperand(weight: c.weight, bias: c.bias.value)
    let pairs = [
      c.operand(inverseNorm: c.inverseNorm).pairs[0],
      LowRankOperand(a: c.a.value, b: c.b.value, scale: 2),
      LowRankOperand(a: c.a.value, b: c.b.value, scale: 2, bias: c.m.value),
    ]
    for (index, pair) in pairs.enumerated() {
      var some = plain
      some.pairs = [pair]
      some.pairs[0].rows = [0..<1, 2..<4]
      var all = plain
      all.pairs = [pair]
      let mixed = linear(.plain(c.x.value), [some])[0]
      let without = linear(.plain(c.x.value), [plain])[0]
      let with = linear(.plain(c.x.value), [all])[0]
      for (row, expected) in [(1, without), (0, with), (2, with), (3, with)] {
        #expect(
          mixed.rows(row..<row + 1).elements == expected.rows(row..<row + 1).elements,
          "pair \(index), row \(row)")
      }
    }
  }
}

extension Random {
  /// Numbers from a source made for them alone.
  fileprivate func normalCopy(_ shape: Shape) -> Tensor {
    var random = self
    return random.normal(shape)
  }
}
