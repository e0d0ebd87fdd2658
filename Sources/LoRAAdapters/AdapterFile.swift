// The names inside an adapter's folder and of the tensors in its file.

import LoRAFormats

/// How PEFT lays an adapter out: two files, and one tensor per factor.
///
/// `base_model.model.` + a module's path + what the tensor is of it: see `Factor`; trained parameters
/// of the model keep their own names.
enum AdapterFile {
  static let configurationName = "adapter_config.json"
  static let tensorsName = "adapter_model.safetensors"
  static let pickleName = "adapter_model.bin"

  /// The adapter whose files lie in the folder itself; those of others lie in one of their name.
  static let defaultName = "default"

  static let prefix = "base_model.model."

  /// A part of a low-rank path.
  enum Factor: CaseIterable, Hashable {
    /// A, (r, in); of an embedding (r, vocabulary).
    case a
    /// B, (out, r); of an embedding (width, r).
    case b
    /// The bias of B, (out).
    case bias
    /// DoRA's lengths of the rows, (out).
    case magnitude

    /// The end of the tensor's name, in two parts between which an adapter's name may stand.
    func ending(ofEmbedding isEmbedding: Bool) -> (name: String, suffix: String) {
      switch self {
      case .a: isEmbedding ? ("lora_embedding_A", "") : ("lora_A", ".weight")
      case .b: isEmbedding ? ("lora_embedding_B", "") : ("lora_B", ".weight")
      case .bias: ("lora_B", ".bias")
      case .magnitude: ("lora_magnitude_vector", "")
      }
    }
  }

  static func tensorName(
    _ path: String, _ factor: Factor, ofEmbedding isEmbedding: Bool = false
  ) -> String {
    let ending = factor.ending(ofEmbedding: isEmbedding)
    return "\(prefix)\(path).\(ending.name)\(ending.suffix)"
  }

  /// The tensor of a trained parameter of the model, by the parameter's path.
  static func tensorName(ofParameter path: String) -> String { prefix + path }

  /// The tensor of an embedding's trained rows.
  static func tensorName(ofTokens path: String) -> String {
    "\(prefix)\(path).token_adapter.trainable_tokens_delta"
  }

  /// The module and factor that a tensor's name states; nil where it states none.
  ///
  /// The adapter's name `default`, which PEFT has in memory, may stand in the file too.
  static func parse(_ name: String) -> (path: String, factor: Factor)? {
    guard name.hasPrefix(prefix) else { return nil }
    for factor in Factor.allCases {
      for isEmbedding in [false, true] {
        let ending = factor.ending(ofEmbedding: isEmbedding)
        // In PEFT's memory the lengths are the weight of a module.
        let suffixes = factor == .magnitude ? ["", ".weight"] : [ending.suffix]
        for infix in ["", ".default"] {
          for suffix in suffixes {
            let end = ".\(ending.name)\(infix)\(suffix)"
            guard name.hasSuffix(end), name.count > prefix.count + end.count else { continue }
            return (String(name.dropFirst(prefix.count).dropLast(end.count)), factor)
          }
        }
      }
    }
    return nil
  }

  /// Why a tensor that `parse` does not know is refused.
  static func refusal(of name: String) -> String {
    guard name.hasPrefix(prefix) else { return "does not begin with \"\(prefix)\"" }
    let reasons = [
      (".base_layer.", "is a copy of a base parameter, which the configuration does not train"),
      ("token_adapter", "holds trained tokens, but trainable_token_indices names none there"),
      (".lora_A.", "has an adapter's name other than \"default\" in it"),
      (".lora_B.", "has an adapter's name other than \"default\" in it"),
    ]
    return reasons.first { name.contains($0.0) }?.1
      ?? "is no factor of a low-rank pair (….lora_A.weight or ….lora_B.weight), and no parameter "
      + "that modules_to_save or bias names"
  }
}
