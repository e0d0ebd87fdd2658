// Differentiates an operation against the upstream gradient of a fixture.

import LoRATensor
import LoRATestSupport
import Testing

/// Reference cases of one file: tensors named `case/name`.
struct OpFixture {
  let tensors: FixtureTensors

  init(_ name: String) throws { tensors = try FixtureTensors("ops/\(name).safetensors") }

  var cases: [String] {
    Set(tensors.names.compactMap { $0.split(separator: "/").first.map(String.init) }).sorted()
  }

  func has(_ name: String) -> Bool { tensors.contains(name) }

  func tensor(_ name: String, as dtype: DType = .float32) throws -> Tensor {
    Tensor(try tensors.floats(name), shape: Shape(try tensors.shape(name))).converted(to: dtype)
  }

  func number(_ name: String) throws -> Float { try tensors.floats(name)[0] }

  /// The result of an operation on inputs of a case, and its gradients for the case's dy.
  func differentiated(
    _ name: String, inputs: [String], _ operation: ([Tensor]) -> Tensor
  ) throws -> (y: Tensor, gradients: [Tensor]) {
    let parameters = try inputs.map { Parameter(try tensor("\(name)/\($0)")) }
    let dy = try tensor("\(name)/dy")
    var y = Tensor(0)
    let (_, gradients) = valueAndGradient(of: parameters) {
      y = operation(parameters.map(\.tensor))
      return projection(y, on: dy.reshaped(y.shape))
    }
    return (y, gradients)
  }

  func expect(
    _ actual: Tensor, _ name: String, atol: Float, rtol: Float,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    expectClose(
      actual: actual.elements, expected: try tensors.floats(name), atol: atol, rtol: rtol,
      name: name, sourceLocation: sourceLocation)
  }
}

/// Σ y∘dy: its gradient with respect to y is the given dy.
func projection(_ y: Tensor, on dy: Tensor) -> Tensor {
  let value = zip(y.elements, dy.elements).reduce(into: 0.0) { $0 += Double($1.0) * Double($1.1) }
  return Tape.record(Tensor(Float(value)), inputs: [y]) { _, gradients in
    gradients.add(dy.converted(to: y.dtype), to: y)
  }
}
