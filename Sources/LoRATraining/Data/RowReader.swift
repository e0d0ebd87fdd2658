// The rows of a file, one after the other.

/// Reads the rows of a file one by one, all of one form.
struct RowReader {
  private let file: String
  private var lines: LineReader
  /// The form of the rows, known after the first.
  private(set) var format: DataFormat?
  private var firstLine = 0

  /// Whether the file is one array of rows.
  var isArray: Bool { lines.array != nil }
  /// The line that was read last, from 1.
  var line: Int { lines.line }
  /// Where it is in the file.
  var place: RowPlace { RowPlace(line: lines.line, bytes: lines.range) }

  init(_ file: String) throws {
    self.file = file
    lines = try LineReader(file)
  }

  /// The next row with its line; blank lines are skipped.
  mutating func next() throws -> (row: ParsedRow, line: Int)? {
    while let text = try lines.next() {
      if text.allSatisfy(\.isWhitespace) { continue }
      if format == nil, let error = Row.tableError(text, file) { throw error }
      do {
        let row = try ParsedRow(text)
        try check(row.format)
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
