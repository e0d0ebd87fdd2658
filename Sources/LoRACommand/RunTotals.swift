// The figures of a whole run out of metrics.jsonl: a resumed run counts from its first step.

import Foundation
import LoRAJSON

/// What the steps of a run add up to.
struct RunTotals {
  /// Every line of metrics.jsonl.
  let metrics: [JSONObject]

  /// Reads the record of a run.
  init(_ folder: RunFolder) throws {
    let text = try String(contentsOfFile: folder.file("metrics.jsonl"), encoding: .utf8)
    metrics = text.split(separator: "\n").compactMap {
      try? JSONValue(parsing: String($0)).objectValue
    }
  }

  var steps: Int { metrics.last?["step"]?.integerValue ?? 0 }
  var loss: Double? { metrics.last?["loss"]?.numberValue }
  var seconds: Double { sum("seconds") }
  var tokensPerSecond: Double { seconds > 0 ? sum("tokens") / seconds : 0 }
  /// Seconds from the start of each process of the run until its first step.
  var startupSeconds: [Double] { metrics.compactMap { $0["startup_seconds"]?.numberValue } }
  /// The most memory that the run has had, in MB.
  var peakMegabytes: Double { metrics.compactMap { $0["peak_rss_mb"]?.numberValue }.max() ?? 0 }
  /// The step that was evaluated last.
  var lastEvaluation: JSONObject? { metrics.last { $0["eval_loss"] != nil } }

  private func sum(_ key: String) -> Double {
    metrics.reduce(0) { $0 + ($1[key]?.numberValue ?? 0) }
  }
}
