// Bad folders: each is refused with the file, the key or tensor, and what to do.

import Foundation
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRATensor
import LoRATestSupport
import Testing

struct FolderErrorTests {
  /// A way to spoil a folder, and what must be said about it; DIR is the folder.
  struct Case: Sendable, CustomTestStringConvertible {
    var fixture = "sharded-bf16"
    let message: String
    let spoil: @Sendable (FolderCopy) throws -> Void

    var testDescription: String { message }

    init(
      _ message: String, fixture: String = "sharded-bf16",
      _ spoil: @escaping @Sendable (FolderCopy) throws -> Void
    ) {
      self.fixture = fixture
      self.message = message
      self.spoil = spoil
    }

    /// A change of one key of config.json.
    static func key(
      _ key: String, _ value: JSONValue?, _ message: String, fixture: String = "sharded-bf16"
    ) -> Case {
      Case("DIR/config.json: " + message, fixture: fixture) { copy in
        try copy.edit("config.json") { $0[key] = value }
      }
    }

    /// A change of the index's weight_map.
    static func map(
      _ tensor: String, _ value: JSONValue?, _ message: String
    ) -> Case {
      Case(message) { copy in
        try copy.edit("model.safetensors.index.json") { index in
          var map = try #require(index["weight_map"]?.objectValue)
          map[tensor] = value
          index["weight_map"] = .object(map)
        }
      }
    }

    /// A change of the tensors of tied-f32's only file.
    static func tensors(
      _ message: String, _ change: @escaping @Sendable (inout [String: Tensor]) throws -> Void
    ) -> Case {
      Case("DIR/model.safetensors: " + message, fixture: "tied-f32") { copy in
        try copy.rewrite("model.safetensors", change)
      }
    }
  }

  private static let shard = "model-00002-of-00003.safetensors"
  private static let q = "model.layers.0.self_attn.q_proj.weight"
  private static let index = "DIR/model.safetensors.index.json: "

  static let configurations: [Case] = [
    Case("DIR: the folder has no config.json") { try $0.remove("config.json") },
    Case("DIR/config.json: line 1, column 1: ") { try $0.folder.write([0x41], to: "config.json") },
    Case("DIR/config.json: this is an array, not an object") {
      try $0.folder.write(Array("[]".utf8), to: "config.json")
    },
    Case("DIR/config.json: the file is empty") { try $0.cut("config.json", to: 0) },
    .key("model_type", nil, "model_type: is missing"),
    .key("model_type", "qwen2", "model_type: \"qwen2\" is not supported"),
    .key("model_type", 3, "model_type: 3 is not supported"),
    .key(
      "architectures", ["LlamaForSequenceClassification"],
      "architectures: [\"LlamaForSequenceClassification\"] is not [\"LlamaForCausalLM\"]"),
    .key("vocab_size", nil, "vocab_size: is missing"),
    .key("vocab_size", 1.5, "vocab_size: 1.5 is not a whole number in 1...16777216"),
    .key("hidden_size", -16, "hidden_size: -16 is not a whole number in 1...1048576"),
    .key(
      "num_hidden_layers", 9_000_000_000,
      "num_hidden_layers: 9000000000 is not a whole number in 1...4096"),
    .key("num_attention_heads", "4", "num_attention_heads: \"4\" is not a whole number"),
    .key("num_key_value_heads", 3, "num_key_value_heads: 3 does not divide the 4 heads"),
    .key("head_dim", 5, "head_dim: a head dimension of 5"),
    .key("rms_norm_eps", 0, "rms_norm_eps: 0.0 is not in (0, 1)"),
    .key("hidden_act", "gelu", "hidden_act: \"gelu\": another activation than SiLU"),
    .key("sliding_window", 4096, "sliding_window: 4096: attention in a sliding window"),
    .key(
      "sliding_window", nil, "sliding_window: is missing, which means a window of 4096",
      fixture: "mistral-f32"),
    .key(
      "num_key_value_heads", nil, "num_key_value_heads: is missing", fixture: "mistral-f32"),
    .key(
      "layer_types", ["sliding_attention", "full_attention"],
      "layer_types: [\"sliding_attention\",\"full_attention\"]: layers of different kinds"),
    .key(
      "quantization_config", ["bits": 4],
      "quantization_config: {\"bits\":4}: a quantised checkpoint"),
    .key("partial_rotary_factor", 0.5, "partial_rotary_factor: 0.5: partial rotation"),
    .key("auto_map", ["AutoModel": "m.M"], "auto_map: "),
    .key("attention_bias", 1, "attention_bias: 1 is not true or false"),
    .key("tie_word_embeddings", "no", "tie_word_embeddings: \"no\" is not true or false"),
    .key("rope_parameters", 7, "rope_parameters: is a number, not an object"),
    .key("rope_parameters", ["rope_theta": 0], "rope_parameters.rope_theta: 0 is not a positive"),
    .key(
      "rope_parameters", ["rope_type": "yarn", "factor": 2],
      "rope_parameters.rope_type: \"yarn\" is not supported"),
    .key(
      "rope_parameters", ["rope_type": "default", "partial_rotary_factor": 0.25],
      "rope_parameters.partial_rotary_factor: 0.25 is not supported"),
    .key(
      "rope_parameters", ["rope_type": "linear"], "rope_parameters.factor: is missing"),
    .key(
      "rope_scaling", ["type": "linear", "factor": 2],
      "rope_scaling: contradicts rope_parameters"),
    .key(
      "rope_theta", 50000,
      "rope_theta: 50000.0 contradicts the 10000.0 of rope_parameters.rope_theta"),
    .key(
      "rope_parameters", ["rope_type": "llama3", "factor": 8],
      "rope_parameters.low_freq_factor: is missing"),
    .key(
      "rope_scaling", ["type": "dynamic", "factor": 2],
      "rope_scaling.rope_type: \"dynamic\" is not supported", fixture: "tied-f32"),
  ]

