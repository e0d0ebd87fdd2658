// Gradients against central differences.

import LoRATensor
import LoRATestSupport
import Testing

/// Compares each parameter's gradient with (f(w + h) - f(w - h)) / 2h at up to 24 elements.
///
/// In float32 the difference of two values of size F carries an error of about F·2^-24/h, and the
/// truncation one of h²: h = 1e-2 with a tolerance of 2% of the largest gradient suits smooth f.
func expectFiniteDifferences(
  _ parameters: [Parameter], step: Float = 1e-2, tolerance: Float = 0.02, _ function: () -> Tensor,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let (_, gradients) = valueAndGradient(of: parameters, function)
  for (index, parameter) in parameters.enumerated() {
    let original = parameter.value
    let elements = original.elements
    let largest = gradients[index].elements.map(abs).max() ?? 0
    let stride = max(1, elements.count / 24)
    var expected: [Float] = []
    var actual: [Float] = []
    for at in Swift.stride(from: 0, to: elements.count, by: stride) {
      func value(_ change: Float) -> Double {
        var changed = elements
        changed[at] += change
        parameter.value = Tensor(changed, shape: original.shape)
        return Double(function().item)
      }
      expected.append(Float((value(step) - value(-step)) / Double(2 * step)))
      actual.append(gradients[index].elements[at])
    }
    parameter.value = original
    expectClose(
      actual: actual, expected: expected, atol: tolerance * largest + 1e-3, rtol: 0.02,
      name: "gradient of parameter \(index)", sourceLocation: sourceLocation)
  }
}
