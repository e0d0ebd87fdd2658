// The operations of small networks against PyTorch: functions of one number, sums and quotients with
// repeated operands, softmax, products, rows of a table. Forward and every gradient.

import LoRATensor
import LoRATestSupport
import Testing

struct BasicOpTests {
  private static let functions: [String: UnaryFunction] = [
    "neg": .negate, "exp": .exp, "log": .log, "sqrt": .squareRoot, "tanh": .tanh,
    "sigmoid": .sigmoid, "relu": .relu, "silu": .silu, "gelu": .gelu, "gelu_tanh": .geluTanh,
  ]

  private static func operation(_ name: String) -> (([Tensor]) -> Tensor)? {
    let parts = name.split(separator: "_").map(String.init)
    let isRepeated = parts.last == "row" || parts.last == "scalar"
    let isExtreme = parts.last == "extreme"
    let stem = (isRepeated || isExtreme ? parts.dropLast() : parts[...]).joined(separator: "_")
    if let function = functions[stem] { return { function($0[0]) } }
    switch stem {
    case "add": return { $0[0] + $0[1] }
    case "sub": return { $0[0] - $0[1] }
    case "mul": return { $0[0] * $0[1] }
    case "div": return { $0[0] / $0[1] }
    case "softmax": return { $0[0].softmax() }
    case "log_softmax": return { $0[0].logSoftmax() }
    case "sum": return { $0[0].sum() }
    case "mean": return { $0[0].mean() }
    default: return nil
    }
  }

  /// Runs an operation on the inputs of a case and compares its result and its gradients.
  private func check(
    _ fixture: OpFixture, _ name: String, inputs: [String], atol: Float, rtol: Float,
    _ operation: ([Tensor]) -> Tensor
  ) throws {
    let (y, gradients) = try fixture.differentiated(name, inputs: inputs, operation)
    try fixture.expect(y, "\(name)/y", atol: atol, rtol: rtol)
    for (gradient, input) in zip(gradients, inputs) {
      try fixture.expect(gradient, "\(name)/d\(input)", atol: atol, rtol: rtol)
    }
  }

  @Test func elementwise() throws {
    let fixture = try OpFixture("elementwise")
    // What the fixture has beyond our operations.
    let missing = ["square", "sum_last", "mean_last", "transpose"]
    var checked = 0
    for name in fixture.cases where !missing.contains(name) {
      let operation = try #require(Self.operation(name), "\(name)")
      let inputs = fixture.has("\(name)/b") ? ["a", "b"] : ["x"]
      // Our exponential is a polynomial, right to 2 units of the last place (math_body.h); gelu_tanh's
      // slope has 1 - tanh², which loses digits near 0 and is multiplied by up to 10.
      try check(fixture, name, inputs: inputs, atol: 4e-6, rtol: 2e-6, operation)
      checked += 1
    }
    #expect(checked == fixture.cases.count - missing.count && checked > 30)
  }

  @Test func matrixProduct() throws {
    let fixture = try OpFixture("matmul")
    let cases = fixture.cases.filter { $0.hasPrefix("nn_") }
    #expect(cases.count == 5)
    for name in cases {
      // Sums of up to 129 products of size 1 in another order.
      try check(fixture, name, inputs: ["a", "b"], atol: 1e-5, rtol: 1e-5) { $0[0].matmul($0[1]) }
    }
  }

  @Test func embeddingRows() throws {
    let fixture = try OpFixture("embedding")
    #expect(fixture.cases.count == 3)
    for name in fixture.cases {
      let indices = try fixture.tensors.integers("\(name)/ids").map { Int32($0) }
      let (y, gradients) = try fixture.differentiated(name, inputs: ["weight"]) {
        embedding($0[0], at: indices)
      }
      try fixture.expect(y, "\(name)/y", atol: 0, rtol: 0)
      try fixture.expect(gradients[0], "\(name)/dweight", atol: 1e-6, rtol: 1e-6)
    }
  }
}
