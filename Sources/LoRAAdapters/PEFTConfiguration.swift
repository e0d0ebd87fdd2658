// The 42 keys of PEFT's adapter_config.json, and what this version makes of each.

import LoRAJSON

/// Where each key of PEFT 0.21.2's `LoraConfig` stands.
///
/// Source: `LoraConfig` of https://github.com/huggingface/peft, version 0.21.2.
enum PEFTConfiguration {
  /// The version whose format is read and written.
  static let version = "0.21.2"

  /// Keys whose value becomes part of a `LoRAConfiguration`, with PEFT's default.
  static let read: [(key: String, value: JSONValue)] = [
    ("base_model_name_or_path", .null), ("init_lora_weights", true), ("lora_alpha", 8),
    ("lora_dropout", 0.0), ("peft_type", "LORA"), ("r", 8), ("target_modules", .null),
    ("task_type", .null), ("use_rslora", false),
  ]

  /// Keys that say nothing about what the adapter computes; the value may be of these kinds.
  static let informative: [(key: String, value: JSONValue, kinds: [String])] = [
    ("auto_mapping", .null, ["null", "an object"]),
    ("inference_mode", true, ["a boolean"]),
    ("megatron_core", "megatron.core", ["null", "a string"]),
    ("peft_version", .string(version), ["null", "a string"]),
    ("qalora_group_size", 16, ["null", "a number"]),
    ("revision", .null, ["null", "a string"]),
  ]

  /// Keys of what this version does not compute: only the value that switches it off is read.
  static let neutral: [(key: String, value: JSONValue, feature: String)] = [
    ("alora_invocation_tokens", .null, "activated LoRA (aLoRA)"),
    ("alpha_pattern", [:], "an alpha per layer"),
    ("arrow_config", .null, "Arrow routing"),
    ("bias", "none", "training of biases"),
    ("corda_config", .null, "CorDA"),
    ("ensure_weight_tying", false, "tied adapters"),
    ("eva_config", .null, "EVA"),
    ("exclude_modules", .null, "a list of excluded modules"),
    ("fan_in_fan_out", false, "weights stored as (in, out)"),
    ("kasa_config", .null, "KaSA"),
    ("layer_replication", .null, "replicated layers"),
    ("layers_pattern", .null, "a choice of layers by number"),
    ("layers_to_transform", .null, "a choice of layers by number"),
    ("loftq_config", [:], "LoftQ"),
    ("lora_bias", false, "a bias in B"),
    ("lora_ga_config", .null, "LoRA-GA"),
    ("megatron_config", .null, "Megatron"),
    ("modules_to_save", .null, "fully trained modules"),
    ("monteclora_config", .null, "MonteCLoRA"),
    ("rank_pattern", [:], "a rank per layer"),
    ("target_parameters", .null, "adapted bare parameters"),
    ("trainable_token_indices", .null, "trained tokens"),
    ("use_bdlora", .null, "block-diagonal LoRA"),
    ("use_dora", false, "DoRA"),
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
