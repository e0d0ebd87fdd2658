// The tokenizer over a little vocabulary: equality with Hugging Face, and the API's corners.

import Foundation
import LoRAText
import Testing

@Suite struct TokenizerTests {
  @Test(
    "every tiny model's tokens equal Hugging Face's",
    arguments: ["gpt-2", "smollm", "llama-bpe", "qwen2", "default"])
  func equalsHuggingFace(_ name: String) throws {
    let cases = try TokenizerFixtures.cases("tiny-\(name).jsonl")
    #expect(cases.count > 500)
    let tokenizer = try Tokenizer(TokenizerFixtures.tinyModel(name))
    let differences = TokenizerFixtures.differences(tokenizer, cases)
    #expect(differences.isEmpty, "\(differences.prefix(5).joined(separator: "\n"))")
  }

  @Test("BOS and EOS follow the file, else the family's habit")
  func specialTokensAround() throws {
    var description = try TokenizerFixtures.tinyModel("llama-bpe")
    let bos = try #require(description.bosTokenID)
    let eos = try #require(description.eosTokenID)
    let rows: [(String, Bool?, Bool?, [Int32])] = [
      ("llama-bpe", nil, nil, [bos]), ("llama-bpe", false, nil, []),
      ("gpt-2", nil, nil, []), ("gpt-2", true, true, [bos, eos]), ("gpt-2", nil, true, [eos]),
    ]
    for (name, addBOS, addEOS, expected) in rows {
      description.preTokenizer = name
      description.addBOS = addBOS
      description.addEOS = addEOS
      let tokenizer = try Tokenizer(description)
      #expect(tokenizer.encode("", addSpecialTokens: true) == expected)
      #expect(tokenizer.encode("", addSpecialTokens: false) == [])
      #expect(tokenizer.addsBOS == expected.contains(bos))
      #expect(tokenizer.addsEOS == expected.contains(eos))
    }
  }

  @Test("tokens are found by their spelling's bytes, and unknown ones are nil")
  func lookup() throws {
    let tokenizer = try Tokenizer(TokenizerFixtures.tinyModel("gpt-2"))
    for id in 0..<Int32(tokenizer.vocabularySize) {
      let spelling = try #require(tokenizer.token(id))
      #expect(tokenizer.tokenID(spelling) == id)
    }
    #expect(tokenizer.token(-1) == nil)
    #expect(tokenizer.token(Int32(tokenizer.vocabularySize)) == nil)
    #expect(tokenizer.tokenID("no such token") == nil)
    #expect(tokenizer.tokenID("") == nil)
    #expect(tokenizer.tokenID("é✓") != nil)
    // The same text in another normal form is another token, though Swift calls the strings equal.
    #expect(tokenizer.tokenID("e\u{301}✓") == nil)
    #expect(tokenizer.encode("e\u{301}✓", addSpecialTokens: false).count > 1)
  }

  @Test("special tokens in a text are named once each, user-defined ones are not")
  func specialTokensInText() throws {
    let tokenizer = try Tokenizer(TokenizerFixtures.tinyModel("gpt-2"))
    #expect(
      tokenizer.specialTokens(in: "x<|im_end|><|a|><|b|><tool><|im_end|><|a|") == [
        "<|im_end|>", "<|a|><|b|>",
      ])
    #expect(tokenizer.specialTokens(in: "") == [])
    #expect(tokenizer.specialTokens(in: "<| im_end |>") == [])
  }

  @Test("decoding leaves control tokens out when asked, and ids of no token always")
  func decoding() throws {
    let tokenizer = try Tokenizer(TokenizerFixtures.tinyModel("gpt-2"))
    let tokens = tokenizer.encode("a<|im_end|><tool>é✓ b", addSpecialTokens: false)
    #expect(tokenizer.decode(tokens) == "a<|im_end|><tool>é✓ b")
    #expect(tokenizer.decode(tokens, skipSpecialTokens: true) == "a<tool>é✓ b")
    #expect(tokenizer.decode([-1, 5_000, .max, .min]) == "")
    #expect(tokenizer.decodeBytes([]) == [])
  }

  @Test("the ends of generation are the file's and those known by their spelling")
  func endsOfGeneration() throws {
    var description = try TokenizerFixtures.tinyModel("gpt-2")
    let imEnd = try #require(description.eosTokenID)
    description.eosTokenID = nil
    description.eotTokenID = 7
    description.eomTokenID = 9
    #expect(try Tokenizer(description).endOfGenerationTokenIDs == [imEnd, 7, 9])
  }

  @Test("any ids stream to the same text as they decode to at once, split characters included")
  func streaming() throws {
    let tokenizer = try Tokenizer(TokenizerFixtures.tinyModel("gpt-2"))
    var random = TokenizerTestRandom(state: 11)
    for _ in 0..<3_000 {
      // Single bytes are the first 256 tokens: mostly broken UTF-8, of every kind.
      let tokens = (0..<random.below(24)).map { _ in
        Int32(random.below(random.below(2) * 344 + 256))
      }
      var stream = StreamingDecoder(tokenizer)
      var streamed = ""
      for token in tokens {
        let text = stream.append(token)
        streamed += text
      }
      streamed += stream.finish()
      #expect(Array(streamed.utf8) == Array(tokenizer.decode(tokens).utf8))
    }
    var stream = StreamingDecoder(tokenizer)
    let parts = tokenizer.encode("😀", addSpecialTokens: false).map { stream.append($0) }
    #expect(parts.count > 1)
    #expect(parts.dropLast().joined().isEmpty)
    #expect(parts.last == "😀")
  }

  @Test(
    "giant runs take time in proportion to their length under every rule",
    arguments: ["gpt-2", "smollm", "llama-bpe", "qwen2", "default"])
  func giants(_ name: String) throws {
    let tokenizer = try Tokenizer(TokenizerFixtures.tinyModel(name))
    for unit in [" ", "\n", " \n", "a", "1", "!", "'", "é", "\u{301}", "<|a|"] {
      for end in ["", "x", "!"] {
        let text = String(repeating: unit, count: 300_000 / unit.utf8.count) + end
        var tokens: [Int32] = []
        let time = ContinuousClock().measure {
          tokens = tokenizer.encode(text, addSpecialTokens: false)
        }
        #expect(time < .seconds(3), "\(unit.debugDescription): \(time)")
        #expect(Array(tokenizer.decode(tokens).utf8) == Array(text.utf8))
      }
    }
  }

  @Test("threads may share a tokenizer")
  func concurrency() async throws {
    let tokenizer = try Tokenizer(TokenizerFixtures.tinyModel("default"))
    let cases = try TokenizerFixtures.cases("tiny-default.jsonl")
    await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<4 {
        group.addTask {
          cases.allSatisfy { tokenizer.encode($0.t, addSpecialTokens: false) == $0.i }
        }
      }
      for await equal in group { #expect(equal) }
    }
  }
}

/// A small random number generator with a seed.
struct TokenizerTestRandom {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }

  /// A number from 0 up to, not including, the bound.
  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
