// What is in a data set, and what is odd about it: read before the first step, not after the last.

import LoRAJSON

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
  /// The rows whose every supervised part ends in a token that ends a turn.
  public let rowsWithStop: Int
  /// The tokens that rows end to carry loss with, and in how many rows, most frequent first.
  public let lastTokens: [(token: Int32, rows: Int)]
  /// What may be wrong, each with a place and what to do.
  public let warnings: [Finding]

  /// The share of tokens that carry loss.
  public var supervisedShare: Double { Double(supervisedTokens) / Double(max(tokens, 1)) }

  /// Looks at a data set.
  ///
  /// - Parameters:
  ///   - evaluation: rows that training must not see; made knowing `data`.
  ///   - bos: the token that begins a text; two of them are a mistake.
  public init(_ data: Dataset, evaluation: EvaluationRows? = nil, bos: Int32? = nil) {
    let sizes = data.examples.map(\.tokens.count).sorted()
    func quantile(_ share: Double) -> Int {
      sizes.isEmpty ? 0 : sizes[min(sizes.count - 1, Int(Double(sizes.count) * share))]
    }
    rows = sizes.count
    tokens = sizes.reduce(0, +)
    supervisedTokens = data.examples.reduce(0) { $0 + $1.supervisedCount }
    lengths = (sizes.first ?? 0, quantile(0.5), quantile(0.9), quantile(0.99), sizes.last ?? 0)
    rowsWithStop = data.examples.reduce(0) { $0 + ($1.endsWithStop ? 1 : 0) }
    var ends: [Int32: Int] = [:]
    for example in data.examples {
      if let last = example.mask.lastIndex(of: true) { ends[example.tokens[last], default: 0] += 1 }
    }
    lastTokens = ends.map { (token: $0.key, rows: $0.value) }.sorted {
      ($1.rows, $0.token) < ($0.rows, $1.token)
    }
    warnings =
      Self.lengthFindings(data, evaluation) + Self.stopFindings(data, bos: bos)
      + Self.repetitions(data)
      + Self.oddityFindings(data) + Self.fieldFindings(data.file, data.oddities)
      + (evaluation.map { $0.file == data.file ? [] : Self.fieldFindings($0.file, $0.oddities) }
        ?? [])
      + (evaluation.map { Self.overlap(data, $0) } ?? [])
      + Self.shareFindings(data, share: Double(supervisedTokens) / Double(max(tokens, 1)))
  }
}

/// The looks that are taken; each gives a finding or none.
extension DataReport {
  private static func finding(
    _ kind: String, _ data: Dataset, _ lines: [Int], _ what: String, _ hint: String
  ) -> [Finding] {
    finding(kind, data.file, lines, what, hint)
  }

  private static func finding(
    _ kind: String, _ file: String, _ lines: [Int], _ what: String, _ hint: String
  ) -> [Finding] {
    guard !lines.isEmpty else { return [] }
    let count = lines.count.counted("row")
    return [Finding(kind, file: file, lines: lines, "\(count) \(what)", hint: hint)]
  }

  private static func lengthFindings(
    _ data: Dataset, _ evaluation: EvaluationRows?
  ) -> [Finding] {
    // Rows of a split are dropped before it is known which side they would be on.
    let other = evaluation.flatMap { $0.file == data.file ? nil : $0 }
    let dropped =
      [(data.file, data.droppedLines)] + (other.map { [($0.file, $0.droppedLines)] } ?? [])
    return dropped.flatMap {
      finding("dropped", $0.0, $0.1, "dropped: too long", "raise --max-length to keep them")
    }
      + finding(
        "truncated", data, data.truncatedLines, "truncated: what is cut off is not learned",
        "raise --max-length")
      + finding(
        "truncated", evaluation?.file ?? "", evaluation?.truncatedLines ?? [],
        "truncated: what is cut off is not evaluated", "raise --max-length")
  }

  private static func stopFindings(_ data: Dataset, bos: Int32?) -> [Finding] {
    let unstopped = data.examples.filter { !$0.endsWithStop }.map(\.line)
    let doubled = data.examples.filter { example in
      example.tokens.count > 1 && example.tokens[0] == bos && example.tokens[1] == bos
    }
    return finding(
      "no_stop", data, unstopped,
      "without a supervised stop token at the end: the model does not learn where to stop",
      "check the chat template and the tokenizer's end of text")
      + finding(
        "double_bos", data, doubled.map(\.line), "that begin with the token of the beginning twice",
        "take it out of the text, or out of the template")
  }

