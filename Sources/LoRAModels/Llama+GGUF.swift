// A Llama-family model from a GGUF file.

package import LoRAFormats
import LoRANN
package import LoRATensor

extension Llama {
  /// Loads a model whose `general.architecture` is `llama`.
  ///
  /// Weights become resident in `computeType`; the embedding stays in the file's own blocks.
  /// - Parameter asStored: weights stay mapped in the file's own types, next to no memory: fast for
  ///   generated tokens, but converted anew for every pass of many rows.
  /// - Throws: `ModelFileError` naming the key or tensor that is missing, misshapen or not supported.
  package convenience init(
    gguf: GGUFFile, computeType: DType, asStored: Bool = false
  ) throws {
    let configuration = try ModelConfiguration(gguf: gguf)
    var loader = GGUFTensorLoader(
      gguf: gguf, weightType: asStored ? nil : computeType)
    let width = configuration.hiddenSize
    let inner = configuration.intermediateSize
    let qWidth = configuration.headCount * configuration.headDimension
    let kvWidth = configuration.keyValueHeadCount * configuration.headDimension

    let table = try loader.tensor("token_embd.weight", [configuration.vocabularySize, width])
    let layers = try (0..<configuration.layerCount).map { index in
      let prefix = "blk.\(index)."
      func norm(_ name: String) throws -> RMSNorm {
        RMSNorm(
          weight: try loader.tensor(prefix + name + ".weight", [width]),
          epsilon: configuration.normEpsilon)
      }
      func projection(
        _ name: String, _ out: Int, _ input: Int, rotaryHeads: Int? = nil
      ) throws -> Linear {
        try loader.linear(prefix + name, out: out, in: input, rotaryHeads: rotaryHeads)
      }
      return DecoderLayer(
        inputNorm: try norm("attn_norm"),
        attention: Attention(
          query: try projection(
            "attn_q", qWidth, width, rotaryHeads: configuration.headCount),
          key: try projection(
            "attn_k", kvWidth, width, rotaryHeads: configuration.keyValueHeadCount),
          value: try projection("attn_v", kvWidth, width),
          output: try projection("attn_output", width, qWidth),
          heads: configuration.headCount, kvHeads: configuration.keyValueHeadCount, layer: index),
        postAttentionNorm: try norm("ffn_norm"),
        mlp: GatedMLP(
          gate: try projection("ffn_gate", inner, width),
          up: try projection("ffn_up", inner, width),
          down: try projection("ffn_down", width, inner), activation: .silu))
    }
    let norm = RMSNorm(
      weight: try loader.tensor("output_norm.weight", [width]),
      epsilon: configuration.normEpsilon)
    let head =
      configuration.tiesEmbeddings
      ? table : try loader.tensor("output.weight", [configuration.vocabularySize, width])
    let factors = try loader.optional("rope_freqs.weight", [configuration.headDimension / 2])
    try loader.refuseUnusedTensors()
    defer { if !asStored { gguf.file.releasePages() } }
    self.init(
      configuration: configuration, embedding: Embedding(weight: table), layers: layers,
      norm: norm, head: Linear(weight: loader.resident(head)),
      computeType: computeType, ropeFactors: factors?.elements)
  }
}

