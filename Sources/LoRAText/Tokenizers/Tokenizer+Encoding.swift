// Text → tokens: special tokens are cut out, the rest is cut into pieces, the pieces are merged.

import Foundation

extension Tokenizer {
  /// The tokens of a text.
  ///
  /// With `addSpecialTokens` BOS and EOS are put around it as the model's file says; not to be used
  /// on a rendered chat template, which spells its own. With `parseSpecialTokens` the spelling of a
  /// special token in the text becomes that token, as Hugging Face's tokenizers have it; without,
  /// it is text like any other (user-defined tokens, which are text themselves, are still whole).
  ///
  /// Bytes that the vocabulary lacks are left out, as Hugging Face does: see
  /// `unencodableCharacters(in:)`.
  public func encode(
    _ text: String, addSpecialTokens: Bool, parseSpecialTokens: Bool = true
  ) -> [Int32] {
    var output: [Int32] = []
    if addSpecialTokens, addsBOS, let bosTokenID { output.append(bosTokenID) }
    var text = text
    text.withUTF8 {
      if parseSpecialTokens {
        encode($0, specialTokens, late: lateSpecialTokens, &output)
      } else {
        encode($0, userDefinedTokens, late: lateUserDefinedTokens, &output)
      }
    }
    if addSpecialTokens, addsEOS, let eosTokenID { output.append(eosTokenID) }
    return output
  }

  private func encode(
    _ text: UnsafeBufferPointer<UInt8>, _ special: SpecialTokenMatcher,
    late: SpecialTokenMatcher, _ output: inout [Int32]
  ) {
    output.reserveCapacity(output.count + text.count / 3 + 2)
    let matchers = preTokenizer.makeMatchers()
    var scratch = BytePairEncoder.Scratch()
    var position = 0
    while position < text.count {
      let match = special.firstMatch(in: text, from: position)
      let end = match?.range.lowerBound ?? text.count
      let section = UnsafeBufferPointer(rebasing: text[position..<end])
      if normalizesToNFC, !section.allSatisfy({ $0 < 0x80 }) {
        Self.normalized(section).withUnsafeBufferPointer {
          encodeSection($0, late, matchers, &output, &scratch)
        }
      } else {
        encodeSection(section, late, matchers, &output, &scratch)
      }
      if let match { output.append(match.id) }
      position = match?.range.upperBound ?? end
    }
  }

  /// Encodes what lies between special tokens, normalised.
  private func encodeSection(
    _ text: UnsafeBufferPointer<UInt8>, _ late: SpecialTokenMatcher,
    _ matchers: borrowing PreTokenizer.Matchers, _ output: inout [Int32],
    _ scratch: inout BytePairEncoder.Scratch
  ) {
    var position = 0
    while position < text.count {
      let match = late.firstMatch(in: text, from: position)
      let end = match?.range.lowerBound ?? text.count
      matchers.forEachPiece(of: UnsafeBufferPointer(rebasing: text[position..<end])) {
        encoder.encode($0, into: &output, &scratch)
      }
      if let match { output.append(match.id) }
      position = match?.range.upperBound ?? end
    }
  }

  /// A text in Unicode's form NFC, by today's tables. Those of `tokenizers` 0.23 are from before
  /// Unicode 11: the few combining marks that came since are not put in order there.
  static func normalized(_ text: some Collection<UInt8>) -> [UInt8] {
    Array(String(decoding: text, as: UTF8.self).precomposedStringWithCanonicalMapping.utf8)
  }

  /// The spellings of control tokens that occur in a text, each once, in order: what a warning
  /// should name where a text is not expected to steer the model.
  public func specialTokens(in text: String) -> [String] {
    var text = text
    return text.withUTF8 { bytes in
      var found: [Int32] = []
      for matcher in [specialTokens, lateSpecialTokens] {
        var position = 0
        while let match = matcher.firstMatch(in: bytes, from: position) {
          position = match.range.upperBound
          if vocabulary.types[Int(match.id)].isControl, !found.contains(match.id) {
            found.append(match.id)
          }
        }
      }
      return found.map(vocabulary.spelling(of:))
    }
  }

  /// The characters of a text that cannot come back from `decode`, each once, in order, because
  /// the vocabulary lacks one of their bytes. Empty for most models; SmolLM2 lacks six control
  /// characters and the unassigned planes 4 to 11 of Unicode.
  public func unencodableCharacters(in text: String) -> [Unicode.Scalar] {
    if !vocabulary.byteTokens.contains(-1) { return [] }
    var found: [Unicode.Scalar] = []
    for scalar in text.unicodeScalars
    where UTF8.encode(scalar)?.contains(where: { vocabulary.byteTokens[Int($0)] < 0 }) == true {
      if !found.contains(scalar) { found.append(scalar) }
    }
    return found
  }
}
