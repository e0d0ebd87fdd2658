// The error of this target: an adapter, or its files, that cannot be made, read or written.

/// An adapter that cannot be made, read or written as asked.
public struct AdapterError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The file or folder that it is about, where there is one.
  public let file: String?
  /// What is wrong, with the key, tensor or module.
  public let message: String
  /// What to do about it.
  public let hint: String

  package init(file: String? = nil, message: String, hint: String) {
    self.file = file
    self.message = message
    self.hint = hint
  }

  /// The file, what is wrong, and what to do.
  public var description: String { (file.map { $0 + ": " } ?? "") + "\(message)\nhint: \(hint)" }

  /// The same error about a file.
  func about(_ file: String) -> AdapterError {
    AdapterError(file: file, message: message, hint: hint)
  }
}
