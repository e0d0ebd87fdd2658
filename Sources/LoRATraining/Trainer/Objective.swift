// What a step makes small: the loss of a pass, as a value.

package import LoRAModels
package import LoRATensor

/// A loss whose sum over the passes of a step is the step's.
package struct Objective: Sendable {
  /// The loss of one pass; the last argument is the number of supervised tokens of the whole step,
  /// by which it is divided, so that cutting a step into passes changes nothing.
  package let loss: @Sendable (Llama, Pass, Int) -> Tensor

  package init(loss: @escaping @Sendable (Llama, Pass, Int) -> Tensor) { self.loss = loss }

  /// Cross-entropy of the supervised tokens.
  package static let languageModel = Objective { model, pass, normalizer in
    languageModelLoss(model, pass, normalizer: normalizer).loss
  }
}

/// Adds up what several trainers found for their parts of one step, before it is taken.
package protocol GradientExchange {
  /// Replaces each gradient, in the trainer's order of parameters, and the loss by the sum of all.
  func sum(_ gradients: [Tensor], loss: Double) throws -> (gradients: [Tensor], loss: Double)
}
