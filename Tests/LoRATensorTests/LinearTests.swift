// The linear operation against PyTorch, every element, in float32 and bfloat16.

import LoRATensor
import LoRATestSupport
import Testing

struct LinearTests {
  /// The textbook layer: y, dX, dA, dB with non-zero B.
  @Test(arguments: ["lora_linear", "lora_linear_large"])
  func loraFloat32(file: String) throws {
    let fixture = try OpFixture(file)
    #expect(!fixture.cases.isEmpty)
    for name in fixture.cases {
      try check(fixture, name, dtype: .float32, atol: 2e-5, rtol: 1e-5)
    }
  }

  /// Inputs and weights are bf16 numbers and the reference is exact, so what is left is the
  /// rounding of P, s·B and G (2^-9 of each term) and of y and dX as they are stored. Where terms
  /// cancel the error stays that of the terms, whose size the tensor's largest element shows: hence
  /// an absolute tolerance of 2^-6 of it, besides 2^-6 relative.
  @Test func loraBFloat16() throws {
    let fixture = try OpFixture("lora_linear_bf16")
    #expect(!fixture.cases.isEmpty)
    for name in fixture.cases {
      try check(fixture, name, dtype: .bfloat16, atol: nil, rtol: 0.016)
    }
  }

  private func check(
    _ fixture: OpFixture, _ name: String, dtype: DType, atol: Float?, rtol: Float
  ) throws {
    func expect(_ actual: Tensor, _ key: String) throws {
      let largest = try fixture.tensors.floats("\(name)/\(key)").map(abs).max() ?? 0
      try fixture.expect(actual, "\(name)/\(key)", atol: atol ?? largest / 64, rtol: rtol)
    }
    let x = Parameter(try fixture.tensor("\(name)/x"))
    let a = Parameter(try fixture.tensor("\(name)/A"))
    let b = Parameter(try fixture.tensor("\(name)/B"))
    let weight = try fixture.tensor("\(name)/W", as: dtype)
    let bias = fixture.has("\(name)/bias") ? try fixture.tensor("\(name)/bias") : nil
    let scale = try fixture.number("\(name)/scale")
    let dy = try fixture.tensor("\(name)/dy")
    var y = Tensor(0)
    let (_, gradients) = valueAndGradient(of: [x, a, b]) {
      var input = x.tensor.converted(to: dtype)
      if dtype != .float32 { input.variable = x.tensor.variable }
      let pair = LowRankOperand(a: a.tensor, b: b.tensor, scale: scale)
      y = linear(.plain(input), [LinearOperand(weight: weight, bias: bias, pairs: [pair])])[0]
      return projection(y, on: dy)
    }
    try expect(y, "y")
    try expect(gradients[0], "dx")
    try expect(gradients[1], "dA")
    try expect(gradients[2], "dB")
  }

  /// A plain layer that is trained itself: dW and the bias's gradient too.
  @Test func trainedWeight() throws {
    let fixture = try OpFixture("linear")
    for name in fixture.cases {
      let hasBias = fixture.has("\(name)/bias")
      let inputs = ["x", "W"] + (hasBias ? ["bias"] : [])
      let (y, gradients) = try fixture.differentiated(name, inputs: inputs) {
        linear(.plain($0[0]), [LinearOperand(weight: $0[1], bias: hasBias ? $0[2] : nil)])[0]
      }
      try fixture.expect(y, "\(name)/y", atol: 2e-5, rtol: 1e-5)
      try fixture.expect(gradients[0], "\(name)/dx", atol: 2e-5, rtol: 1e-5)
      try fixture.expect(gradients[1], "\(name)/dW", atol: 2e-5, rtol: 1e-5)
      if hasBias { try fixture.expect(gradients[2], "\(name)/dbias", atol: 2e-5, rtol: 1e-5) }
    }
  }

  /// A new layer (B = 0) computes bit for bit what the plain one computes.
  @Test(arguments: [DType.float32, .bfloat16])
  func zeroBIsTheBaseLayer(dtype: DType) {
    var random = Random(seed: 3)
    let x = random.normal([37, 65]).converted(to: dtype)
    let weight = random.normal([129, 65])
    let pair = LowRankOperand(a: random.normal([8, 65]), b: .zeros([129, 8]), scale: 2)
    let plain = linear(.plain(x), [LinearOperand(weight: weight)])[0]
    let adapted = linear(.plain(x), [LinearOperand(weight: weight, pairs: [pair])])[0]
    #expect(plain.elements == adapted.elements)
  }

  /// Several layers on a normalised input, dropout and a residual, against finite differences.
  @Test func sharedNormalisedInputWithDropout() {
    var random = Random(seed: 5)
    let x = Parameter(random.normal([7, 19]))
    let norm = random.uniform([19], low: 0.5, high: 1.5)
    let weights = [random.normal([11, 19]), random.normal([5, 19])]
    let factors = [(11, 3), (5, 2)].map { out, r in
      (Parameter(random.normal([r, 19])), Parameter(random.normal([out, r])))
    }
    let mask = DropoutMask(probability: 0.3, seed: 9, stream: 4, rowKeys: [3, 1, 4, 1, 5, 9, 2])
    let dys = [random.normal([7, 11]), random.normal([7, 5])]
    func value() -> Tensor {
      let operands = (0..<2).map { j in
        LinearOperand(
          weight: weights[j],
          pairs: [
            LowRankOperand(
              a: factors[j].0.tensor, b: factors[j].1.tensor, scale: 0.7,
              dropout: j == 0 ? mask : nil)
          ])
      }
      let input = LinearInput.normalized(
        x.tensor, weight: norm, epsilon: 1e-5, dtype: .float32)
      let y = linear(input, operands)
      return projection(y[0], on: dys[0]) + projection(y[1], on: dys[1])
    }
    let parameters = [x] + factors.flatMap { [$0.0, $0.1] }
    expectFiniteDifferences(parameters, value)
  }
}