extension ModelConfiguration {
  /// The sizes that a GGUF file of the `llama` architecture states.
  package init(gguf: GGUFFile) throws {
    let architecture = try gguf.required("general.architecture", gguf.string)
    guard architecture == "llama" else {
      throw ModelFileError(
        file: gguf.path, message: "the architecture \"\(architecture)\" is not supported",
        hint: "this version reads the llama family (Llama, SmolLM, TinyLlama, Mistral)")
    }
    func refuse(_ key: String, _ what: String) -> ModelFileError {
      ModelFileError(file: gguf.path, message: "\(key): \(what)", hint: "use another model file")
    }
    if let parts = try gguf.integer("split.count"), parts > 1 {
      throw ModelFileError(
        file: gguf.path, message: "split.count: this is one of \(parts) parts of a model",
        hint: "join the parts with gguf-split --merge first")
    }
    if let scaling = try gguf.string("llama.rope.scaling.type"), scaling != "none" {
      throw refuse("llama.rope.scaling.type", "\"\(scaling)\" is not supported")
    }
    if let experts = try gguf.integer("llama.expert_count"), experts > 0 {
      throw refuse("llama.expert_count", "mixture-of-experts models are not supported")
    }
    func size(_ key: String, atMost limit: Int) throws -> Int {
      let value = try gguf.required("llama." + key, gguf.integer)
      guard value >= 1, value <= limit else {
        throw refuse("llama." + key, "\(value) is not in 1...\(limit)")
      }
      return value
    }
    hiddenSize = try size("embedding_length", atMost: 1 << 20)
    intermediateSize = try size("feed_forward_length", atMost: 1 << 22)
    layerCount = try size("block_count", atMost: 4096)
    headCount = try size("attention.head_count", atMost: 4096)
    contextLength = try size("context_length", atMost: 1 << 30)
    let kvHeads = try gguf.integer("llama.attention.head_count_kv") ?? headCount
    guard kvHeads >= 1, headCount % kvHeads == 0 else {
      throw refuse(
        "llama.attention.head_count_kv", "\(kvHeads) does not divide the \(headCount) heads")
    }
    keyValueHeadCount = kvHeads
    let dimension = try gguf.integer("llama.attention.key_length") ?? hiddenSize / headCount
    guard dimension >= 2, dimension % 2 == 0, dimension <= 4096 else {
      throw refuse("llama.attention.key_length", "a head dimension of \(dimension)")
    }
    headDimension = dimension
    if let valueLength = try gguf.integer("llama.attention.value_length"),
      valueLength != dimension
    {
      throw refuse(
        "llama.attention.value_length", "\(valueLength) differs from the key length \(dimension)")
    }
    if let rotated = try gguf.integer("llama.rope.dimension_count"), rotated != dimension {
      throw refuse(
        "llama.rope.dimension_count", "partial rotation (\(rotated) of \(dimension))")
    }
    let epsilon = try gguf.required("llama.attention.layer_norm_rms_epsilon", gguf.float)
    guard epsilon > 0, epsilon < 1 else {
      throw refuse("llama.attention.layer_norm_rms_epsilon", "\(epsilon) is not in (0, 1)")
    }
    normEpsilon = Float(epsilon)
    ropeBase = try gguf.float("llama.rope.freq_base") ?? 10_000
    guard ropeBase.isFinite, ropeBase > 1 else {
      throw refuse("llama.rope.freq_base", "\(ropeBase) is not a base")
    }
    guard let table = gguf.tensorInfo("token_embd.weight"), table.shape.rank == 2 else {
      throw ModelFileError(
        file: gguf.path, message: "the tensor token_embd.weight is missing or not a matrix",
        hint: "the file is no language model, or it is incomplete")
    }
    vocabularySize = table.shape[0]
    tiesEmbeddings = gguf.tensorInfo("output.weight") == nil
  }
}

/// Takes tensors out of a GGUF file by name, with their shapes checked.
struct GGUFTensorLoader {
  let gguf: GGUFFile
  /// What weights are converted to; nil: they stay as they are.
  let weightType: DType?
  private var used: Set<String> = []

  init(gguf: GGUFFile, weightType: DType?) {
    self.gguf = gguf
    self.weightType = weightType
  }

  func resident(_ weight: Tensor) -> Tensor { weightType.map(weight.converted) ?? weight }

  mutating func tensor(_ name: String, _ shape: Shape) throws -> Tensor {
    guard let tensor = try optional(name, shape) else {
      throw ModelFileError(
        file: gguf.path, message: "the tensor \(name) is missing",
        hint: "the file is incomplete, or its architecture is not what it says")
    }
    return tensor
  }

  mutating func optional(_ name: String, _ shape: Shape) throws -> Tensor? {
    guard gguf.tensorInfo(name) != nil else { return nil }
    let stored = try gguf.bytes(of: name)
    guard stored.shape == shape else {
      throw ModelFileError(
        file: gguf.path,
        message: "the tensor \(name) has the shape \(stored.shape), expected \(shape)",
        hint: "the tensor and the sizes in the file's metadata contradict each other")
    }
    used.insert(name)
    return Tensor(
      storage: stored.storage, byteOffset: stored.byteOffset, shape: stored.shape,
      dtype: stored.dtype)
  }

  /// A projection with its optional bias, converted to the compute type.
  mutating func linear(
    _ name: String, out: Int, in input: Int, rotaryHeads: Int?
  ) throws -> Linear {
    var weight = try tensor(name + ".weight", [out, input])
    var bias = try optional(name + ".bias", [out])
    if let rotaryHeads {
      weight = weight.inHalfRotationOrder(heads: rotaryHeads)
      bias = bias.map { $0.viewedAsColumn().inHalfRotationOrder(heads: rotaryHeads) }
    }
    return Linear(
      weight: resident(weight),
      bias: bias.map { Tensor($0.elements, shape: [out]) })
  }

  /// What a file holds and nobody reads would be computed without: refused.
  func refuseUnusedTensors() throws {
    let unused = gguf.tensorNames.filter { !used.contains($0) }
    guard unused.isEmpty else {
      throw ModelFileError(
        file: gguf.path,
        message: "\(unused.count) tensors are not part of a Llama model, first "
          + unused.prefix(3).joined(separator: ", "),
        hint: "the model has parts that this version does not know")
    }
  }
}

extension Tensor {
  /// [n] as [n, 1].
  func viewedAsColumn() -> Tensor { converted(to: .float32).reshaped([count, 1]) }
}
