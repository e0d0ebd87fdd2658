// A file of rows, read, checked and tokenised.

/// What happens to a row that is longer than the limit.
public enum Truncation: String, Sendable, CaseIterable {
  /// The file is refused, with the lines listed.
  case error
  /// The row is left out.
  case drop
  /// The row keeps its first tokens.
  case truncate
}

/// The examples of a file.
public struct Dataset: Sendable {
  /// The file.
  public let file: String
  /// The form of its rows.
  public let format: DataFormat
  /// The examples, in the order of the file.
  public let examples: [Example]
  /// The lines of rows that were left out.
  public let droppedLines: [Int]
  /// The lines of rows that were cut.
  public let truncatedLines: [Int]
  /// Messages of the whole file by role, in the order in which the roles appear.
  public let messageCounts: [(role: String, count: Int)]
  /// Rows that may not be meant as they are.
  let oddities: [(line: Int, found: [Oddity])]

  /// Reads a file of JSON lines, a piece at a time.
  ///
  /// - Parameter maxLength: the longest example in tokens; nil: no limit.
  /// - Throws: `DataError` with file and line for the rows that are faulty, or for all that are too
  ///   long.
  public init(
    contentsOf file: String, encoder: TextEncoder, maxLength: Int? = nil,
    truncation: Truncation = .error
  ) throws {
    var examples: [Example] = []
    let scan = try ExampleScan(
      file, encoder: encoder, maxLength: maxLength, truncation: truncation
    ) { examples.append($0) }
    self.file = file
    self.examples = examples
    format = scan.format
    droppedLines = scan.droppedLines
    truncatedLines = scan.truncatedLines
    messageCounts = scan.messageCounts
    oddities = scan.oddities
  }

  /// Splits off rows to evaluate on, chosen by their content alone: a row stays on its side whatever
  /// is added to the file, and equal rows are never on both.
  ///
  /// - Parameter share: about how many of the rows, 0…1.
  /// - Throws: `DataError` where one side is left empty.
  public func split(evaluationShare share: Double) throws -> (
    training: Dataset, evaluation: Dataset
  ) {
    func side(_ isEvaluation: Bool) -> Dataset {
      Dataset(self, examples: examples.filter { ($0.contentFraction < share) == isEvaluation })
    }
    let (training, evaluation) = (side(false), side(true))
    guard !training.examples.isEmpty, !evaluation.examples.isEmpty else {
      throw DataError(
        file: file,
        message: "a share of \(share) of \(examples.count) rows leaves "
          + "\(training.examples.count) to train on and \(evaluation.examples.count) to evaluate on",
        hint: "choose another share, or give rows to evaluate on in a file of their own")
    }
    return (training, evaluation)
  }

  private init(_ all: Dataset, examples: [Example]) {
    let lines = Set(examples.map(\.line))
    file = all.file
    format = all.format
    self.examples = examples
    droppedLines = all.droppedLines
    truncatedLines = all.truncatedLines.filter(lines.contains)
    messageCounts = all.messageCounts
    oddities = all.oddities.filter { lines.contains($0.line) }
  }
}
