// The one error type of the tokenizers: what a description says wrong, and what to do about it.

/// A tokenizer description that cannot be used: what is wrong, where, and what to do.
public struct TokenizerError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong and where: the key, the token or the merge.
  public let message: String

  /// What the user can do about it.
  public let hint: String

  /// An error with both sentences.
  public init(message: String, hint: String) {
    self.message = message
    self.hint = hint
  }

  /// Message and hint on two lines.
  public var description: String { "\(message)\nhint: \(hint)" }

  /// The hint for mistakes that only a damaged or badly converted file can have.
  static let convertAgain =
    "the model file is damaged or was converted wrongly: download or convert it again"
}
