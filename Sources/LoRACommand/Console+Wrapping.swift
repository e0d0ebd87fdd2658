// Lines that are broken between words where a terminal is narrow; files and pipes get them whole.

import Foundation

extension Console {
  /// Says what people read: on a terminal, lines that are too long are broken between words.
  static func tell(_ text: String) { say(forTerminal(text, 1)) }

  /// Writes to the error stream as `tell` does to standard output; no line end is added.
  static func complain(_ text: String) { error(forTerminal(text, 2)) }

  private static func forTerminal(_ text: String, _ stream: Int32) -> String {
    // Cleaned first: what is shown for a control character is longer.
    isatty(stream) != 0 ? wrapped(text.visible, width: width(of: stream)) : text
  }

  /// The text with its lines broken between words; what goes on below is indented by two places
  /// more than its line. A word that is longer than a line, like a path, stays whole: it can be
  /// copied.
  ///
  /// - Parameter width: characters of a line at most.
  static func wrapped(_ text: String, width: Int) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false)
      .map { wrapped(line: $0, width: width) }.joined(separator: "\n")
  }

  private static func wrapped(line: Substring, width: Int) -> String {
    guard line.count > width else { return String(line) }
    let margin = line.prefix { $0 == " " }
    let indent = String(margin.prefix(max(width / 2, 2) - 2)) + "  "
    var (result, column) = (String(margin), margin.count)
    var (gap, isFirst) = (Substring(""), true)
    var rest = line.dropFirst(margin.count)
    while !rest.isEmpty {
      let word = rest.prefix { $0 != " " }
      rest = rest.dropFirst(word.count)
      if !isFirst, column + gap.count + word.count > width {
        result += "\n" + indent + word
        column = indent.count + word.count
      } else {
        result += gap + word
        column += gap.count + word.count
      }
      isFirst = false
      gap = rest.prefix { $0 == " " }
      rest = rest.dropFirst(gap.count)
    }
    return result
  }
}
