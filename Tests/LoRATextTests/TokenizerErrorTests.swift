// Descriptions that contradict themselves: each is an error that says where, never a trap.

import LoRAText
import Testing

@Suite struct TokenizerErrorTests {
  /// A vocabulary of five tokens that is right.
  static let good = TokenizerDescription(
    model: "gpt2", preTokenizer: "gpt-2", tokens: ["a", "b", "ab", "Ġ", "<|x|>"],
    tokenTypes: [1, 1, 1, 1, 3], merges: ["a b"], bosTokenID: 4, eosTokenID: 4)

  struct Row: Sendable, CustomTestStringConvertible {
    var name: String
    var message: String
    var change: @Sendable (inout TokenizerDescription) -> Void
    var testDescription: String { name }
  }

  static let rows: [Row] = [
    Row(name: "kind", message: "\"llama\" is not supported") { $0.model = "llama" },
    Row(name: "pre-tokenizer", message: "\"gpt-5\" is not known; known: command-r, default, gpt-2")
    {
      $0.preTokenizer = "gpt-5"
    },
    Row(name: "empty pre-tokenizer", message: "\"\" is not known") { $0.preTokenizer = "" },
    Row(name: "no tokens", message: "tokens: 0 tokens") {
      $0.tokens = []
      $0.tokenTypes = []
    },
    Row(name: "fewer types", message: "4 types for 5 tokens") { $0.tokenTypes.removeLast() },
    Row(name: "more types", message: "6 types for 5 tokens") { $0.tokenTypes.append(1) },
    Row(name: "type 0", message: "token_type[1]: type 0 of \"b\"") { $0.tokenTypes[1] = 0 },
    Row(name: "byte type", message: "token_type[1]: type 6 of \"b\"") { $0.tokenTypes[1] = 6 },
    Row(name: "negative type", message: "type -1") { $0.tokenTypes[4] = .min + .max },
    Row(name: "twice", message: "tokens[4]: the token \"a\" occurs twice") { $0.tokens[4] = "a" },
    Row(name: "empty token", message: "tokens[3]: an empty token") { $0.tokens[3] = "" },
    Row(name: "empty special token", message: "tokens[4]: an empty token") { $0.tokens[4] = "" },
    Row(name: "blank in a token", message: "tokens[3]: \" x\" has characters outside") {
      $0.tokens[3] = " x"
    },
    Row(name: "character of no byte", message: "tokens[3]: \"漢\" has characters outside") {
      $0.tokens[3] = "漢"
    },
    Row(name: "after the alphabet", message: "tokens[3]: \"\u{144}\" has") {
      $0.tokens[3] = "\u{144}"
    },
    Row(name: "not in the alphabet", message: "tokens[3]: \"\u{A0}\" has") {
      $0.tokens[3] = "\u{A0}"
    },
    Row(name: "giant special token", message: "a special token of 2000 bytes") {
      $0.tokens[4] = String(repeating: "x", count: 2000)
    },
    Row(name: "merge of unknown left", message: "merges[0]: \"c b\" is not two") {
      $0.merges[0] = "c b"
    },
    Row(name: "merge of unknown right", message: "merges[1]: \"a c\" is not two") {
      $0.merges.append("a c")
    },
    Row(name: "merge of unknown result", message: "merges[0]: \"b a\" is not two") {
      $0.merges[0] = "b a"
    },
    Row(name: "merge without blank", message: "merges[0]: \"ab\" is not two") {
      $0.merges[0] = "ab"
    },
    Row(name: "merge with two blanks", message: "merges[0]: \"a  b\" is not two") {
      $0.merges[0] = "a  b"
    },
    Row(name: "merge of nothing", message: "merges[0]: \"\" is not two") { $0.merges[0] = "" },
    Row(name: "merge of a blank", message: "merges[0]: \" \" is not two") { $0.merges[0] = " " },
    Row(name: "half a merge", message: "merges[0]: \"a \" is not two") { $0.merges[0] = "a " },
    Row(name: "merge twice", message: "merges[1]: \"a b\" occurs twice") {
      $0.merges.append("a b")
    },
    Row(name: "no merges", message: "merges: no merges, but tokens of several bytes") {
      $0.merges = []
    },
    Row(name: "bos past the end", message: "bos_token_id: 5 is not one of the 5") {
      $0.bosTokenID = 5
    },
    Row(name: "eos negative", message: "eos_token_id: -1 is not") { $0.eosTokenID = -1 },
    Row(name: "eot", message: "eot_token_id: 99 is not") { $0.eotTokenID = 99 },
    Row(name: "eom", message: "eom_token_id: 99 is not") { $0.eomTokenID = 99 },
    Row(name: "unknown", message: "unknown_token_id: 99 is not") { $0.unknownTokenID = 99 },
    Row(name: "padding", message: "padding_token_id: 2147483647") { $0.paddingTokenID = .max },
    Row(name: "BOS wanted", message: "add_bos_token is true, but there is no") {
      $0.addBOS = true
      $0.bosTokenID = nil
    },
    Row(name: "EOS wanted", message: "add_eos_token is true, but there is no") {
      $0.addEOS = true
      $0.eosTokenID = nil
    },
  ]

  @Test("a wrong description is an error that says where", arguments: rows)
  func wrongDescription(_ row: Row) throws {
    var description = Self.good
    row.change(&description)
    let error = #expect(throws: TokenizerError.self) { try Tokenizer(description) }
    let message = try #require(error?.message)
    #expect(message.contains(row.message), "\(message)")
    #expect(error?.hint.isEmpty == false)
  }

  @Test("the right description works, and bytes that its vocabulary lacks leave no trace")
  func rightDescription() throws {
    let tokenizer = try Tokenizer(Self.good)
    #expect(tokenizer.encode("ab b<|x|>zb", addSpecialTokens: false) == [2, 3, 1, 4, 1])
    #expect(tokenizer.encode("azb", addSpecialTokens: false) == [2])
    #expect(tokenizer.unencodableCharacters(in: "azbé\u{7}z") == ["z", "é", "\u{7}"])
    #expect(tokenizer.unencodableCharacters(in: "ab b") == [])
  }
}
