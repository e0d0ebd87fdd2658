// Something that may be wrong with rows or settings, with its place and what to change.

package import LoRAJSON

/// A warning of `lora check`: what was found, where, and what to do about it.
public struct Finding: Sendable, Hashable, CustomStringConvertible {
  /// A short name, the same in every run: `duplicate`, `learning_rate`, …
  public let kind: String
  /// The file of rows, where it is about one.
  public let file: String
  /// The lines, from 1, in order.
  public let lines: [Int]
  /// What was found.
  public let message: String
  /// What to do.
  public let hint: String

  /// A finding.
  public init(
    _ kind: String, file: String = "", lines: [Int] = [], _ message: String, hint: String = ""
  ) {
    self.kind = kind
    self.file = file
    self.lines = lines
    self.message = message
    self.hint = hint
  }

  /// `file:line: message (lines …); hint`.
  public var description: String {
    let place = file.isEmpty ? "" : file + (lines.first.map { ":\($0)" } ?? "") + ": "
    let more = lines.count > 1 ? " (lines \(lines.map(String.init).listed(atMost: 8)))" : ""
    return place + message + more + (hint.isEmpty ? "" : "; " + hint)
  }

  /// The finding as an object for programs.
  package var json: JSONValue {
    .object([
      "kind": .string(kind), "file": file.isEmpty ? .null : .string(file),
      "lines": .array(lines.map(JSONValue.integer)), "message": .string(message),
      "hint": .string(hint),
    ])
  }
}
