// The 42 keys of PEFT's adapter_config.json, and what this version makes of each.

import LoRAJSON

/// Where each key of PEFT 0.21.2's `LoraConfig` stands.
///
/// Source: `LoraConfig` of https://github.com/huggingface/peft, version 0.21.2.
package enum PEFTConfiguration {
  /// The version whose format is read and written.
  static let version = "0.21.2"

  /// Keys whose value becomes part of a `LoRAConfiguration`, with PEFT's default.
  static let read: [(key: String, value: JSONValue)] = [
    ("alpha_pattern", [:]), ("base_model_name_or_path", .null), ("bias", "none"),
    ("ensure_weight_tying", false), ("exclude_modules", .null), ("init_lora_weights", true),
    ("layers_pattern", .null),
    ("layers_to_transform", .null), ("lora_alpha", 8), ("lora_bias", false),
    ("lora_dropout", 0.0), ("modules_to_save", .null), ("peft_type", "LORA"), ("r", 8),
    ("rank_pattern", [:]), ("target_modules", .null), ("task_type", .null),
    ("trainable_token_indices", .null), ("use_dora", false), ("use_rslora", false),
  ]

  /// Keys that say nothing about what the adapter computes; the value may be of these kinds.
  static let informative: [(key: String, value: JSONValue, kinds: [String])] = [
    ("auto_mapping", .null, ["null", "an object"]),
    // How the base stores its weights; the factors are the same in both cases.
    ("fan_in_fan_out", false, ["a boolean"]),
    ("inference_mode", true, ["a boolean"]),
    ("megatron_core", "megatron.core", ["null", "a string"]),
    ("peft_version", .string(version), ["null", "a string"]),
    ("qalora_group_size", 16, ["null", "a number"]),
    ("revision", .null, ["null", "a string"]),
  ]

  /// Keys of what this version does not compute: only the value that switches it off is read.
  static let neutral: [(key: String, value: JSONValue, feature: String)] = [
    ("alora_invocation_tokens", .null, "activated LoRA (aLoRA)"),
    ("arrow_config", .null, "Arrow routing"),
    ("corda_config", .null, "CorDA"),
    ("eva_config", .null, "EVA"),
    ("kasa_config", .null, "KaSA"),
    ("layer_replication", .null, "replication of layers"),
    ("loftq_config", [:], "LoftQ"),
    ("lora_ga_config", .null, "LoRA-GA"),
    ("megatron_config", .null, "Megatron"),
    ("monteclora_config", .null, "MonteCLoRA"),
    ("target_parameters", .null, "adaptation of bare parameters"),
    ("use_bdlora", .null, "block-diagonal LoRA"),
    ("use_qalora", false, "QALoRA"),
    ("velora_config", .null, "VeLoRA"),
  ]

  /// The one key that PEFT has and never writes.
  static let unwritten: (key: String, value: JSONValue, feature: String) = (
    "runtime_config", .null, "a configuration of the run"
  )

  /// Every key.
  static let allKeys: [String] =
    read.map(\.key) + informative.map(\.key) + neutral.map(\.key) + [unwritten.key]

  /// Initialisations that leave the base weights alone: the factors in the file are all there is.
  static let plainInitializations: [JSONValue] = [true, false, "gaussian", "orthogonal"]

  /// Initialisations that move a part of the base weights into the factors.
  static let movingInitializations = ["pissa", "olora", "corda", "loftq", "lora_ga"]
}
