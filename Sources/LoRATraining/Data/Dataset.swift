// A file of rows, read, checked and tokenised.

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
  /// Keys about the rows that nothing depends on, and how many rows of the file have each.
  public var unusedKeys: [(key: String, rows: Int)] { oddities.unusedKeys }
  /// What may not be meant.
  let oddities: OddityLines

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
      file, encoder: encoder, limit: LengthLimit(maxLength: maxLength, truncation: truncation)
    ) { example, _ in examples.append(example) }
    self.init(file, scan, examples)
  }

  /// Reads a file and splits off rows to evaluate on, chosen by their content alone: a row stays on
  /// its side whatever is added to the file, and equal rows are never on both.
  ///
  /// - Parameter share: about how many of the rows, 0…1.
  /// - Throws: `DataError` as above, and where one side is left empty.
  public static func split(
    _ file: String, encoder: TextEncoder, maxLength: Int? = nil, truncation: Truncation = .error,
    evaluationShare share: Double
  ) throws -> (training: Dataset, evaluation: EvaluationRows) {
    var examples: [Example] = []
    var places: [RowPlace] = []
    let limit = LengthLimit(maxLength: maxLength, truncation: truncation)
    let version = FileVersion(file)
    let scan = try ExampleScan(file, encoder: encoder, limit: limit) { example, place in
      if example.contentFraction < share {
        places.append(place)
      } else {
        examples.append(example)
      }
    }
    guard !examples.isEmpty, !places.isEmpty else {
      throw DataError(
        file: file,
        message: "a share of \(share) of \(examples.count + places.count) rows leaves "
          + "\(examples.count) to train on and \(places.count) to evaluate on",
        hint: "choose another share, or give rows to evaluate on in a file of their own")
    }
    return (
      Dataset(file, scan, examples, without: Set(places.map(\.line))),
      EvaluationRows(file, version, scan, places, encoder: encoder, limit: limit)
    )
  }

  private init(
    _ file: String, _ scan: ExampleScan, _ examples: [Example], without lines: Set<Int> = []
  ) {
    self.file = file
    self.examples = examples
    format = scan.format
    droppedLines = scan.droppedLines
    truncatedLines = scan.truncatedLines.filter { !lines.contains($0) }
    messageCounts = scan.messageCounts
    oddities = scan.oddities.without(lines)
  }
}
