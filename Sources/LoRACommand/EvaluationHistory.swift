// Which evaluation was the best, and since how many there was no better one.

/// The evaluations of a run.
struct EvaluationHistory {
  private(set) var bestLoss = Double.infinity
  private(set) var bestStep = 0
  /// Evaluations after the best.
  private(set) var sinceBest = 0
  /// The step of the last one; nil where that was not recorded.
  private(set) var lastStep: Int? = 0

  init() {}

  /// Whether there was none.
  var isEmpty: Bool { bestLoss == .infinity && sinceBest == 0 }

  /// Takes an evaluation; says whether it is the best so far.
  mutating func add(_ loss: Double, step: Int) -> Bool {
    lastStep = step
    guard loss < bestLoss else {
      sinceBest += 1
      return false
    }
    (bestLoss, bestStep, sinceBest) = (loss, step, 0)
    return true
  }

  /// The history as a text, for a checkpoint; a double's description gives back the same double.
  var note: String { "\(bestLoss) \(bestStep) \(sinceBest)" + (lastStep.map { " \($0)" } ?? "") }

  init(note: String) {
    let parts = note.split(separator: " ")
    guard parts.count >= 3, let loss = Double(parts[0]), let step = Int(parts[1]),
      let since = Int(parts[2])
    else { return }
    (bestLoss, bestStep, sinceBest) = (loss, step, since)
    lastStep = parts.count > 3 ? Int(parts[3]) : nil
  }
}
