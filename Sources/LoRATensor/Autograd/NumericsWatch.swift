// Looks for the first value of a pass that is no number: used once a step has gone wrong, and on no
// other pass.

import CLoRAKernels

/// Finds where a value first becomes infinite or NaN, forward or on the way back.
///
/// A tape with a watch shows it the result of every operation; operations are told apart by the
/// parameters that they read.
package final class NumericsWatch {
  /// The first value that was no number.
  package struct Fault {
    /// The dotted path of the module whose operation gave it.
    package let place: String
    /// Whether it is a gradient on the way back.
    package let isGradient: Bool
    /// The value: infinity or NaN.
    package let value: Float
  }

  /// Parameters share a mapped file's bytes, at places of their own.
  private struct Bytes: Hashable {
    let storage: ObjectIdentifier
    let offset: Int

    init(_ tensor: Tensor) {
      storage = ObjectIdentifier(tensor.storage)
      offset = tensor.byteOffset
    }
  }

  /// What was found first, if anything.
  package private(set) var fault: Fault?

  private var modules: [Bytes: String] = [:]
  private var lastModule = ""

  /// - Parameter modules: every parameter with the dotted path of its module.
  package init(_ modules: [(path: String, parameter: Parameter)]) {
    for (path, parameter) in modules where self.modules[Bytes(parameter.value)] == nil {
      self.modules[Bytes(parameter.value)] = path
    }
  }

  /// Runs a forward pass with every operation watched that reads one of `parameters`.
  package func run<Result>(_ parameters: [Parameter], _ function: () -> Result) -> Result {
    Tape.$current.withValue(Tape(parameters: parameters, watch: self), operation: function)
  }

  /// Looks at an operation's results; gives back the operation's place.
  func visit(_ outputs: [Tensor], inputs: [Tensor]) -> String {
    var paths: [String] = []
    for path in inputs.compactMap({ modules[Bytes($0)] }) where !paths.contains(path) {
      paths.append(path)
    }
    // Layers on a shared input come after the normalisation that they read.
    let own = paths.suffix(outputs.count)
    if let path = own.last { lastModule = path }
    for (index, output) in outputs.enumerated() {
      let place: String
      if own.count == outputs.count {
        place = own[own.startIndex + index]
      } else if output.count == 1 {
        place = "loss"
      } else {
        // Without parameters of its own: the parent of the module before, as attention in self_attn.
        place = own.last ?? Self.parent(lastModule)
      }
      note(output, place, isGradient: false)
    }
    return own.last ?? Self.parent(lastModule)
  }

  /// Looks at a gradient that the backward step of the operation at `place` gave.
  func visit(gradient: Tensor, from place: String) { note(gradient, place, isGradient: true) }

  private func note(_ tensor: Tensor, _ place: String, isGradient: Bool) {
    guard fault == nil, let value = tensor.firstNonFinite else { return }
    fault = Fault(place: place, isGradient: isGradient, value: value)
  }

  private static func parent(_ path: String) -> String {
    path.lastIndex(of: ".").map { String(path[..<$0]) } ?? path
  }
}

extension Tensor {
  /// The first element that is infinite or NaN, of the types that activations and gradients have.
  package var firstNonFinite: Float? {
    guard dtype == .float32 || dtype == .bfloat16 else { return nil }
    let wide = converted(to: .float32)
    guard !lk_sum_of_squares(wide.floats, wide.count).isFinite else { return nil }
    let elements = UnsafeBufferPointer(start: wide.floats, count: wide.count)
    return withExtendedLifetime(wide) { elements.first { !$0.isFinite } }
  }
}
