// The errors of this target: a file that cannot be read as what it should be, or not be written.

/// A model file that is missing, broken or of a kind that is not supported.
public struct ModelFileError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The path of the file.
  public let file: String

  /// What is wrong, with the key, tensor or byte offset.
  public let message: String

  /// What to do about it.
  public let hint: String

  package init(file: String, message: String, hint: String) {
    self.file = file
    self.message = message
    self.hint = hint
  }

  /// The file, what is wrong, and what to do.
  public var description: String { "\(file): \(message)\nhint: \(hint)" }
}

/// A file that could not be written; what was there before is still there.
public struct OutputFileError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The path that was to be written.
  public let file: String

  /// What went wrong.
  public let message: String

  /// What to do about it.
  public let hint: String

  package init(file: String, message: String, hint: String) {
    self.file = file
    self.message = message
    self.hint = hint
  }

  /// The file, what went wrong, and what to do.
  public var description: String { "\(file): \(message)\nhint: \(hint)" }
}
