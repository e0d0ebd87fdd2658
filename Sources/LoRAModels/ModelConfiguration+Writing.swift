// Writes config.json: for a model that came from a GGUF file, and so that every reader takes it alike.

package import LoRAFormats
package import LoRAJSON
import LoRANN
package import LoRATensor

extension ModelConfiguration {
  /// A config.json in the spelling of every reader, for weights of this type.
  ///
  /// transformers 5 reads `rope_parameters` and `dtype`, version 4 `rope_theta`, `rope_scaling` and
  /// `torch_dtype`, mlx-lm 0.32 the former two of version 4; a key that is missing has another
  /// default in mlx-lm (`tie_word_embeddings`) or none (`rms_norm_eps`).
  /// - Parameter path: the folder or file that the configuration is of, for errors.
  /// - Throws: `ModelFileError` naming the key.
  package static func completed(
    _ configuration: JSONObject, of path: String, dtype: DType, tiesEmbeddings: Bool
  ) throws -> JSONObject {
    let reader = ConfigurationReader(folder: ModelFolder(path: path, configuration: configuration))
    var result = configuration
    for (key, value) in try RopeScaling(reader).keys { result[key] = value }
    for key in ["dtype", "torch_dtype"] { result[key] = .string(dtype.name) }
    result["tie_word_embeddings"] = .bool(tiesEmbeddings)
    if reader.value("rms_norm_eps") == nil { result["rms_norm_eps"] = .number(defaultEpsilon) }
    return result
  }

  /// The content of a config.json that describes the model in a GGUF file; `completed` adds what
  /// the weights beside it decide.
  ///
  /// - Parameter stops: the tokens that end a text, EOS first.
  /// - Throws: `ModelFileError` naming what config.json cannot say.
  package func configJSON(
    gguf: GGUFFile, bos: Int32?, stops: [Int32]
  ) throws -> JSONObject {
    func ids(_ ids: [Int32]) -> JSONValue {
      let values = ids.map { JSONValue.integer(Int($0)) }
      return values.count == 1 ? values[0] : values.isEmpty ? .null : .array(values)
    }
    return [
      "architectures": ["LlamaForCausalLM"],
      "attention_bias": .bool(
        try hasBias(gguf, ["attn_q", "attn_k", "attn_v", "attn_output"], "attention_bias")),
      "attention_dropout": 0.0,
      "bos_token_id": ids(bos.map { [$0] } ?? []),
      "eos_token_id": ids(stops),
      "head_dim": .integer(headDimension), "hidden_act": "silu",
      "hidden_size": .integer(hiddenSize), "initializer_range": 0.02,
      "intermediate_size": .integer(intermediateSize),
      "max_position_embeddings": .integer(contextLength),
      "mlp_bias": .bool(try hasBias(gguf, ["ffn_gate", "ffn_up", "ffn_down"], "mlp_bias")),
      "model_type": "llama", "num_attention_heads": .integer(headCount),
      "num_hidden_layers": .integer(layerCount),
      "num_key_value_heads": .integer(keyValueHeadCount), "pretraining_tp": 1,
      "rms_norm_eps": .number(Double(normEpsilon.description) ?? Double(normEpsilon)),
      "rope_scaling": try ropeScaling(gguf), "rope_theta": .number(ropeBase),
      "use_cache": true, "vocab_size": .integer(vocabularySize),
    ]
  }

  /// Whether the projections of these names have biases: config.json knows all or none.
  private func hasBias(_ gguf: GGUFFile, _ names: [String], _ key: String) throws -> Bool {
    let present = (0..<layerCount).flatMap { layer in
      names.map { gguf.tensorInfo("blk.\(layer).\($0).bias") != nil }
    }
    guard Set(present).count < 2 else {
      throw ModelFileError(
        file: gguf.path,
        message: "\(key): some of \(names.joined(separator: ", ")) have a bias and others have "
          + "none, which a config.json of Llama cannot say",
        hint: "merge with the model's Hugging Face folder as the base")
    }
    return present.first ?? false
  }

  /// `rope_scaling` that gives the factors in the file: Llama 3's, which GGUF keeps as numbers only.
  private func ropeScaling(_ gguf: GGUFFile) throws -> JSONValue {
    guard gguf.tensorInfo("rope_freqs.weight") != nil else { return .null }
    let stored = try gguf.bytes(of: "rope_freqs.weight")
    let factors = Tensor(
      storage: stored.storage, byteOffset: stored.byteOffset, shape: stored.shape,
      dtype: stored.dtype
    ).elements
    if let first = factors.first, factors.allSatisfy({ $0 == first }) {
      return first == 1
        ? .null : ["rope_type": "linear", "factor": .number(Double(first))]
    }
    for factor in [8.0, 32.0, 16.0, 4.0, 2.0] {
      let candidate: JSONObject = [
        "rope_type": "llama3", "factor": .number(factor), "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
      ]
      let reader = ConfigurationReader(
        folder: ModelFolder(
          path: gguf.path,
          configuration: [
            "rope_scaling": .object(candidate), "rope_theta": .number(ropeBase),
          ]))
      let computed = try RopeScaling(reader).factors(headDimension: headDimension) ?? []
      let isSame =
        computed.count == factors.count
        && zip(computed, factors).allSatisfy { abs($0 - $1) <= 1e-5 * abs($1) }
      if isSame { return .object(candidate) }
    }
    throw ModelFileError(
      file: gguf.path,
      message: "rope_freqs.weight: no rope_scaling that is known gives these factors",
      hint: "merge with the model's Hugging Face folder as the base")
  }
}
