// How the learning rate changes over the steps.

import Foundation

/// The shape of the learning rate over a run, after a linear warm-up.
///
/// Equal to transformers' `get_{linear,cosine,constant}_schedule_with_warmup`.
public enum LearningRateSchedule: String, Sendable, CaseIterable {
  /// Down to 0 in a straight line.
  case linear
  /// Down to 0 along half a cosine.
  case cosine
  /// Unchanged.
  case constant

  /// What the learning rate is multiplied by at a step counted from 0.
  public func factor(step: Int, warmupSteps: Int, totalSteps: Int) -> Double {
    if step < warmupSteps { return Double(step) / Double(max(1, warmupSteps)) }
    let progress = Double(step - warmupSteps) / Double(max(1, totalSteps - warmupSteps))
    switch self {
    case .constant: return 1
    case .linear: return max(0, 1 - progress)
    case .cosine: return max(0, 0.5 * (1 + cos(Double.pi * progress)))
    }
  }
}
