// What a run will need, found by working a few of its steps.

import Foundation
import LoRA
import LoRAModels
import LoRATraining

/// Memory and time of a run, from a step on its longest rows, which need the most memory, and from
/// its first steps: each new length of a pass brings kernels and buffers of its own.
struct RunProbe {
  let megabytes: Double
  let tokensPerSecond: Double
  let seconds: Double

  /// The probe ends after the step in which this many seconds are over.
  private static let patience = 30.0
  private static let mostSteps = 8

  init(_ run: PreparedRun) throws {
    let examples = run.data.examples
    let longest = examples.indices.sorted {
      examples[$0].tokens.count > examples[$1].tokens.count
    }.prefix(run.configuration.batchSize)
    // A learning rate that is nearly 0: the adapter is thrown away anyway.
    func work(_ step: Int, _ indices: [Int]) throws -> StepReport {
      try run.trainer.run(step: step, indices: indices, learningRate: 1e-9, epoch: 0)
    }
    let start = ContinuousClock.now
    _ = try work(0, Array(longest))
    var (tokens, time) = (0, 0.0)
    for step in 0..<min(Self.mostSteps, run.trainer.totalSteps)
    where step < 1 || start.duration(to: .now).inSeconds < Self.patience {
      let report = try work(step, run.trainer.indices(ofStep: step))
      tokens += report.tokens
      time += report.seconds
    }
    if let evalData = run.evalData {
      _ = try evaluate(run.model.network, evalData, first: 32)
    }
    megabytes = peakResidentMegabytes()
    tokensPerSecond = time > 0 ? Double(tokens) / time : 0
    let rows = Double(min(run.configuration.batchSize, examples.count))
    let all =
      Double(run.report.tokens) / Double(max(run.report.rows, 1)) * rows
      * Double(run.trainer.totalSteps)
    seconds = tokensPerSecond > 0 ? all / tokensPerSecond : .infinity
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
