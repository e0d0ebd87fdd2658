// The course of the training loss: says once when it rises instead of falling.

import LoRATraining

/// A running mean of the loss, and its lowest value.
struct LossCourse {
  private var mean: Double?
  private var lowest = Double.infinity
  private var lowestStep = 0
  private var hasWarned = false

  /// Takes a step; a text where the run seems to diverge.
  mutating func add(_ report: StepReport) -> String? {
    let mean = self.mean.map { 0.8 * $0 + 0.2 * report.loss } ?? report.loss
    self.mean = mean
    if mean < lowest { (lowest, lowestStep) = (mean, report.step) }
    // Twice the lowest, and by more than noise: losses near 0 double often.
    guard !hasWarned, mean > 2 * lowest, mean > lowest + 1 else { return nil }
    hasWarned = true
    return "the loss rises: about \(Console.fixed(mean, 2)) at step \(report.step), "
      + "\(Console.fixed(lowest, 2)) at step \(lowestStep): the run seems to diverge; stop it and "
      + "lower --learning-rate"
  }
}
