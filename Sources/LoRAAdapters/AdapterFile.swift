// The names inside an adapter's folder and of the tensors in its file.

/// How PEFT lays an adapter out: two files, and one tensor per factor.
///
/// `base_model.model.` + the layer's path + `.lora_A.weight` (r, in) or `.lora_B.weight` (out, r).
enum AdapterFile {
  static let configurationName = "adapter_config.json"
  static let tensorsName = "adapter_model.safetensors"
  static let pickleName = "adapter_model.bin"

  private static let prefix = "base_model.model."

  enum Factor: String, CaseIterable {
    case a = "lora_A"
    case b = "lora_B"
  }

  static func tensorName(_ path: String, _ factor: Factor) -> String {
    "\(prefix)\(path).\(factor.rawValue).weight"
  }

  /// The layer and factor that a tensor's name states; nil where it states none.
  ///
  /// The adapter's name `default`, which PEFT has in memory, may stand in the file too.
  static func parse(_ name: String) -> (path: String, factor: Factor)? {
    guard name.hasPrefix(prefix) else { return nil }
    for factor in Factor.allCases {
      for infix in ["", ".default"] {
        let ending = ".\(factor.rawValue)\(infix).weight"
        guard name.hasSuffix(ending), name.count > prefix.count + ending.count else { continue }
        return (String(name.dropFirst(prefix.count).dropLast(ending.count)), factor)
      }
    }
    return nil
  }

  /// Why a tensor that `parse` does not know is refused.
  static func refusal(of name: String) -> String {
    guard name.hasPrefix(prefix) else { return "does not begin with \"\(prefix)\"" }
    let reasons = [
      ("lora_magnitude_vector", "belongs to DoRA, which this version does not compute"),
      ("lora_B.bias", "is a bias of B (lora_bias), which this version does not compute"),
      ("lora_embedding_", "adapts an embedding, which this version does not"),
      (".base_layer.", "is a copy of a base weight, which an adapter must not bring along"),
      ("token_adapter", "holds trained tokens, which this version does not support"),
      (".lora_A.", "has an adapter's name other than \"default\" in it"),
      (".lora_B.", "has an adapter's name other than \"default\" in it"),
    ]
    return reasons.first { name.contains($0.0) }?.1
      ?? "is no factor of a low-rank pair (….lora_A.weight or ….lora_B.weight)"
  }
}
