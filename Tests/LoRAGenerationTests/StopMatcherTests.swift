// Stop strings: the same text however its bytes come, and nothing held back that could not stop it.

import LoRAGeneration
import Testing

struct StopMatcherTests {
  /// The text before the stop string that ends first, the longest of those that end there.
  private func expected(_ text: String, _ stops: [String]) -> (text: [UInt8], isStopped: Bool) {
    let bytes = Array(text.utf8)
    for end in bytes.indices {
      let lengths = stops.map(\.utf8.count).filter { length in
        length <= end + 1
          && stops.contains { Array($0.utf8) == Array(bytes[(end + 1 - length)...end]) }
      }
      if let length = lengths.max() { return (Array(bytes[..<(end + 1 - length)]), true) }
    }
    return (bytes, false)
  }

  private func run(_ pieces: [[UInt8]], _ stops: [String]) -> (text: [UInt8], isStopped: Bool) {
    var matcher = StopMatcher(stops)
    var text: [UInt8] = []
    for piece in pieces where !matcher.isStopped { text += matcher.append(piece) }
    return (text + matcher.finish(), matcher.isStopped)
  }

  @Test(arguments: [
    ("one\n\ntwo", ["\n\n"]), ("abababac", ["ababac"]), ("aaab", ["aab"]), ("abcab", ["xyz"]),
    ("größer als €5", ["€", "ß"]), ("größer", ["\u{F6}ß"]), ("👩‍👩‍👧 family", ["👩‍👧"]),
    ("the end.", ["end", "the end", "d"]), ("abcd", ["bc", "abcde", "d"]), ("", ["a"]),
    ("aaaa", ["a"]), ("xaby", ["ab", "xab"]), ("text", []), ("text", ["", "x"]),
  ])
  func theSameHoweverItComes(text: String, stops: [String]) {
    let bytes = Array(text.utf8)
    let expected = expected(text, stops.filter { !$0.isEmpty })
    // In one piece, byte by byte, and in two and three pieces cut anywhere, within characters too.
    var cuts: [[Int]] = [[], Array(0...bytes.count)]
    for a in 0...bytes.count { for b in a...bytes.count { cuts.append([a, b]) } }
    for cut in cuts {
      let ends = [0] + cut + [bytes.count]
      let pieces = zip(ends, ends.dropFirst()).map { Array(bytes[$0..<$1]) }
      let result = run(pieces, stops)
      #expect(result.text == expected.text && result.isStopped == expected.isStopped, "\(cut)")
    }
  }

  /// Only what a stop string may begin with waits.
  @Test func bytesComeAsSoonAsTheyAreCertain() {
    var matcher = StopMatcher(["<end>", "\n"])
    #expect(matcher.append(Array("a<".utf8)) == Array("a".utf8))
    #expect(matcher.append(Array("en".utf8)).isEmpty)
    #expect(matcher.append(Array("e<e".utf8)) == Array("<ene".utf8))
    #expect(matcher.append(Array("nd>rest".utf8)).isEmpty)
    #expect(matcher.isStopped && matcher.finish().isEmpty)
    #expect(matcher.append(Array("more".utf8)).isEmpty)
    var open = StopMatcher(["<end>"])
    #expect(open.append(Array("b<e".utf8)) == Array("b".utf8))
    #expect(open.finish() == Array("<e".utf8) && !open.isStopped)
  }
}
