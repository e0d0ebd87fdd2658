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
  /// Rows whose text is not what it seems.
  let oddities: [Oddity]

  /// What is odd about a row's text.
  struct Oddity: Sendable {
    let line: Int
    let specialTokens: [String]
    let unencodable: [Unicode.Scalar]
  }

  /// Reads a file of JSON lines, a piece at a time.
  ///
  /// - Parameter maxLength: the longest example in tokens; nil: no limit.
  /// - Throws: `DataError` with file and line for the first row that is faulty, or for all rows that
  ///   are too long.
  public init(
    contentsOf file: String, encoder: TextEncoder, maxLength: Int? = nil,
    truncation: Truncation = .error
  ) throws {
    var rows = try RowReader(file)
    var examples: [Example] = []
    var oddities: [Oddity] = []
    var dropped: [Int] = []
    var truncated: [Int] = []
    var tooLong: [(line: Int, length: Int)] = []
    while let (row, line) = try rows.next() {
      let example: Example
      do {
        let encoded = try encoder.encode(row)
        example = Example(
          tokens: encoded.tokens, mask: encoded.mask, endsWithStop: encoded.endsWithStop,
          line: line, file: file)
        if !encoded.specialTokens.isEmpty || !encoded.unencodable.isEmpty {
          oddities.append(
            Oddity(
              line: line, specialTokens: encoded.specialTokens, unencodable: encoded.unencodable))
        }
      } catch let error as DataError {
        throw error.at(file, line)
      }
      guard example.supervisedCount > 0 else {
        throw DataError(
          file: file, line: line, message: "the row has no token that carries loss",
          hint: "a text needs two tokens at least; remove the row, or make it longer")
      }
      guard let maxLength, example.tokens.count > maxLength else {
        examples.append(example)
        continue
      }
      switch truncation {
      case .error: tooLong.append((line, example.tokens.count))
      case .drop: dropped.append(line)
      case .truncate:
        let shorter = example.prefix(maxLength)
        guard shorter.supervisedCount > 0 else {
          dropped.append(line)
          continue
        }
        truncated.append(line)
        examples.append(shorter)
      }
    }
    if let maxLength, !tooLong.isEmpty {
      throw Self.tooLong(file, tooLong, maxLength: maxLength)
    }
    guard let format = rows.format else {
      throw DataError(
        file: file, message: "the file is empty", hint: "write one JSON object a line")
    }
    guard !examples.isEmpty else {
      throw DataError(
        file: file, message: "all \(dropped.count) rows are too long to keep",
        hint: "raise --max-length")
    }
    self.file = file
    self.format = format
    self.examples = examples
    droppedLines = dropped
    truncatedLines = truncated
    self.oddities = oddities
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
    file = all.file
    format = all.format
    self.examples = examples
    droppedLines = all.droppedLines
    truncatedLines = all.truncatedLines
    oddities = all.oddities
  }

  private static func tooLong(
    _ file: String, _ rows: [(line: Int, length: Int)], maxLength: Int
  ) -> DataError {
    let shown = rows.prefix(10).map { "\(file):\($0.line) (\($0.length) tokens)" }
    let more = rows.count > shown.count ? " and \(rows.count - shown.count) more" : ""
    return DataError(
      file: file,
      message: "\(rows.count) \(rows.count == 1 ? "row is" : "rows are") longer than \(maxLength) "
        + "tokens: " + shown.joined(separator: ", ") + more,
      hint: "raise --max-length (\(rows.map(\.length).max() ?? 0) keeps all), or choose "
        + "--truncation drop or truncate")
  }
}

/// Reads the rows of a file one by one, all of one form.
struct RowReader {
  private let file: String
  private var lines: LineReader
  /// The form of the rows, known after the first.
  private(set) var format: DataFormat?
  private var firstLine = 0

  init(_ file: String) throws {
    self.file = file
    lines = try LineReader(file)
  }

  /// The next row with its line; blank lines are skipped.
  mutating func next() throws -> (row: Row, line: Int)? {
    while let text = try lines.next() {
      if text.allSatisfy(\.isWhitespace) { continue }
      do {
        let (row, format) = try Row.parse(text)
        try check(format)
        return (row, lines.line)
      } catch let error as DataError {
        throw error.at(file, lines.line)
      }
    }
    return nil
  }

  private mutating func check(_ found: DataFormat) throws {
    guard let format else {
      format = found
      firstLine = lines.line
      return
    }
    guard format == found else {
      throw DataError(
        message: "the row has the form \(found.rawValue), but line \(firstLine) has the form "
          + format.rawValue,
        hint: "put rows of each form into a file of their own")
    }
  }
}
