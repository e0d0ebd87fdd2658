// tokenizer.json written for tokenizers that came from GGUF files.

import Foundation
import LoRAJSON
import LoRAText
import Testing

struct TokenizerWritingTests {
  /// What is written is read as the same tokenizer, by `tokenizers`' own cases.
  @Test(arguments: ["gpt-2", "smollm", "llama-bpe", "qwen2"])
  func readsBack(kind: String) throws {
    let description = try TokenizerFixtures.tinyModel(kind)
    let text = try description.tokenizerJSON().serialized(.indented(2))
    let object = try #require(try JSONValue(parsing: text).objectValue)
    let tokenizer = try Tokenizer(TokenizerDescription(tokenizerJSON: object))
    let original = try Tokenizer(description)
    #expect(tokenizer.vocabularySize == original.vocabularySize)
    #expect(tokenizer.addsBOS == original.addsBOS)
    #expect(tokenizer.addsEOS == original.addsEOS)
    let cases = try TokenizerFixtures.cases("tiny-\(kind).jsonl")
    let differences = TokenizerFixtures.differences(tokenizer, cases)
    #expect(differences.isEmpty, "\(differences.prefix(5).joined(separator: "\n"))")
  }

  @Test(arguments: [(true, false), (false, true), (true, true), (false, false)])
  func ends(addBOS: Bool, addEOS: Bool) throws {
    var description = try TokenizerFixtures.tinyModel("llama-bpe")
    description.addBOS = addBOS
    description.addEOS = addEOS
    let object = try #require(try description.tokenizerJSON().objectValue)
    let tokenizer = try Tokenizer(TokenizerDescription(tokenizerJSON: object))
    let ids = tokenizer.encode("ab", addSpecialTokens: true)
    let plain = tokenizer.encode("ab", addSpecialTokens: false)
    let bos = try addBOS ? [#require(description.bosTokenID)] : []
    let eos = try addEOS ? [#require(description.eosTokenID)] : []
    #expect(ids == bos + plain + eos)
  }

  @Test func names() throws {
    func preTokenizer(_ name: String) throws -> JSONValue? {
      try TokenizerFixtures.tinyModel(name).tokenizerJSON().objectValue?["pre_tokenizer"]
    }
    for (alias, name) in [
      ("starcoder", "smollm"), ("refact", "smollm"), ("command-r", "smollm"),
      ("llama3", "llama-bpe"), ("llama-v3", "llama-bpe"),
    ] {
      #expect(try preTokenizer(alias) == preTokenizer(name))
    }
    #expect {
      _ = try preTokenizer("default")
    } throws: {
      "\($0)" == "the pre-tokenizer \"default\" cannot be written as tokenizer.json\n"
        + "hint: take tokenizer.json from the model that the file was made from"
    }
  }

  @Test func configuration() throws {
    let description = try TokenizerFixtures.tinyModel("smollm")
    let value = description.tokenizerConfiguration(chatTemplate: "{{ x }}", contextLength: 64)
    let object = try #require(value.objectValue)
    let bos = try #require(description.bosTokenID)
    #expect(object["bos_token"] == .string(description.tokens[Int(bos)]))
    #expect(object["pad_token"] == nil)
    #expect(object["chat_template"] == "{{ x }}")
    #expect(object["model_max_length"] == 64)
    #expect(object["tokenizer_class"] == "PreTrainedTokenizerFast")
  }
}
