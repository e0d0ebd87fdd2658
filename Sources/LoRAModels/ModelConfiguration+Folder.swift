// The sizes of a decoder from a folder's config.json; what would change the computation and is not
// computed here is refused by name.

package import LoRAFormats
import LoRAJSON

extension ModelConfiguration {
  /// The sizes that config.json states, for model_type llama or mistral without a window.
  ///
  /// Keys that transformers' Llama does not read are not read here either; those that would make it
  /// another computation are refused unless they have their neutral value.
  /// - Throws: `ModelFileError` naming the key.
  package init(folder: ModelFolder) throws {
    let reader = ConfigurationReader(folder: folder)
    try reader.checkKind()
    try reader.checkNeutral()
    vocabularySize = try reader.size("vocab_size", atMost: 1 << 24)
    hiddenSize = try reader.size("hidden_size", atMost: 1 << 20)
    intermediateSize = try reader.size("intermediate_size", atMost: 1 << 22)
    layerCount = try reader.size("num_hidden_layers", atMost: 4096)
    headCount = try reader.size("num_attention_heads", atMost: 4096)
    contextLength = try reader.size("max_position_embeddings", atMost: 1 << 30)
    // Mistral's class has other defaults than Llama's; neither is guessed where it matters.
    if reader.kind == "mistral", reader.value("num_key_value_heads") == nil {
      throw reader.failure("num_key_value_heads", "is missing")
    }
    let kvHeads = try reader.optionalSize("num_key_value_heads", atMost: 4096) ?? headCount
    guard headCount % kvHeads == 0 else {
      throw reader.failure(
        "num_key_value_heads", "\(kvHeads) does not divide the \(headCount) heads")
    }
    keyValueHeadCount = kvHeads
    let dimension = try reader.optionalSize("head_dim", atMost: 4096) ?? hiddenSize / headCount
    guard dimension >= 2, dimension % 2 == 0 else {
      throw reader.failure("head_dim", "a head dimension of \(dimension)")
    }
    headDimension = dimension
    let epsilon = try reader.number("rms_norm_eps") ?? Self.defaultEpsilon
    guard epsilon > 0, epsilon < 1 else {
      throw reader.failure("rms_norm_eps", "\(epsilon) is not in (0, 1)")
    }
    normEpsilon = Float(epsilon)
    ropeBase = try RopeScaling(reader).base
    tiesEmbeddings = try reader.flag("tie_word_embeddings")
  }

  /// `rms_norm_eps` where config.json has none, in transformers' classes of Llama and Mistral.
  static let defaultEpsilon = 1e-6
}

/// Takes values out of config.json, with their kinds and ranges checked.
struct ConfigurationReader {
  let folder: ModelFolder

  /// model_type.
  var kind: String { folder.configuration["model_type"]?.stringValue ?? "" }

  /// The value of a key; null is like no value.
  func value(_ key: String) -> JSONValue? {
    guard let value = folder.configuration[key], value != .null else { return Optional.none }
    return value
  }

  func failure(_ key: String, _ what: String, hint: String? = nil) -> ModelFileError {
    folder.failure(
      "config.json", "\(key): \(what)",
      hint: hint ?? "use another model, or correct the file if it is wrong")
  }

  func optionalSize(_ key: String, atMost limit: Int) throws -> Int? {
    guard let given = value(key) else { return nil }
    guard let size = given.integerValue, size >= 1, size <= limit else {
      throw failure(key, "\(Self.text(given)) is not a whole number in 1...\(limit)")
    }
    return size
  }

  func size(_ key: String, atMost limit: Int) throws -> Int {
    guard let size = try optionalSize(key, atMost: limit) else {
      throw failure(key, "is missing", hint: "the file is not complete: fetch it again")
    }
    return size
  }

  func number(_ key: String) throws -> Double? {
    guard let given = value(key) else { return nil }
    guard let number = given.numberValue, number.isFinite else {
      throw failure(key, "\(Self.text(given)) is not a number")
    }
    return number
  }

  /// A truth value, false where it is not given, which is the default of all keys asked for.
  func flag(_ key: String) throws -> Bool {
    guard let given = value(key) else { return false }
    guard let flag = given.boolValue else {
      throw failure(key, "\(Self.text(given)) is not true or false")
    }
    return flag
  }

  static func text(_ value: JSONValue) -> String { value.serialized(.compact).shortened }

  func checkKind() throws {
    guard let kind = value("model_type") else {
      throw failure("model_type", "is missing", hint: "the file is not a model's config.json")
    }
    guard kind == "llama" || kind == "mistral" else {
      throw failure(
        "model_type", "\(Self.text(kind)) is not supported",
        hint: "this version reads llama (Llama, SmolLM, TinyLlama, …) and mistral without a window")
    }
    guard let classes = value("architectures") else { return }
    let expected = kind == "llama" ? "LlamaForCausalLM" : "MistralForCausalLM"
    guard classes == [.string(expected)] else {
      throw failure(
        "architectures", "\(Self.text(classes)) is not [\"\(expected)\"]",
        hint: "only language models with a head are supported")
    }
  }

  /// Keys and the values with which they change nothing; absent and null change nothing either.
  private static let neutral: [(key: String, values: [JSONValue], feature: String)] = [
    ("hidden_act", ["silu", "swish"], "another activation than SiLU"),
    ("sliding_window", [], "attention in a sliding window"),
    ("layer_types", [], "layers of different kinds"),
    ("quantization_config", [], "a quantised checkpoint"),
    ("compression_config", [], "a compressed checkpoint"),
    ("auto_map", [[:]], "a model with code of its own"),
    ("partial_rotary_factor", [1, 1.0], "partial rotation"),
    ("rope_interleaved", [false], "another order of the rotation"),
    ("is_encoder_decoder", [false], "an encoder with a decoder"),
    ("add_cross_attention", [false], "cross-attention"),
    ("num_local_experts", [0, 1], "a mixture of experts"),
    ("no_rope_layers", [[]], "layers without rotation"),
    ("qk_norm", [false], "normalised queries and keys"),
    ("use_qk_norm", [false], "normalised queries and keys"),
    ("attention_multiplier", [], "another scale of the attention"),
    ("residual_multiplier", [1, 1.0], "scaled residuals"),
    ("embedding_multiplier", [1, 1.0], "scaled embeddings"),
    ("logits_scaling", [1, 1.0], "scaled logits"),
    ("final_logit_softcapping", [], "capped logits"),
    ("attn_logit_softcapping", [], "capped attention"),
    ("pruned_heads", [[:]], "pruned heads"),
  ]

  func checkNeutral() throws {
    // A config.json of Mistral that leaves this out means transformers' default of 4096.
    if kind == "mistral", folder.configuration["sliding_window"] == nil {
      throw failure(
        "sliding_window", "is missing, which means a window of 4096 tokens",
        hint: "write null if the model was trained without a window, as those from version 0.2 on")
    }
    for (key, values, feature) in Self.neutral {
      guard let given = value(key), !values.contains(given) else { continue }
      if key == "layer_types", isFullAttention(given) { continue }
      throw failure(
        key, "\(Self.text(given)): \(feature) is not supported by this version",
        hint: "use another model")
    }
  }

  private func isFullAttention(_ value: JSONValue) -> Bool {
    value.arrayValue?.allSatisfy { $0 == "full_attention" } == true
  }
}
