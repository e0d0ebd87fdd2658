// The tokenizer of the demo model: equality with Hugging Face on thousands of cases, and speed.

import Foundation
import LoRAText
import Testing

@Suite(
  .serialized,
  .enabled(
    if: TokenizerModelFile.exists,
    "the demo model is neither where LORA_DEMO_MODEL says nor in ~/.cache/swift-lora"))
struct TokenizerModelTests {
  let tokenizer: Tokenizer

  init() throws {
    tokenizer = try Tokenizer(TokenizerModelFile.description(TokenizerModelFile.url))
  }

  @Test(
    "SmolLM2's tokens equal Hugging Face's",
    arguments: ["smollm2-chosen.jsonl", "smollm2-random.jsonl"])
  func equalsHuggingFace(_ name: String) throws {
    let cases = try TokenizerFixtures.cases(name)
    #expect(cases.count > 1_000)
    let differences = TokenizerFixtures.differences(tokenizer, cases)
    #expect(
      differences.isEmpty,
      "\(differences.count) differ: \(differences.prefix(5).joined(separator: "\n"))")
  }

  @Test("what SmolLM2's file says")
  func facts() throws {
    #expect(tokenizer.vocabularySize == 49_152)
    #expect(tokenizer.bosTokenID == 1)
    #expect(tokenizer.eosTokenID == 2)
    #expect(!tokenizer.addsBOS && !tokenizer.addsEOS)
    #expect(tokenizer.endOfGenerationTokenIDs == [0, 2])
    #expect(tokenizer.token(2) == "<|im_end|>")
    #expect(tokenizer.encode("<|im_start|>user", addSpecialTokens: true) == [1, 4093])
    #expect(tokenizer.unencodableCharacters(in: "a\u{4}b\u{40000}").count == 2)
  }

  /// A set of any size that `tokenizer.py --cases N --output FILE` wrote, for runs by hand.
  @Test(
    "a large set equals Hugging Face's",
    .enabled(
      if: ProcessInfo.processInfo.environment["LORA_TOKENIZER_CASES"] != nil,
      "LORA_TOKENIZER_CASES names no file; Scripts/fixtures/tokenizer.py --cases makes one"))
  func largeSet() throws {
    let path = try #require(ProcessInfo.processInfo.environment["LORA_TOKENIZER_CASES"])
    let cases = try TokenizerFixtures.cases(URL(filePath: path))
    let differences = TokenizerFixtures.differences(tokenizer, cases)
    print("\(cases.count) cases, \(differences.count) differences")
    #expect(differences.isEmpty, "\(differences.prefix(20).joined(separator: "\n"))")
  }

  @Test("at least 2 MB/s on English, JSON and code")
  func speed() throws {
    let description = try TokenizerModelFile.description(TokenizerModelFile.url)
    let start = try ContinuousClock().measure { _ = try Tokenizer(description) }
    print("a tokenizer of \(tokenizer.vocabularySize) tokens is ready in \(start)")
    let kinds = try TokenizerSpeedText.make()
    for (name, text) in kinds + [("mixed", kinds.map(\.text).joined(separator: "\n"))] {
      var rates: [Double] = []
      var count = 0
      for _ in 0..<5 {
        let seconds = ContinuousClock().measure {
          count = tokenizer.encode(text, addSpecialTokens: false).count
        }
        rates.append(Double(text.utf8.count) / (seconds / .seconds(1)) / 1e6)
      }
      let median = rates.sorted()[2]
      let perToken = Double(text.utf8.count) / Double(count)
      print(
        "encode \(name): \(String(format: "%.1f", median)) MB/s (median of 5), "
          + "\(text.utf8.count) bytes, \(String(format: "%.2f", perToken)) bytes per token")
      #expect(median >= 2)
    }
  }

  @Test("giant words, blanks and look-alikes take time in proportion to their length")
  func giants() throws {
    var random = TokenizerTestRandom(state: 5)
    let letters = (0..<1_000_000).map { _ in UInt8(97 + random.below(26)) }
    let rows: [(String, String)] = [
      ("letters", String(decoding: letters, as: UTF8.self)),
      ("one letter", String(repeating: "a", count: 1_000_000)),
      ("spaces", String(repeating: " ", count: 1_000_000)),
      ("spaces before a word", String(repeating: " ", count: 1_000_000) + "x"),
      ("signs", String(repeating: "=-", count: 500_000)),
      ("look-alikes", String(repeating: "<|im_end|", count: 110_000)),
      ("digits", String(repeating: "7", count: 1_000_000)),
      ("Han", String(repeating: "漢", count: 300_000)),
    ]
    for (name, text) in rows {
      var tokens: [Int32] = []
      let time = ContinuousClock().measure {
        tokens = tokenizer.encode(text, addSpecialTokens: false)
      }
      print("1 MB of \(name): \(time), \(tokens.count) tokens")
      #expect(Array(tokenizer.decode(tokens).utf8) == Array(text.utf8))
      #expect(time < .seconds(5))
    }
  }
}

/// Texts to measure with, made of what the package has: about 2 MB of each kind.
enum TokenizerSpeedText {
  static func make() throws -> [(name: String, text: String)] {
    let sources = TokenizerFixtures.folder.appending(path: "../../Sources").standardizedFileURL
    var code = ""
    var prose = ""
    let files = FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil)
    while let file = files?.nextObject() as? URL {
      guard file.pathExtension == "swift" else { continue }
      let text = try String(contentsOf: file, encoding: .utf8)
      code += text
      for line in text.split(separator: "\n") {
        let line = line.drop { $0 == " " }
        guard line.hasPrefix("//") else { continue }
        prose += line.drop { $0 == "/" || $0 == " " } + " "
      }
    }
    let words = prose.split(separator: " ").filter { !$0.contains("\"") && !$0.contains("\\") }
    var random = TokenizerTestRandom(state: 3)
    var json = ""
    while json.utf8.count < 200_000 {
      func word() -> Substring { words[random.below(words.count)] }
      json += #"{"messages": [{"role": "user", "content": "\#(word()) \#(word()) \#(word())"}, "#
      json += #"{"role": "assistant", "content": "{\"\#(word())\": \#(random.below(10_000))}"}], "#
      json += #""id": \#(random.below(1_000_000)), "ok": true}"# + "\n"
    }
    return [("English", prose), ("JSON", json), ("code", code)].map { name, text in
      (name, String(repeating: text, count: 2_000_000 / text.utf8.count + 1))
    }
  }
}