  /// Rows that an earlier row makes useless, or contradicts.
  private static func repetitions(_ data: Dataset) -> [Finding] {
    struct Content: Hashable {
      let tokens: [Int32]
      let mask: [Bool]
    }
    var rows: [Content: Int] = [:]
    var questions: [ArraySlice<Int32>: Int] = [:]
    var equal: [(line: Int, first: Int)] = []
    var contradicting: [(line: Int, first: Int)] = []
    for example in data.examples {
      let content = Content(tokens: example.tokens, mask: example.mask)
      if let first = rows[content] {
        equal.append((example.line, first))
        continue
      }
      rows[content] = example.line
      guard let answer = example.mask.firstIndex(of: true), answer > 1 else { continue }
      let question = example.tokens[..<answer]
      if let first = questions[question] {
        contradicting.append((example.line, first))
      } else {
        questions[question] = example.line
      }
    }
    func text(_ pairs: [(line: Int, first: Int)], _ what: String) -> String {
      what + " (" + pairs.map { "\($0.line) = \($0.first)" }.listed(atMost: 4) + ")"
    }
    return finding(
      "duplicate", data, equal.map(\.line), text(equal, "equal to an earlier row"), "remove them")
      + finding(
        "contradiction", data, data.format == .text ? [] : contradicting.map(\.line),
        text(contradicting, "with the question of an earlier row and another answer"),
        "keep one, unless several answers are right")
  }

  private static func oddityFindings(_ data: Dataset) -> [Finding] {
    func lines(_ matches: (Oddity) -> Bool) -> [Int] { data.oddities.lines(matches) }
    let token = data.oddities.all { oddity -> String? in
      if case .specialToken(let token) = oddity { token } else { nil }
    }.first?.kind
    let special = lines { if case .specialToken = $0 { true } else { false } }
    let unencodable = lines { if case .unencodable = $0 { true } else { false } }
    let repeated = lines { if case .repeatedRole = $0 { true } else { false } }
    return finding(
      "special_token", data, special,
      "with a special token spelled out in the text (\(token ?? ""))",
      "it steers the model as if the template had written it: remove it unless that is meant")
      + finding(
        "unencodable", data, unencodable,
        "with a character that the model's vocabulary cannot spell: it is left out", "replace it")
      + finding(
        "blank", data, lines { $0 == .blankText }, "with a message that is only white space",
        "fill it, or remove the row")
      + finding(
        "same_role_twice", data, repeated, "in which one speaker has two turns in a row",
        "join them into one message")
      + finding(
        "unanswered", data, lines { $0 == .unanswered },
        "that go on after the last answer: nothing is learned from the messages behind it",
        "end the row with the answer")
  }

  /// Keys and fields that leave no trace in what is learned.
  private static func fieldFindings(_ file: String, _ oddities: OddityLines) -> [Finding] {
    let unknown = oddities.all { if case .unknownKey(let key) = $0 { key } else { nil } }
    let notRendered = oddities.all { if case .notRendered(let what) = $0 { what } else { nil } }
    return unknown.flatMap { key, lines in
      finding(
        "unknown_key", file, lines, "with the key \"\(key.shortened)\", which is not used",
        "take it out, or write what it says into the texts of the row")
    }
      + notRendered.flatMap { what, lines in
        finding(
          "not_rendered", file, lines, "in which the chat template does not render \(what)",
          "it is not learned: write it into the content if it matters")
      }
      + finding(
        "null_value", file, oddities.lines { $0 == .nullValue },
        "with null inside tools or arguments: taken as absent, as Arrow and Parquet mean it",
        "where null itself is meant, write the tools or arguments as a JSON string")
  }

  private static func overlap(_ data: Dataset, _ evaluation: EvaluationRows) -> [Finding] {
    guard let first = evaluation.overlap.first else { return [] }
    return [
      Finding(
        "overlap", file: evaluation.file, lines: evaluation.overlap.map(\.line),
        "\(evaluation.overlap.count) of \(evaluation.count) rows are also trained on (the first is "
          + "\(data.file):\(first.trained)); the evaluation is not to be trusted",
        hint: "remove them from one file")
    ]
  }

  private static func shareFindings(_ data: Dataset, share: Double) -> [Finding] {
    var findings: [Finding] = []
    if data.examples.count < 50 {
      findings.append(
        Finding(
          "few_rows", file: data.file, "only \(data.examples.count.counted("row"))",
          hint: "some hundred teach a task, 50 at the least"))
    }
    let percent = Int(share * 100)
    if share < 0.05 {
      findings.append(
        Finding(
          "supervised_share", file: data.file, "only \(percent)% of the tokens carry loss",
          hint: "most of the time goes into reading prompts: shorten them"))
    } else if share > 0.95, data.format != .text {
      findings.append(
        Finding(
          "supervised_share", file: data.file, "\(percent)% of the tokens carry loss",
          hint: "the questions are hardly longer than nothing: are they where they belong?"))
    }
    return findings
  }
}
