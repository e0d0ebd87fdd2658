// The error of a data file, with its line.

/// A row, or a file of rows, that cannot be trained on.
public struct DataError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The file; empty where a conversation does not come from one.
  public let file: String
  /// The line, counted from 1, where it is about one.
  public let line: Int?
  /// What is wrong.
  public let message: String
  /// What to do.
  public let hint: String
  /// The other faulty rows of the file, each with its place; the last may count what is not listed.
  public private(set) var others: [String] = []

  package init(file: String = "", line: Int? = nil, message: String, hint: String) {
    self.file = file
    self.line = line
    self.message = message
    self.hint = hint
  }

  /// `file:line: message`, those of the other rows below it, and the hint.
  public var description: String {
    ([located] + others).joined(separator: "\n") + "\nhint: \(hint)"
  }

  private var located: String {
    let place = file.isEmpty ? "" : file + (line.map { ":\($0)" } ?? "") + ": "
    return place + message
  }

  /// The same error at a place.
  func at(_ file: String, _ line: Int) -> DataError {
    DataError(file: file, line: line, message: message, hint: hint)
  }

  /// Whether the rows behind it can still be read: it is about what one line says, not about the
  /// file.
  var isOfOneRow: Bool { file.isEmpty || line != nil }

  /// The first error, with the others listed: a file is mended in one go, not one line a run.
  static func joined(_ errors: [DataError], count: Int) -> DataError? {
    guard var error = errors.first else { return nil }
    error.others = errors.dropFirst().map(\.located)
    if count > errors.count {
      error.others.append("and \(count - errors.count) more faulty rows")
    }
    return error
  }
}
