// A row as the model sees it: special tokens visible, and what carries loss marked.

import LoRAText
import LoRATraining

/// Shows rows: in colour on a terminal, in brackets elsewhere.
enum RowMarking {
  /// What the marks mean.
  static var legend: String {
    Console.isColoured ? "in green, special tokens in blue" : "in ⟦ ⟧"
  }

  /// Shows a row on standard output.
  static func show(_ example: Example, _ tokenizer: Tokenizer, limit: Int) {
    let isColoured = Console.isColoured
    let text = text(example, tokenizer, limit: limit, isColoured: isColoured)
    isColoured ? Console.sayStyled(text) : Console.say(text)
  }

  /// The row's text with its marks; in colours, without control characters of its own.
  ///
  /// - Parameter limit: characters that are shown at most; a long row loses its middle, so that the
  ///   end of what is learned stays in sight.
  static func text(
    _ example: Example, _ tokenizer: Tokenizer, limit: Int = 4000, isColoured: Bool = false
  ) -> String {
    var pieces: [String] = []
    var part: [Int32] = []
    var style = Style(isSupervised: false, isSpecial: false)
    func close() {
      guard !part.isEmpty else { return }
      let text = tokenizer.decode(part)
      pieces.append(isColoured ? style.coloured(text.visible) : style.bracketed(text))
      part = []
    }
    for (token, isSupervised) in zip(example.tokens, example.mask) {
      let isSpecial =
        isColoured && tokenizer.decode([token], skipSpecialTokens: true).isEmpty
        && !tokenizer.decode([token]).isEmpty
      let next = Style(isSupervised: isSupervised, isSpecial: isSpecial)
      if next != style {
        close()
        style = next
      }
      part.append(token)
    }
    close()
    return shortened(pieces, limit: limit)
  }

  private struct Style: Equatable {
    let isSupervised: Bool
    let isSpecial: Bool

    func bracketed(_ text: String) -> String { isSupervised ? "⟦\(text)⟧" : text }

    func coloured(_ text: String) -> String {
      let codes = (isSupervised ? ["32"] : []) + (isSpecial ? ["34"] : [])
      // A special token that carries loss is both: blue, underlined in the green span.
      let code = isSupervised && isSpecial ? "34;4" : codes.joined(separator: ";")
      return code.isEmpty ? text : "\u{1B}[\(code)m\(text)\u{1B}[0m"
    }
  }

  /// The pieces as one text; where it is too long, the middle of the longest pieces is left out.
  private static func shortened(_ pieces: [String], limit: Int) -> String {
    let length = pieces.reduce(0) { $0 + $1.count }
    guard length > limit else { return pieces.joined() }
    let share = max(40, limit / max(pieces.count, 1))
    return pieces.map { piece in
      piece.count <= share
        ? piece : piece.prefix(share / 2) + " […] " + piece.suffix(share - share / 2)
    }.joined()
  }
}
