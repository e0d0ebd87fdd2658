// One way through a file of rows: each becomes an example, and every fault is found.

/// What was met while the rows of a file became examples.
struct ExampleScan {
  /// The form of the rows.
  private(set) var format = DataFormat.text
  /// The lines of rows that were left out.
  private(set) var droppedLines: [Int] = []
  /// The lines of rows that were cut.
  private(set) var truncatedLines: [Int] = []
  /// Messages by role, in the order in which the roles appear.
  private(set) var messageCounts: [(role: String, count: Int)] = []
  /// What may not be meant.
  private(set) var oddities = OddityLines()

  private let file: String
  private let limit: LengthLimit
  private var faults: [DataError] = []
  private var faultCount = 0
  private var tooLong: [(line: Int, length: Int)] = []
  private var keptCount = 0

  /// How many faulty rows an error lists.
  private static let listedErrors = 10

  /// Reads the file a piece at a time and gives out its examples in order.
  ///
  /// - Throws: `DataError` after the last row, with file and line for all that are faulty or too
  ///   long; whatever `each` throws, at once.
  init(
    _ file: String, encoder: TextEncoder, limit: LengthLimit,
    each: (Example, RowPlace) throws -> Void
  ) throws {
    self.file = file
    self.limit = limit
    var rows = try RowReader(file)
    while true {
      let kept: Example?
      do {
        guard let (parsed, line) = try rows.next() else { break }
        oddities.add(parsed.oddities, line: line)
        kept = add(try encoder.encode(parsed.row), of: parsed.row, line: line)
      } catch let error as DataError where error.isOfOneRow {
        // The rows behind it are read all the same, so that a file is mended in one go.
        faultCount += 1
        if faults.count < Self.listedErrors {
          faults.append(error.line == nil ? error.at(file, rows.line) : error)
        }
        continue
      }
      if let kept { try each(kept, rows.place) }
    }
    try finish(rows)
  }

  /// Takes a row; gives back its example unless it is left out.
  private mutating func add(_ encoded: EncodedRow, of row: Row, line: Int) -> Example? {
    let example = Example(encoded, line: line, file: file)
    guard example.supervisedCount > 0 else {
      fault(line)
      return nil
    }
    oddities.add(encoded.oddities, line: line)
    for role in row.roles {
      if let place = messageCounts.firstIndex(where: { $0.role == role }) {
        messageCounts[place].count += 1
      } else {
        messageCounts.append((role, 1))
      }
    }
    let fitting = limit.fitting(example)
    if fitting != nil { keptCount += 1 }
    if example.tokens.count > limit.maxLength ?? .max {
      switch (limit.truncation, fitting) {
      case (.error, _): tooLong.append((line, example.tokens.count))
      case (_, nil): droppedLines.append(line)
      default: truncatedLines.append(line)
      }
    }
    return fitting
  }

  private mutating func fault(_ line: Int) {
    faultCount += 1
    guard faults.count < Self.listedErrors else { return }
    faults.append(
      DataError(
        file: file, line: line, message: "the row has no token that carries loss",
        hint: "a text needs two tokens at least; remove the row, or make it longer"))
  }

  private mutating func finish(_ rows: RowReader) throws {
    let keys = oddities.refusedKeys(file, isArray: rows.isArray)
    if let error = DataError.joined(keys + faults, count: keys.count + faultCount) { throw error }
    if let maxLength = limit.maxLength, !tooLong.isEmpty { throw tooLongError(maxLength) }
    guard let format = rows.format else {
      throw DataError(
        file: file, message: "the file is empty", hint: "write one JSON object a line")
    }
    guard keptCount > 0 else {
      throw DataError(
        file: file, message: "all \(droppedLines.count) rows are too long to keep",
        hint: "raise --max-length")
    }
    self.format = format
  }

  private func tooLongError(_ maxLength: Int) -> DataError {
    let shown = tooLong.prefix(10).map { "\(file):\($0.line) (\($0.length) tokens)" }
    let more = tooLong.count > shown.count ? " and \(tooLong.count - shown.count) more" : ""
    return DataError(
      file: file,
      message: "\(tooLong.count) \(tooLong.count == 1 ? "row is" : "rows are") longer than "
        + "\(maxLength) tokens: " + shown.joined(separator: ", ") + more,
      hint: "raise --max-length (\(tooLong.map(\.length).max() ?? 0) keeps all), or choose "
        + "--truncation drop or truncate")
  }
}
