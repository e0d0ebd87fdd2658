// What a model's answers are worth: equal to the expected ones, valid JSON, of a given pattern.

import LoRAJSON

/// A regular expression that an answer has to contain (anchors make it the whole answer).
public struct AnswerPattern {
  /// The expression as it was written.
  public let source: String
  private let expression: Regex<AnyRegexOutput>

  /// - Throws: `DataError` where it is no regular expression.
  public init(_ source: String) throws {
    self.source = source
    do {
      expression = try Regex(source)
    } catch {
      throw DataError(
        message: "not a regular expression: \(source)",
        hint: "the syntax is that of Swift's Regex, which is nearly Perl's: \\d+ or ^(yes|no)$")
    }
  }

  /// Whether the answer contains a match.
  public func matches(_ answer: String) -> Bool {
    (try? expression.firstMatch(in: answer.trimmed)) != nil
  }
}

/// Counts of good answers.
public struct AnswerScores {
  /// Answers.
  public private(set) var rows = 0
  /// Answers equal to the row's own, white space at both ends aside.
  public private(set) var exactMatches = 0
  private var validJSON = 0
  private var patternMatches = 0
  /// Whether every expected answer is a JSON object or array, so that the model's should be too.
  private var expectsJSON = true
  private let pattern: AnswerPattern?

  /// No answers yet.
  public init(pattern: AnswerPattern? = nil) { self.pattern = pattern }

  /// Counts one answer.
  public mutating func add(_ answer: String, to task: GenerationTask) {
    rows += 1
    if task.isAnswered(by: answer) { exactMatches += 1 }
    if expectsJSON, !task.reference.isJSONContainer { expectsJSON = false }
    if answer.isJSONContainer { validJSON += 1 }
    if pattern?.matches(answer) == true { patternMatches += 1 }
  }

  /// The scores by name, each a share of the rows: exact_match; json_valid where every expected
  /// answer is a JSON object or array; regex_match where there is a pattern.
  public var shares: [(name: String, count: Int, share: Double)] {
    var counts = [("exact_match", exactMatches)]
    if rows > 0, expectsJSON { counts.append(("json_valid", validJSON)) }
    if pattern != nil { counts.append(("regex_match", patternMatches)) }
    return counts.map { ($0.0, $0.1, rows > 0 ? Double($0.1) / Double(rows) : 0) }
  }
}

extension String {
  /// Whether the text is one JSON object or array.
  fileprivate var isJSONContainer: Bool {
    guard let value = try? JSONValue(parsing: String(trimmed)) else { return false }
    return value.objectValue != nil || value.arrayValue != nil
  }
}
