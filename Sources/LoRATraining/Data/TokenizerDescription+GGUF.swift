// What a GGUF file says about its tokenizer.

package import LoRAFormats
package import LoRAText

extension TokenizerDescription {
  /// The `tokenizer.ggml.*` keys of a file.
  ///
  /// - Throws: `ModelFileError` naming the key that is missing or of another kind.
  package init(gguf: GGUFFile) throws {
    let prefix = "tokenizer.ggml."
    func id(_ key: String) throws -> Int32? {
      try gguf.integer(prefix + key + "_token_id").flatMap { Int32(exactly: $0) }
    }
    let tokens = try gguf.required(prefix + "tokens", gguf.strings)
    self.init(
      model: try gguf.required(prefix + "model", gguf.string),
      preTokenizer: try gguf.required(prefix + "pre", gguf.string), tokens: tokens,
      tokenTypes: try gguf.int32s(prefix + "token_type")
        ?? [Int32](repeating: 1, count: tokens.count),
      merges: try gguf.required(prefix + "merges", gguf.strings), bosTokenID: try id("bos"),
      eosTokenID: try id("eos"), eotTokenID: try id("eot"), eomTokenID: try id("eom"),
      unknownTokenID: try id("unknown"), paddingTokenID: try id("padding"),
      addBOS: try gguf.bool(prefix + "add_bos_token"),
      addEOS: try gguf.bool(prefix + "add_eos_token"))
  }
}
