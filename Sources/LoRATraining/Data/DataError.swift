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

  package init(file: String = "", line: Int? = nil, message: String, hint: String) {
    self.file = file
    self.line = line
    self.message = message
    self.hint = hint
  }

  /// `file:line: message` and the hint.
  public var description: String {
    let place = file.isEmpty ? "" : file + (line.map { ":\($0)" } ?? "") + ": "
    return "\(place)\(message)\nhint: \(hint)"
  }

  /// The same error at a place.
  func at(_ file: String, _ line: Int) -> DataError {
    DataError(file: file, line: line, message: message, hint: hint)
  }
}
