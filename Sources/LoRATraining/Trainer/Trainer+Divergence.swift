// A step whose loss or gradient is no number: which rows, and which module was the first.
//
// An ordinary step pays nothing for this: the same rows run once more, one by one, with every value
// looked at, and only when the run ends here anyway.

import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor

extension Trainer {
  /// What is known of a step that cannot be applied; the adapter is as it was before the step.
  func divergence(step: Int, batch: [Example], loss: Double, norm: Float) -> TrainingError {
    // A NaN has a sign, which means nothing.
    let norm = norm.isNaN ? .nan : norm
    var message = "step \(step + 1): the loss is \(loss) and the gradient norm \(norm)"
    if let broken = parameters.first(where: { $0.parameter.value.firstNonFinite != nil }) {
      return TrainingError(
        message: message + "; the adapter itself is no number any more: \(broken.path); rows: "
          + Self.listed(batch),
        hint: "go on from an earlier checkpoint, with a lower learning rate")
    }
    let faults = batch.compactMap { example in
      fault(example, step: step).map { (example, $0) }
    }
    guard let (_, first) = faults.first else {
      message += "; every row alone is a number, only their sum is not: "
      return TrainingError(
        message: message + Self.listed(batch), hint: "lower the learning rate")
    }
    let count = faults.count.counted("row")
    message += "; \(count) of \(batch.count) did it: \(Self.listed(faults.map(\.0)))"
    message += "; the first value that was no number: \(first.value)"
    message += first.isGradient ? " in the gradient, on the way back through " : " out of "
    message += first.place
    return TrainingError(
      message: message,
      hint: faults.count == batch.count
        ? "every row is hit: lower the learning rate, or go on from an earlier checkpoint"
        : "look at these rows; if nothing is wrong with them, lower the learning rate")
  }

  private static func listed(_ examples: [Example]) -> String {
    let shown = examples.prefix(8).map { "\($0.file):\($0.line)" }.joined(separator: ", ")
    return shown + (examples.count > 8 ? " and \(examples.count - 8) more" : "")
  }

  /// The first value that is no number when an example runs alone.
  private func fault(_ example: Example, step: Int) -> NumericsWatch.Fault? {
    let named = model.namedParameters
    let modules = named.map { (path: Self.module(of: $0.path), parameter: $0.parameter) }
    // Forward with every parameter on the tape: layers below the lowest adapter are seen too.
    let watch = NumericsWatch(modules)
    // Recorded as a whole: a part that is computed again would be seen on the way back only.
    let recomputation = model.recomputation
    model.recomputation = .nothing
    defer { model.recomputation = recomputation }
    for pass in passes([example], tokenBudget: options.tokenBudget) {
      inContext(of: pass, step: step) {
        watch.run(named.map(\.parameter)) {
          _ = objective.loss(model, pass, example.supervisedCount)
        }
      }
    }
    if let fault = watch.fault { return fault }
    let backward = NumericsWatch(modules)
    _ = lossAndGradients([example], step: step, watch: backward)
    return backward.fault
  }

  /// The path of the layer that a parameter belongs to, whatever is wrapped around it.
  private static func module(of path: String) -> String {
    var parts = path.split(separator: ".").dropLast()
    if let adapter = parts.firstIndex(where: { $0.hasPrefix("lora_") }) {
      parts = parts[..<adapter]
    }
    if parts.last == "base_layer" { parts.removeLast() }
    return parts.joined(separator: ".")
  }
}
