// Evaluations while a run trains.

import Foundation
import LoRA
import LoRAJSON
import LoRATraining

extension TrainingRun {
  /// Whether the run evaluates after a step.
  func isEvaluated(after step: Int, of prepared: PreparedRun) -> Bool {
    guard prepared.evalData != nil else { return false }
    return step == prepared.trainer.totalSteps || step % (configuration.evalSteps ?? .max) == 0
  }

  /// Whether the adapter is evaluated as it begins, so that the best one is no worse than that.
  func isEvaluatedBefore(_ prepared: PreparedRun) -> Bool {
    prepared.evalData != nil && prepared.trainer.completedSteps == 0 && history.isEmpty
  }

  /// Says which evaluation was the best.
  func sayBest() {
    let loss = Console.fixed(history.bestLoss, 4)
    let keepsBest = configuration.evalSteps != nil
    if history.bestStep > 0 {
      guard keepsBest else { return }
      Console.tell(
        "best evaluation: loss \(loss) at step \(history.bestStep), in \(folder.file("best"))")
    } else if !history.isEmpty, history.lastStep != 0 {
      Console.warn(
        "no evaluation was better than the one before the first step, loss \(loss)"
          + (keepsBest ? ": \(folder.file("best")) holds the adapter as it began" : ""))
    }
  }

  /// Whether a resumed run has yet to evaluate the step that it goes on from: its rows could not be
  /// read then.
  func missesEvaluation(_ prepared: PreparedRun) -> Bool {
    let step = prepared.trainer.completedSteps
    guard step > 0, let last = history.lastStep else { return false }
    return last < step && isEvaluated(after: step, of: prepared)
  }

  /// Evaluates, says the result, and keeps the adapter if it is the best so far.
  ///
  /// - Parameter progress: the line that is taken away before the result is said.
  /// - Returns: what belongs into the record of the step.
  func evaluate(_ prepared: PreparedRun, _ progress: ProgressLine? = nil) throws -> JSONObject {
    guard let rows = prepared.evalData else { return [:] }
    let (step, total) = (prepared.trainer.completedSteps, prepared.trainer.totalSteps)
    let evaluation = try prepared.evaluate(on: rows)
    progress?.clear()
    Console.tell("step \(step)/\(total)  \(evaluation.line)")
    if history.add(evaluation.loss, step: step), configuration.evalSteps != nil {
      try prepared.model.saveAdapter(
        PreparedRun.adapterName, to: folder.url.appendingPathComponent("best"))
    }
    return evaluation.json
  }
}
