// Differentiation of a scalar with respect to parameters.

import CLoRAKernels

/// The value of a scalar function and its gradients with respect to parameters.
///
/// This is training: dropout acts in `function`, unless `PassContext.evaluating` says otherwise.
/// - Parameters:
///   - parameters: what to differentiate by; each is read inside `function` through
///     `Parameter.tensor`.
///   - function: computes one number, for instance a loss.
/// - Returns: the value, and one float32 gradient of each parameter's shape, in their order; zeros
///   where the value does not depend on the parameter.
public func valueAndGradient(
  of parameters: [Parameter], _ function: () throws -> Tensor
) rethrows -> (value: Tensor, gradients: [Tensor]) {
  var sums = [Tensor?](repeating: nil, count: parameters.count)
  let value = try valueAndGradient(of: parameters, addingTo: &sums, function)
  return (value, zip(parameters, sums).map { $1 ?? .zeros($0.value.shape) })
}

/// As above, adding the gradients to sums of earlier passes: for a step split into several passes.
///
/// - Parameter watch: is shown every value and gradient; for a pass whose result was no number.
package func valueAndGradient(
  of parameters: [Parameter], addingTo sums: inout [Tensor?], watch: NumericsWatch? = nil,
  _ function: () throws -> Tensor
) rethrows -> Tensor {
  precondition(
    sums.count == parameters.count,
    "valueAndGradient: \(sums.count) sums for \(parameters.count) parameters")
  let tape = Tape(parameters: parameters, watch: watch)
  let value = try Tape.$current.withValue(tape) {
    try PassContext.with({ $0.isTraining = $0.isTraining ?? true }, function)
  }
  precondition(
    value.count == 1 && value.dtype == .float32,
    "valueAndGradient: the function returned the shape \(value.shape), not one number")
  // Handed over, not copied: only then are they added to in place.
  var earlier: [Tensor?] = []
  swap(&earlier, &sums)
  sums = tape.walkBack(from: value, gradient: .full(value.shape, 1), taking: earlier)
  return value.detached
}

extension Tensor {
  /// Adds `other` to the elements in place; only for a tensor that nobody else holds.
  func add(_ other: Tensor) {
    let wide = other.converted(to: .float32)
    lk_axpy(1, wide.floats, floats, count)
  }
}
