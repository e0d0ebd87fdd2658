// The tokenizer's keys of a GGUF file, read as little as the tests need: LoRAText cannot read GGUF.

import Foundation
import LoRAText

/// The demo model that the tests use when it is there.
enum TokenizerModelFile {
  /// Where the model is expected.
  static let url = URL(
    filePath: ProcessInfo.processInfo.environment["LORA_DEMO_MODEL"]
      ?? NSHomeDirectory() + "/.cache/swift-lora/SmolLM2-135M-Instruct.Q4_1.gguf")

  /// Whether the model is there; the tests that need it are skipped with a reason if not.
  static var exists: Bool { FileManager.default.fileExists(atPath: url.path) }

  /// The description of the tokenizer in a GGUF file.
  static func description(_ file: URL) throws -> TokenizerDescription {
    var reader = Reader(data: try Data(contentsOf: file, options: .mappedIfSafe))
    let values = try reader.values(prefix: "tokenizer.ggml.")
    func id(_ key: String) -> Int32? { (values[key] as? UInt64).map { Int32($0) } }
    guard let model = values["model"] as? String, let pre = values["pre"] as? String,
      let tokens = values["tokens"] as? [Any], let types = values["token_type"] as? [Any],
      let merges = values["merges"] as? [Any]
    else { throw Problem.missingKey }
    return TokenizerDescription(
      model: model, preTokenizer: pre, tokens: tokens.compactMap { $0 as? String },
      tokenTypes: types.compactMap { ($0 as? UInt64).map { Int32(truncatingIfNeeded: $0) } },
      merges: merges.compactMap { $0 as? String }, bosTokenID: id("bos_token_id"),
      eosTokenID: id("eos_token_id"), unknownTokenID: id("unknown_token_id"),
      paddingTokenID: id("padding_token_id"), addBOS: values["add_bos_token"] as? Bool,
      addEOS: values["add_eos_token"] as? Bool)
  }

  private enum Problem: Error {
    case notGGUF
    case truncated
    case unknownType(UInt64)
    case missingKey
  }

  private struct Reader {
    let data: Data
    var position = 0

    mutating func integer(_ size: Int) throws -> UInt64 {
      try bytes(UInt64(size)).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    mutating func bytes(_ count: UInt64) throws -> Data {
      guard count <= UInt64(data.count - position) else { throw Problem.truncated }
      defer { position += Int(count) }
      return data[position..<position + Int(count)]
    }

    mutating func string() throws -> String {
      String(decoding: try bytes(integer(8)), as: UTF8.self)
    }

    /// All values whose keys begin with a prefix, by the rest of the key.
    mutating func values(prefix: String) throws -> [String: Any] {
      guard try bytes(4) == Data("GGUF".utf8), try integer(4) == 3 else { throw Problem.notGGUF }
      _ = try integer(8)
      var values: [String: Any] = [:]
      for _ in 0..<(try integer(8)) {
        let key = try string()
        let value = try value(ofType: integer(4))
        if key.hasPrefix(prefix) { values[String(key.dropFirst(prefix.count))] = value }
      }
      return values
    }

    mutating func value(ofType type: UInt64) throws -> Any {
      switch type {
      case 0, 1: return try integer(1)
      case 2, 3: return try integer(2)
      case 4, 5, 6: return try integer(4)
      case 7: return try integer(1) != 0
      case 8: return try string()
      case 9:
        let element = try integer(4)
        return try (0..<(try integer(8))).map { _ in try value(ofType: element) }
      case 10, 11, 12: return try integer(8)
      default: throw Problem.unknownType(type)
      }
    }
  }
}
