// What is wrong with a chat template or with the conversation it renders, and where.

/// A chat template cannot be read or rendered; says what is wrong, where, and what to do.
public struct ChatTemplateError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is wrong, without the place.
  public var message: String
  /// The place: line of the template, from 1.
  public var line: Int
  /// The place: column in Unicode scalars, from 1.
  public var column: Int
  /// The template's text around the place, on one line.
  public var excerpt: String
  /// What to do about it.
  public var hint: String

  /// The message with its place and the template's text, then the hint.
  public var description: String {
    let place = excerpt.isEmpty ? "" : " near '\(excerpt)'"
    return "chat template, line \(line), column \(column)\(place): \(message). \(hint)"
  }

  init(_ fault: TemplateFault, in source: TemplateSource) {
    let position = fault.position ?? TemplatePosition(line: 1, column: 1)
    message = fault.message
    hint = fault.hint
    line = position.line
    column = position.column
    excerpt = fault.position == nil ? "" : source.excerpt(at: position)
  }
}

/// A place in a template, both from 1, columns in Unicode scalars.
struct TemplatePosition: Hashable, Sendable {
  var line: Int
  var column: Int
}

/// An error on its way to becoming a `ChatTemplateError`: the innermost expression that knows
/// its place adds it.
struct TemplateFault: Error {
  var message: String
  var hint: String
  var position: TemplatePosition?

  init(_ message: String, hint: String, at position: TemplatePosition? = nil) {
    self.message = message
    self.hint = hint
    self.position = position
  }

  /// Something that Jinja or Python has and this interpreter has not.
  static func unsupported(_ what: String) -> TemplateFault {
    TemplateFault(
      "\(what) is not supported",
      hint: "This interpreter covers what chat templates use; write the template without it.")
  }

  /// A value of the wrong type, in the words of Python.
  static func type(_ message: String) -> TemplateFault {
    TemplateFault(message, hint: "Check the fields of the messages against the template.")
  }

  /// A limit that keeps a template from hanging or filling the memory.
  static func limit(_ what: String) -> TemplateFault {
    TemplateFault(
      what, hint: "This is a guard against runaway templates; shorten the input or the template.")
  }
}

/// The text of a template with its line breaks normalised, for positions and excerpts.
struct TemplateSource: Sendable {
  let scalars: [Unicode.Scalar]
  private let lineStarts: [Int]

  /// Jinja reads any line break as a line feed and drops one at the very end.
  init(_ text: String) {
    var scalars: [Unicode.Scalar] = []
    scalars.reserveCapacity(text.utf8.count)
    var lineStarts = [0]
    var afterReturn = false
    for scalar in text.unicodeScalars {
      if scalar == "\n" && afterReturn {
        afterReturn = false
        continue
      }
      afterReturn = scalar == "\r"
      scalars.append(afterReturn ? "\n" : scalar)
      if scalars.last == "\n" { lineStarts.append(scalars.count) }
    }
    if scalars.last == "\n" { scalars.removeLast() }
    self.scalars = scalars
    self.lineStarts = lineStarts
  }

  func position(at index: Int) -> TemplatePosition {
    var low = 0
    var high = lineStarts.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if lineStarts[middle] <= index { low = middle } else { high = middle }
    }
    return TemplatePosition(line: low + 1, column: index - lineStarts[low] + 1)
  }

  /// At most 60 scalars of the line around a place; templates are often one long line.
  func excerpt(at position: TemplatePosition) -> String {
    guard position.line <= lineStarts.count else { return "" }
    let lineStart = lineStarts[position.line - 1]
    let lineEnd = scalars[min(lineStart, scalars.count)...].firstIndex(of: "\n") ?? scalars.count
    let place = min(lineStart + position.column - 1, lineEnd)
    let start = max(lineStart, place - 20)
    let end = min(lineEnd, start + 60)
    guard start < end else { return "" }
    return (start > lineStart ? "…" : "") + String(scalars: scalars[start..<end])
      + (end < lineEnd ? "…" : "")
  }
}

extension String {
  /// A string of these scalars.
  init(scalars: some Sequence<Unicode.Scalar>) {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    self = String(view)
  }
}
