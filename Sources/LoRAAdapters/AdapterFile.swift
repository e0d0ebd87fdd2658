// The names inside an adapter's folder and of the tensors in its file.

import LoRANN
import LoRATensor

/// How PEFT lays an adapter out: two files, and one tensor per factor.
///
/// `base_model.model.` + the layer's path + `.lora_A.weight` (r, in) or `.lora_B.weight` (out, r); of
/// variants also `.lora_B.bias` (out) and `.lora_magnitude_vector` (out).
enum AdapterFile {
  static let configurationName = "adapter_config.json"
  static let tensorsName = "adapter_model.safetensors"
  static let pickleName = "adapter_model.bin"

  private static let prefix = "base_model.model."

  enum Factor: CaseIterable {
    case a, b, bias, magnitude

    /// The end of a tensor's name, as PEFT writes it; DoRA's has no `.weight`.
    var ending: String { endings[0] }

    /// The ends that are read: the adapter's name `default`, which PEFT has in memory, may stand in
    /// the file too.
    fileprivate var endings: [String] {
      switch self {
      case .a: [".lora_A.weight", ".lora_A.default.weight"]
      case .b: [".lora_B.weight", ".lora_B.default.weight"]
      case .bias: [".lora_B.bias", ".lora_B.default.bias"]
      case .magnitude:
        ["", ".weight", ".default", ".default.weight"].map { ".lora_magnitude_vector" + $0 }
      }
    }

    /// The factors that a pair of this configuration has.
    static func all(of pair: LoRALinearConfiguration) -> [Factor] {
      [.a, .b] + (pair.hasBiasOfB ? [.bias] : []) + (pair.usesDoRA ? [.magnitude] : [])
    }

    /// The shape beside a layer.
    func shape(rank: Int, inFeatures: Int, outFeatures: Int) -> Shape {
      switch self {
      case .a: [rank, inFeatures]
      case .b: [outFeatures, rank]
      case .bias, .magnitude: [outFeatures]
      }
    }
  }

  static func tensorName(_ path: String, _ factor: Factor) -> String {
    prefix + path + factor.ending
  }

  /// The layer and factor that a tensor's name states; nil where it states none.
  static func parse(_ name: String) -> (path: String, factor: Factor)? {
    guard name.hasPrefix(prefix) else { return nil }
    for factor in Factor.allCases {
      for ending in factor.endings where name.hasSuffix(ending) {
        guard name.count > prefix.count + ending.count else { continue }
        return (String(name.dropFirst(prefix.count).dropLast(ending.count)), factor)
      }
    }
    return nil
  }

  /// Why a tensor that `parse` does not know is refused.
  static func refusal(of name: String) -> String {
    guard name.hasPrefix(prefix) else { return "does not begin with \"\(prefix)\"" }
    let reasons = [
      ("lora_embedding_", "adapts an embedding, which this version does not"),
      (".base_layer.", "is a copy of a base weight, which an adapter must not bring along"),
      ("token_adapter", "holds trained tokens, which this version does not support"),
      (".lora_A.", "has an adapter's name other than \"default\" in it"),
      (".lora_B.", "has an adapter's name other than \"default\" in it"),
      ("lora_magnitude_vector.", "has an adapter's name other than \"default\" in it"),
    ]
    return reasons.first { name.contains($0.0) }?.1
      ?? "is no factor of a low-rank pair (….lora_A.weight or ….lora_B.weight)"
  }
}
