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

    let points = (UInt32(0)..<0x110000).compactMap(Unicode.Scalar.init)
    func check(_ name: String, _ rule: String, after before: String, _ isMember: (Int) -> Bool)
      throws
    {
      let joined = try Self.joined(points, after: before, PreTokenizer(named: rule))
      let wrong = zip(points, joined).filter { point, joined in
        joined != isMember(Int(point.value)) && !ignored[Int(point.value)]
      }
      let examples = wrong.prefix(20).map { String($0.0.value, radix: 16) }
      #expect(wrong.isEmpty, "\(name): \(wrong.count) code points differ: \(examples)")
    }
    func isOther(_ point: Int) -> Bool { !letters[point] && !numbers[point] && !spaces[point] }
    try check("letters", "gpt-2", after: "a") { letters[$0] }
    try check("numbers", "gpt-2", after: "1") { numbers[$0] }
    try check("spaces", "gpt-2", after: "\t") { spaces[$0] }
    try check("others", "gpt-2", after: "!") { isOther($0) }
    try check("digits", "smollm", after: " ") { !digits[$0] }
    try check("smollm's others", "smollm", after: "!") { isOther($0) && !digits[$0] }
    let symbols = Set("$+<=>^~|".unicodeScalars.map { Int($0.value) })
    try check("punctuation", "default", after: "-") { punctuation[$0] || symbols.contains($0) }
  }

  /// For every character, whether the rule leaves it in one piece with the text before it; all of
  /// them are asked in one text, where `before` stands before each.
  static func joined(
    _ points: [Unicode.Scalar], after before: String, _ rule: PreTokenizer
  ) -> [Bool] {
    var text = ""
    for point in points {
      text += before
      text.unicodeScalars.append(point)
    }
    var isStart = [Bool](repeating: false, count: text.utf8.count + 1)
    var offset = 0
    for piece in rule.pieces(of: text) {
      isStart[offset] = true
      offset += piece.utf8.count
    }
    offset = 0
    return points.map { point in
      offset += before.utf8.count
      defer { offset += UTF8.width(point) }
      return !isStart[offset]
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
