// The character classes behind the pre-tokenizers, over all of Unicode.

import Foundation
import LoRAText
import Testing

@Suite struct TokenizerUnicodeTests {
  /// The classes as the regex engine of Hugging Face's tokenizers (Unicode 16) and Rust's standard
  /// library (`digits`, Unicode 17) know them, as ranges of code points.
  struct Classes: Decodable {
    var letters: [[UInt32]]
    var numbers: [[UInt32]]
    var punctuation: [[UInt32]]
    var spaces: [[UInt32]]
    var unassigned: [[UInt32]]
    var digits: [[UInt32]]
  }

  static func set(_ ranges: [[UInt32]]) -> [Bool] {
    var members = [Bool](repeating: false, count: 0x110000)
    for range in ranges { for point in range[0]...range[1] { members[Int(point)] = true } }
    return members
  }

  @Test("every code point is in the class where Hugging Face has it")
  func classes() throws {
    let url = TokenizerFixtures.folder.appending(path: "unicode-classes.json")
    let classes = try JSONDecoder().decode(Classes.self, from: Data(contentsOf: url))
    let letters = Self.set(classes.letters)
    let numbers = Self.set(classes.numbers)
    let punctuation = Self.set(classes.punctuation)
    let spaces = Self.set(classes.spaces)
    let digits = Self.set(classes.digits)
    // Characters that came with Unicode 17 are unassigned for Hugging Face. A PCRE2 that knows them
    // may differ there, and only there.
    let version = PreTokenizer.unicodeVersion
    let isNewer = (version.split(separator: ".").first.flatMap { Int($0) } ?? 0) > 16
    let ignored = Self.set(isNewer ? classes.unassigned : [])
    if isNewer { print("PCRE2 has Unicode \(version): what Unicode 16 lacks is not compared") }

    let gpt2 = try PreTokenizer(named: "gpt-2")
    let smollm = try PreTokenizer(named: "smollm")
    let fallback = try PreTokenizer(named: "default")
    var wrong: [String: [String]] = [:]
    for point in UInt32(0)..<0x110000 {
      guard let scalar = Unicode.Scalar(point), !ignored[Int(point)] else { continue }
      let character = String(scalar)
      func isOnePiece(_ before: String, _ rule: PreTokenizer) -> Bool {
        rule.pieces(of: before + character).count == 1
      }
      func check(_ name: String, _ got: Bool, _ want: Bool) {
        if got != want { wrong[name, default: []].append(String(point, radix: 16)) }
      }
      let index = Int(point)
      let isOther = !letters[index] && !numbers[index] && !spaces[index]
      check("letters", isOnePiece("a", gpt2), letters[index])
      check("numbers", isOnePiece("1", gpt2), numbers[index])
      check("spaces", isOnePiece("\t", gpt2), spaces[index])
      check("others", isOnePiece("!", gpt2), isOther)
      check("digits", isOnePiece(" ", smollm), !digits[index])
      check("smollm others", isOnePiece("!", smollm), isOther && !digits[index])
      check(
        "punctuation", isOnePiece("-", fallback),
        punctuation[index] || "$+<=>^~|".contains(character))
    }
    for (name, points) in wrong {
      Issue.record("\(name): \(points.count) differ: \(points.prefix(20))")
    }
  }

  @Test(
    "hard cuts",
    arguments: [
      ("smollm", "a  1", ["a", "  ", "1"]), ("smollm", "a  b", ["a", " ", " b"]),
      ("smollm", "\n\n2", ["\n\n", "2"]), ("smollm", " 12", [" ", "1", "2"]),
      ("smollm", "1's't", ["1", "'s", "'t"]), ("gpt-2", "a  1", ["a", " ", " 1"]),
      ("gpt-2", "IT'S it's", ["IT", "'", "S", " it", "'s"]),
      ("llama-bpe", "IT'S 12345", ["IT", "'S", " ", "123", "45"]),
      ("qwen2", "it'ſ 12", ["it", "'ſ", " ", "1", "2"]),
      ("default", "a-b 12345", ["a", "-", "b", " ", "123", "45"]),
    ])
  func cuts(_ name: String, _ text: String, _ pieces: [String]) throws {
    #expect(try PreTokenizer(named: name).pieces(of: text) == pieces)
  }
}
