// What one optimizer step says about itself: a line of metrics.jsonl.

import Foundation
package import LoRAJSON

/// The figures of one optimizer step.
public struct StepReport: Sendable, Hashable {
  /// The step, counted from 1.
  public let step: Int
  /// Passes over the data when the step is done, like 1.25.
  public let epoch: Double
  /// The mean of -log p over the step's supervised tokens.
  public let loss: Double
  /// The norm of all gradients together, before clipping.
  public let gradNorm: Double
  /// The learning rate of the step.
  public let learningRate: Double
  /// Tokens worked.
  public let tokens: Int
  /// Tokens that carried loss.
  public let supervisedTokens: Int
  /// Seconds that the step took.
  public let seconds: Double
  /// The most memory that the process has had, in MB (10⁶ bytes).
  public let peakResidentMegabytes: Double

  /// Tokens worked in a second.
  public var tokensPerSecond: Double { seconds > 0 ? Double(tokens) / seconds : 0 }

  /// The figures under the names of metrics.jsonl.
  package var json: JSONObject {
    [
      "step": .integer(step), "epoch": .number(rounded(epoch, 4)), "loss": .number(loss),
      "grad_norm": .number(gradNorm), "learning_rate": .number(learningRate),
      "tokens": .integer(tokens), "supervised_tokens": .integer(supervisedTokens),
      "tokens_per_second": .number(rounded(tokensPerSecond, 1)),
      "seconds": .number(rounded(seconds, 4)),
      "peak_rss_mb": .number(rounded(peakResidentMegabytes, 1)),
    ]
  }

  private func rounded(_ value: Double, _ digits: Int) -> Double {
    let power = pow(10, Double(digits))
    return (value * power).rounded() / power
  }
}

/// The figures of a run.
public struct TrainingSummary: Sendable, Hashable {
  /// Optimizer steps done, those before a resume included.
  public private(set) var steps: Int
  /// The loss of the last step.
  public private(set) var loss = 0.0
  /// Tokens worked since the start or the resume.
  public private(set) var tokens = 0
  /// Seconds that the steps took.
  public private(set) var seconds = 0.0
  /// Tokens worked in a second.
  public var tokensPerSecond: Double { seconds > 0 ? Double(tokens) / seconds : 0 }

  init(steps: Int) { self.steps = steps }

  mutating func add(_ report: StepReport) {
    steps = report.step
    loss = report.loss
    tokens += report.tokens
    seconds += report.seconds
  }
}

/// The most memory that this process has had, in MB (10⁶ bytes): `VmHWM` of /proc.
public func peakResidentMegabytes() -> Double { statusMegabytes("VmHWM:") }

/// The memory that this process has now, in MB (10⁶ bytes): `VmRSS` of /proc.
public func residentMegabytes() -> Double { statusMegabytes("VmRSS:") }

private func statusMegabytes(_ name: String) -> Double {
  guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
    let line = status.split(separator: "\n").first(where: { $0.hasPrefix(name) }),
    let kilobytes = Double(line.split(whereSeparator: { !$0.isNumber }).first ?? "")
  else { return 0 }
  return kilobytes * 1024 / 1e6
}
