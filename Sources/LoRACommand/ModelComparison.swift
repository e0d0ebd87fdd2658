// What two models say on the same texts, compared: after a merge, and after an extraction.

import Foundation
import LoRA
import LoRATraining

enum ModelComparison {
  /// The sequences to compare on: of the rows in a file the first 32, else some built-in texts.
  static func sample(_ data: String?, of source: ModelSource) throws -> [[Int32]] {
    let encoder = try source.encoder()
    try source.check(encoder, fits: source.configuration())
    guard let data else { return SampleTexts.all.map { encoder.prompt(text: $0) } }
    let rows = try Dataset(
      contentsOf: StandardInput.path(data), encoder: encoder, maxLength: 512, truncation: .truncate)
    return rows.examples.prefix(32).map(\.tokens)
  }
}

extension LogitDifference {
  /// The figures for people.
  var line: String {
    func short(_ value: Double) -> String { String(format: "%.2g", value) }
    return "max |Δ logit| \(short(Double(maximum))), KL \(short(meanDivergence)) nats per token "
      + "(at most \(short(maximumDivergence))), same most probable token "
      + "\(Console.fixed(agreement * 100, 1))%"
  }
}