  static let weights: [Case] = [
    Case("DIR: the folder has neither model.safetensors nor model.safetensors.index.json") {
      try $0.remove("model.safetensors.index.json")
    },
    Case("only safetensors are read, not pytorch_model.bin") {
      try $0.remove("model.safetensors.index.json")
      try $0.folder.write([0], to: "pytorch_model.bin")
    },
    Case("DIR/\(shard): the shard is missing") { try $0.remove(shard) },
    Case("DIR/\(shard): the file is cut off: tensor ") { try $0.cut(shard, to: 4000) },
    Case("DIR/\(shard): the header is said to have ") { try $0.cut(shard, to: 100) },
    Case("DIR/\(shard): the file is empty") { try $0.cut(shard, to: 0) },
    Case(index + "weight_map is missing or not an object") {
      try $0.edit("model.safetensors.index.json") { $0["weight_map"] = nil }
    },
    Case(index + "weight_map is empty") {
      try $0.edit("model.safetensors.index.json") { $0["weight_map"] = [:] }
    },
    .map(q, 5, index + "weight_map.\(q) is a number, not the name of a file"),
    .map(
      q, "../x.safetensors", index + "weight_map.\(q): \"../x.safetensors\" is not the name of a"),
    .map(
      q, "/etc/x.safetensors", index + "weight_map.\(q): \"/etc/x.safetensors\" is not the name"),
    .map(q, "config.json", index + "weight_map.\(q): \"config.json\" is not the name of a"),
    .map(
      q, "model-00003-of-00003.safetensors",
      "but the index has it in model-00003-of-00003.safetensors"),
    .map(q, nil, index + "the tensor \(q) is in model-0000"),
    .map(
      "extra.weight", .string(shard), index + "the tensor extra.weight is not in \(shard)"),
    .tensors("the tensor \(q) is missing") { $0[q] = nil },
    .tensors("the tensor \(q) has the shape [8, 16], expected [16, 16]") {
      $0[q] = Tensor.zeros([8, 16])
    },
    .tensors("the tensor model.norm.weight has the shape [1, 16], expected [16]") {
      $0["model.norm.weight"] = Tensor.zeros([1, 16])
    },
    .tensors("the tensor \(q) is stored as I32; F32, F16 and BF16 are read") {
      $0[q] = Tensor(
        storage: Storage(byteCount: 1024), byteOffset: 0, shape: [16, 16], dtype: .int32)
    },
    .tensors(
      "1 tensors are not part of the model that config.json describes, first "
        + "model.layers.0.self_attn.q_proj.bias"
    ) { $0["model.layers.0.self_attn.q_proj.bias"] = Tensor.zeros([16]) },
    .tensors(
      "lm_head.weight differs from model.embed_tokens.weight, but config.json says that they are tied"
    ) { $0["lm_head.weight"] = Tensor.zeros([269, 16]) },
    Case("DIR/model.safetensors: the tensor lm_head.weight is missing", fixture: "tied-f32") {
      try $0.edit("config.json") { $0["tie_word_embeddings"] = false }
    },
    Case(
      "DIR/model.safetensors: the tensor model.layers.0.mlp.gate_proj.bias is missing",
      fixture: "tied-f32"
    ) { try $0.edit("config.json") { $0["mlp_bias"] = true } },
    Case(
      "DIR/model.safetensors: the tensor model.layers.2.input_layernorm.weight is missing",
      fixture: "tied-f32"
    ) { try $0.edit("config.json") { $0["num_hidden_layers"] = 3 } },
  ]

  @Test(arguments: configurations + weights) func isRefused(test: Case) throws {
    let copy = try FolderCopy(test.fixture)
    try test.spoil(copy)
    do {
      _ = try Llama(folder: ModelFolder(contentsOf: copy.folder.path), computeType: .float32)
      Issue.record("nothing was thrown")
    } catch {
      let text = String(describing: error).replacingOccurrences(of: copy.folder.path, with: "DIR")
      #expect(text.contains(test.message), "\(text)")
      #expect(error is ModelFileError && text.contains("\nhint: "))
    }
  }
}
