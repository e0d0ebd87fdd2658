// What is in a data set, and what is odd about it: read before the first step, not after the last.

import LoRAText

/// Figures and warnings about the rows of a data set.
public struct DataReport: Sendable {
  /// Rows that are trained on.
  public let rows: Int
  /// Tokens in all.
  public let tokens: Int
  /// Tokens that carry loss.
  public let supervisedTokens: Int
  /// Token lengths: the shortest, 50%, 90%, 99%, and the longest row.
  public let lengths: (shortest: Int, median: Int, p90: Int, p99: Int, longest: Int)
  /// What may be wrong, each with a place and what to do.
  public let warnings: [String]

  /// The share of tokens that carry loss.
  public var supervisedShare: Double { Double(supervisedTokens) / Double(max(tokens, 1)) }

  /// Looks at a data set.
  ///
  /// - Parameter evaluation: rows that training must not see.
  public init(_ data: Dataset, evaluation: Dataset? = nil) {
    let sizes = data.examples.map(\.tokens.count).sorted()
    func quantile(_ share: Double) -> Int {
      sizes.isEmpty ? 0 : sizes[min(sizes.count - 1, Int(Double(sizes.count) * share))]
    }
    rows = sizes.count
    tokens = sizes.reduce(0, +)
    supervisedTokens = data.examples.reduce(0) { $0 + $1.supervisedCount }
    lengths = (sizes.first ?? 0, quantile(0.5), quantile(0.9), quantile(0.99), sizes.last ?? 0)
    var warnings: [String] = []
    func warn(_ lines: [Int], _ what: String, _ hint: String) {
      guard let first = lines.first else { return }
      let count = lines.count == 1 ? "1 row" : "\(lines.count) rows"
      warnings.append("\(data.file):\(first): \(count) \(what); \(hint)")
    }
    warn(data.droppedLines, "dropped: too long", "raise --max-length to keep them")
    warn(data.truncatedLines, "truncated: what is cut off is not learned", "raise --max-length")
    warn(
      data.examples.filter { !$0.endsWithStop }.map(\.line),
      "without a supervised stop token at the end: the model does not learn where to stop",
      "check the chat template and the tokenizer's end of text")
    warn(Self.repeated(data.examples), "equal to an earlier row", "remove them")
    warn(
      data.oddities.filter { !$0.specialTokens.isEmpty }.map(\.line),
      "with a special token spelled out in the text ("
        + (data.oddities.lazy.compactMap(\.specialTokens.first).first ?? "") + ")",
      "it steers the model as if the template had written it: remove it unless that is meant")
    warn(
      data.oddities.filter { !$0.unencodable.isEmpty }.map(\.line),
      "with a character that the model's vocabulary cannot spell: it is left out",
      "replace it")
    if let evaluation {
      let seen = Set(data.examples.map(\.tokens))
      let shared = evaluation.examples.filter { seen.contains($0.tokens) }
      if let first = shared.first {
        warnings.append(
          "\(evaluation.file):\(first.line): \(shared.count) of \(evaluation.examples.count) rows are "
            + "also trained on; the evaluation is not to be trusted: remove them from one file")
      }
    }
    if rows < 50 {
      warnings.append("\(data.file): only \(rows) rows; some hundred teach a task, 50 at the least")
    }
    let share = Double(supervisedTokens) / Double(max(tokens, 1))
    if share < 0.05 {
      warnings.append(
        "\(data.file): only \(Int(share * 100))% of the tokens carry loss; most of the time "
          + "goes into reading prompts: shorten them")
    }
    self.warnings = warnings
  }

  /// The lines of rows whose tokens and mask an earlier row had.
  private static func repeated(_ examples: [Example]) -> [Int] {
    struct Content: Hashable {
      let tokens: [Int32]
      let mask: [Bool]
    }
    var seen = Set<Content>()
    return examples.filter { !seen.insert(Content(tokens: $0.tokens, mask: $0.mask)).inserted }
      .map(\.line)
  }
}
