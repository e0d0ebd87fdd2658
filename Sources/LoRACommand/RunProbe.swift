// What a run will need, found by working a few of its steps.

import Foundation
import LoRATraining

/// Memory and time of a run, from steps on its longest rows: they need the most memory, and their
/// speed is the run's.
struct RunProbe {
  let megabytes: Double
  let tokensPerSecond: Double
  let seconds: Double

  init(_ run: PreparedRun) throws {
    let examples = run.data.examples
    let longest = examples.indices.sorted {
      examples[$0].tokens.count > examples[$1].tokens.count
    }.prefix(run.configuration.batchSize)
    var report: StepReport?
    for step in 0..<2 {
      report = try run.trainer.run(
        step: step, indices: Array(longest), learningRate: 1e-6, epoch: 0)
    }
    tokensPerSecond = report?.tokensPerSecond ?? 0
    megabytes = peakResidentMegabytes()
    let steps = Double(run.trainer.totalSteps)
    let rows = Double(min(run.configuration.batchSize, examples.count))
    let tokens = Double(run.report.tokens) / Double(max(run.report.rows, 1)) * rows * steps
    seconds = tokensPerSecond > 0 ? tokens / tokensPerSecond : .infinity
  }

  /// A warning where the machine has little more memory than the run will take.
  var memoryFinding: Finding? {
    let total = Double(ProcessInfo.processInfo.physicalMemory) / 1e6
    guard megabytes > 0.85 * total else { return nil }
    return Finding(
      "memory",
      "the run will take \(Int(megabytes)) MB of this machine's \(Int(total)) MB",
      hint: "lower --max-length, or use a smaller model")
  }
}
