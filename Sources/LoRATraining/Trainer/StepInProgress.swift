// One optimizer step's way through its passes: others may compute between two of them.

package import LoRATensor

/// The passes of a step, of which some are done.
package struct StepInProgress {
  private let trainer: Trainer
  private let step: Int
  private let normalizer: Int
  private var waiting: ArraySlice<Pass>
  private var sums: [Tensor?]
  private var loss = 0.0

  init(_ trainer: Trainer, batch: [Example], step: Int) {
    self.trainer = trainer
    self.step = step
    normalizer = batch.reduce(0) { $0 + $1.supervisedCount }
    waiting = passes(batch, tokenBudget: trainer.options.tokenBudget)[...]
    sums = [Tensor?](repeating: nil, count: trainer.parameters.count)
  }

  /// Whether every pass is done.
  package var isDone: Bool { waiting.isEmpty }

  /// Works the next pass, if there is one.
  ///
  /// - Parameter watch: is shown every value on the way.
  package mutating func runNextPass(watch: NumericsWatch? = nil) {
    guard let pass = waiting.popFirst() else { return }
    let (trainer, normalizer) = (trainer, normalizer)
    let value = trainer.inContext(of: pass, step: step) {
      valueAndGradient(
        of: trainer.parameters.map(\.parameter), addingTo: &sums, watch: watch
      ) {
        trainer.objective.loss(trainer.model, pass, normalizer)
      }
    }
    loss += Double(value.item)
  }

  /// The loss of the step and the gradient of each parameter, once every pass is done.
  package func result() -> (loss: Double, gradients: [Tensor]) {
    precondition(isDone, "StepInProgress: \(waiting.count) passes are not done yet")
    return (
      loss, zip(sums, trainer.parameters).map { $0 ?? .zeros($1.parameter.value.shape) }
    )
  }
}
