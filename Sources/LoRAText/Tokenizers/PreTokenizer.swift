// The rules that cut a text into pieces before merging: no token ever reaches across a cut.

/// A pre-tokenizer known by the name that model files give it.
///
/// Each rule is one regular expression or several, applied one after the other to the pieces that
/// the one before left; what an expression does not match is a piece as well.
///
/// `qwen2` does not normalise to NFC first as Hugging Face's tokenizer of these models does: model
/// files in GGUF do not say so, and llama.cpp does not either.
package struct PreTokenizer: Sendable {
  private let passes: [RegularExpression]

  /// Whether a piece that is in the vocabulary is that token, whatever the merges would make of it.
  let ignoresMerges: Bool

  /// Whether models with this rule begin a text with BOS when their file does not say.
  let addsBOSByDefault: Bool

  /// The rule of a name; throws if the name is not known.
  package init(named name: String) throws {
    guard let rule = Self.rules.first(where: { $0.names.contains(name) }) else {
      let known = Self.rules.flatMap(\.names).sorted().joined(separator: ", ")
      throw TokenizerError(
        message: "tokenizer.ggml.pre: the pre-tokenizer \"\(name)\" is not known; known: \(known)",
        hint: "use a model with one of these; guessing would silently produce other tokens")
    }
    passes = try rule.patterns.map { try RegularExpression($0) }
    ignoresMerges = rule.ignoresMerges
    addsBOSByDefault = rule.addsBOSByDefault
  }

  /// The pieces of a text without special tokens; put together they are the text.
  package func pieces(of text: String) -> [String] {
    var pieces: [String] = []
    var text = text
    text.withUTF8 { bytes in
      makeMatchers().forEachPiece(of: bytes) { pieces.append(String(decoding: $0, as: UTF8.self)) }
    }
    return pieces
  }

  /// The Unicode version of the tables behind the patterns, such as `14.0.0`.
  package static var unicodeVersion: String { RegularExpression.unicodeVersion }

  /// A matcher per pass, for the use of one thread.
  func makeMatchers() -> Matchers { Matchers(passes) }

  private struct Rule {
    var names: [String]
    var patterns: [String]
    var ignoresMerges = false
    var addsBOSByDefault = false
  }

  private static let rules: [Rule] = {
    let letter = UnicodeClasses.letters
    let number = UnicodeClasses.numbers
    let digit = UnicodeClasses.digits
    let space = UnicodeClasses.spaces
    let contraction = "'(?:[stmd]|re|ve|ll)"
    let gpt2 =
      contraction + "| ?[\(letter)]+| ?[\(number)]+| ?[^\(space)\(letter)\(number)]+"
      + "|[\(space)]+(?![^\(space)])|[\(space)]+"
    // The digits one by one, then GPT-2's rule on what lies between them, in one expression: a
    // digit is a match of its own, and the end of a run of blanks may be a digit, too.
    let smollm =
      contraction + "| ?[\(letter)]+|[\(digit)]| ?[^\(space)\(letter)\(digit)]+"
      + "|[\(space)]+(?![^\(space)\(digit)])|[\(space)]+"
    // Ignoring case folds as Unicode does, so that 'ſ is a contraction like 's.
    func llama3(_ numbers: String) -> String {
      "(?i:\(contraction))|[^\\r\\n\(letter)\(number)]?[\(letter)]+|\(numbers)"
        + "| ?[^\(space)\(letter)\(number)]+[\\r\\n]*|[\(space)]*[\\r\\n]+"
        + "|[\(space)]+(?![^\(space)])|[\(space)]+"
    }
    return [
      Rule(names: ["gpt-2"], patterns: [gpt2]),
      Rule(names: ["smollm", "starcoder", "refact", "command-r"], patterns: [smollm]),
      Rule(
        names: ["llama-bpe", "llama3", "llama-v3"], patterns: [llama3("[\(number)]{1,3}")],
        ignoresMerges: true, addsBOSByDefault: true),
      Rule(names: ["qwen2"], patterns: [llama3("[\(number)]")]),
      Rule(
        names: ["default"],
        patterns: [
          "[\(UnicodeClasses.punctuation)$+<=>^~|]+", gpt2, "[\(number)]+", "[0-9][0-9][0-9]",
        ]),
    ]
  }()
}

extension PreTokenizer {
  /// The matchers of all passes, chained.
  struct Matchers: ~Copyable {
    private let last: RegularExpressionMatcher
    private let earlier: [RegularExpression]

    fileprivate init(_ passes: [RegularExpression]) {
      last = RegularExpressionMatcher(passes[passes.count - 1])
      earlier = passes.dropLast()
    }

    /// Calls `body` with every piece of the text, in order; together they are the text.
    @inline(__always)
    borrowing func forEachPiece(
      of text: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void
    ) {
      if earlier.isEmpty {
        Self.forEachPiece(of: text, last, body)
        return
      }
      var pieces = [text]
      for expression in earlier {
        let matcher = RegularExpressionMatcher(expression)
        var finer: [UnsafeBufferPointer<UInt8>] = []
        for piece in pieces { Self.forEachPiece(of: piece, matcher) { finer.append($0) } }
        pieces = finer
      }
      for piece in pieces { Self.forEachPiece(of: piece, last, body) }
    }

    @inline(__always)
    private static func forEachPiece(
      of text: UnsafeBufferPointer<UInt8>, _ matcher: borrowing RegularExpressionMatcher,
      _ body: (UnsafeBufferPointer<UInt8>) -> Void
    ) {
      var position = 0
      while position < text.count,
        let match = matcher.firstMatch(in: text, from: position), !match.isEmpty
      {
        if position < match.lowerBound {
          body(UnsafeBufferPointer(rebasing: text[position..<match.lowerBound]))
        }
        body(UnsafeBufferPointer(rebasing: text[match]))
        position = match.upperBound
      }
      if position < text.count { body(UnsafeBufferPointer(rebasing: text[position...])) }
    }
  }
}
