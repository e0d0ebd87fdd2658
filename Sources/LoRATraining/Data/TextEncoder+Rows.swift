// A row becomes tokens and a mask: which of them the model is to learn to say.

import LoRAJSON
import LoRAText

/// Tokens with their mask.
struct EncodedRow {
  var tokens: [Int32] = []
  var mask: [Bool] = []
  /// Whether every supervised part ends in a stop token.
  var endsWithStop = true
  /// What may not be meant.
  var oddities: [Oddity] = []

  mutating func append(_ part: [Int32], supervised: Int) {
    tokens += part
    mask += (0..<part.count).map { $0 < supervised }
  }
}

extension TextEncoder {
  /// The tokens of a row, which of them carry loss, and what may not be meant.
  ///
  /// - Throws: `DataError` without a place.
  func encode(_ row: Row) throws -> EncodedRow {
    var encoded = try encodeText(row, looksForLosses: true)
    encoded.oddities += row.oddities
    for text in row.texts {
      encoded.oddities += tokenizer.specialTokens(in: text).map(Oddity.specialToken)
      encoded.oddities += tokenizer.unencodableCharacters(in: text).map(Oddity.unencodable)
    }
    return encoded
  }

  /// The same without a look for what may not be meant.
  func encodeText(_ row: Row, looksForLosses: Bool = false) throws -> EncodedRow {
    switch row {
    case .conversation(let conversation):
      return try encode(traits.adapted(conversation), looksForLosses: looksForLosses)
    case .completion(let prompt, let completion):
      // In two parts, as generation meets them: no token spans the border.
      var encoded = EncodedRow()
      encoded.append(start(prompt), supervised: 0)
      encoded.appendSupervised(ended(tokens(completion)), stops: tokenizer.endOfGenerationTokenIDs)
      return encoded
    case .text(let text):
      var encoded = EncodedRow()
      encoded.appendSupervised(ended(start(text)), stops: tokenizer.endOfGenerationTokenIDs)
      return encoded
    }
  }

  /// The tokens with EOS behind them, unless the row spelled out an end itself.
  private func ended(_ tokens: [Int32]) -> [Int32] {
    guard let end = tokenizer.eosTokenID,
      tokens.last.map(tokenizer.endOfGenerationTokenIDs.contains) != true
    else { return tokens }
    return tokens + [end]
  }

  /// A conversation: each of the assistant's turns carries loss, from after the generation prompt
  /// through the token that ends the turn.
  ///
  /// Where a turn begins and ends is found by rendering the conversation up to it, with and without
  /// the generation prompt. The text is cut there before it is tokenised: a token that spanned the
  /// border would be one that the model never meets when it generates.
  private func encode(
    _ conversation: Conversation, looksForLosses: Bool
  ) throws -> EncodedRow {
    let whole = try render(conversation, addGenerationPrompt: false)
    var encoded = EncodedRow()
    if looksForLosses { encoded.oddities = try losses(conversation, in: whole) }
    var rest = whole.utf8[...]
    for index in conversation.learned {
      let start = try render(conversation.prefix(index), addGenerationPrompt: true)
      let end =
        index + 1 == conversation.messages.count
        ? whole : try render(conversation.prefix(index + 1), addGenerationPrompt: false)
      guard let turn = Self.range(of: whole, from: start, to: end),
        turn.lowerBound >= rest.startIndex
      else { throw Self.changedPrefix(conversation.place(index), isFirst: index == 0) }
      encoded.append(tokens(String(rest[..<turn.lowerBound]) ?? ""), supervised: 0)
      encoded.appendTurn(
        tokens(String(whole.utf8[turn]) ?? ""), stops: tokenizer.endOfGenerationTokenIDs)
      rest = rest[turn.upperBound...]
    }
    encoded.append(tokens(String(rest) ?? ""), supervised: 0)
    return encoded
  }

  /// The last answer as the model is to say it, special tokens aside, where that is more than its
  /// content: calls and reasoning as the template writes them.
  func spoken(_ row: Row) throws -> String? {
    guard case .conversation(let conversation) = row, let last = conversation.learned.last,
      let answer = conversation.messages[last].objectValue,
      answer.count > 2 || answer["tool_calls"] != nil
    else { return nil }
    var turn = traits.adapted(conversation).prefix(last + 1)
    turn.learned = [last]
    let encoded = try encode(turn, looksForLosses: false)
    let said = zip(encoded.tokens, encoded.mask).filter(\.1).map(\.0)
    return tokenizer.decode(said, skipSpecialTokens: true)
  }

  /// The part of `whole` after `start` and up to the end of `end`; nil where these do not begin it.
  private static func range(
    of whole: String, from start: String, to end: String
  ) -> Range<String.Index>? {
    guard whole.utf8.starts(with: start.utf8), whole.utf8.starts(with: end.utf8),
      start.utf8.count <= end.utf8.count
    else { return nil }
    let lower = whole.utf8.index(whole.startIndex, offsetBy: start.utf8.count)
    return lower..<whole.utf8.index(whole.startIndex, offsetBy: end.utf8.count)
  }

  private static func changedPrefix(_ place: String, isFirst: Bool) -> DataError {
    DataError(
      message:
        "the chat template renders \(place) differently with what follows it, so it "
        + "is not certain which tokens are its",
      hint: isFirst
        ? "begin with a user message"
        : "cut the conversation into rows that end with the answer to be learned, given as "
          + "{\"prompt\": [messages], \"completion\": [answer]}")
  }
}

extension EncodedRow {
  /// Appends a turn as rendered: supervised through its last stop token; what the template writes
  /// after that (a line break in ChatML) is not the model's to say.
  fileprivate mutating func appendTurn(_ part: [Int32], stops: Set<Int32>) {
    guard let last = part.lastIndex(where: stops.contains) else {
      endsWithStop = false
      return append(part, supervised: part.count)
    }
    append(part, supervised: last + 1)
  }

  fileprivate mutating func appendSupervised(_ part: [Int32], stops: Set<Int32>) {
    if part.last.map(stops.contains) != true { endsWithStop = false }
    append(part, supervised: part.count)
  }
}
