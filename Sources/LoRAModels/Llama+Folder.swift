// A Llama-family model from a folder as Hugging Face lays it out.

package import LoRAFormats
import LoRAJSON
import LoRANN
package import LoRATensor

extension Llama {
  /// Loads the model of a folder; its weights are mapped.
  ///
  /// Weights of another type than `computeType` are converted; the embedding stays as it is stored.
  /// - Parameter asStored: weights stay mapped in the files' own types, next to no memory: fast for
  ///   generated tokens, but converted anew for every pass of many rows.
  /// - Throws: `ModelFileError` naming the file and the key or tensor that is missing, misshapen or
  ///   not supported.
  package convenience init(
    folder: ModelFolder, computeType: DType, asStored: Bool = false
  ) throws {
    let configuration = try ModelConfiguration(folder: folder)
    let reader = ConfigurationReader(folder: folder)
    let attentionBias = try reader.flag("attention_bias")
    let mlpBias = try reader.flag("mlp_bias")
    var loader = FolderTensorLoader(
      folder: folder, weights: try SafeTensorsShards(folder),
      weightType: asStored ? nil : computeType)
    let width = configuration.hiddenSize
    let inner = configuration.intermediateSize
    let qWidth = configuration.headCount * configuration.headDimension
    let kvWidth = configuration.keyValueHeadCount * configuration.headDimension

    let tableName = "model.embed_tokens.weight"
    let table = try loader.tensor(tableName, [configuration.vocabularySize, width])
    let layers = try (0..<configuration.layerCount).map { index in
      let prefix = "model.layers.\(index)."
      func norm(_ name: String) throws -> RMSNorm {
        RMSNorm(
          weight: try loader.tensor(prefix + name + ".weight", [width]),
          epsilon: configuration.normEpsilon)
      }
      func attention(_ name: String, _ out: Int, _ input: Int) throws -> Linear {
        try loader.linear(
          prefix + "self_attn." + name, out: out, in: input, hasBias: attentionBias)
      }
      func mlp(_ name: String, _ out: Int, _ input: Int) throws -> Linear {
        try loader.linear(prefix + "mlp." + name, out: out, in: input, hasBias: mlpBias)
      }
      return DecoderLayer(
        inputNorm: try norm("input_layernorm"),
        attention: Attention(
          query: try attention("q_proj", qWidth, width),
          key: try attention("k_proj", kvWidth, width),
          value: try attention("v_proj", kvWidth, width),
          output: try attention("o_proj", width, qWidth),
          heads: configuration.headCount, kvHeads: configuration.keyValueHeadCount, layer: index),
        postAttentionNorm: try norm("post_attention_layernorm"),
        mlp: GatedMLP(
          gate: try mlp("gate_proj", inner, width), up: try mlp("up_proj", inner, width),
          down: try mlp("down_proj", width, inner), activation: .silu))
    }
    let norm = RMSNorm(
      weight: try loader.tensor("model.norm.weight", [width]), epsilon: configuration.normEpsilon)
    let headName = "lm_head.weight"
    if configuration.tiesEmbeddings { try loader.checkCopy(headName, of: tableName, table) }
    let head =
      configuration.tiesEmbeddings
      ? table : try loader.tensor(headName, [configuration.vocabularySize, width])
    try loader.refuseUnusedTensors()
    let files = loader.weights.files
    defer { if !asStored { for file in files { file.file.releasePages() } } }
    self.init(
      configuration: configuration, embedding: Embedding(weight: table), layers: layers,
      norm: norm, head: Linear(weight: loader.resident(head)), computeType: computeType,
      ropeFactors: try RopeScaling(reader).factors(headDimension: configuration.headDimension))
  }
}

/// Takes tensors out of a folder's files by name, with their shapes checked.
struct FolderTensorLoader {
  let folder: ModelFolder
  let weights: SafeTensorsShards
  /// What weights are converted to; nil: they stay as they are.
  let weightType: DType?
  private var used: Set<String> = []

  init(folder: ModelFolder, weights: SafeTensorsShards, weightType: DType?) {
    self.folder = folder
    self.weights = weights
    self.weightType = weightType
  }

  func resident(_ weight: Tensor) -> Tensor { weightType.map(weight.converted) ?? weight }

  mutating func tensor(_ name: String, _ shape: Shape) throws -> Tensor {
    guard let file = weights.file(of: name), let info = file.tensorInfo(name) else {
      throw ModelFileError(
        file: weights.files.count == 1 ? weights.files[0].path : folder.path,
        message: "the tensor \(name) is missing",
        hint: "the download is not complete, or the weights do not belong to this config.json")
    }
    guard [.float32, .float16, .bfloat16].contains(info.type) else {
      throw ModelFileError(
        file: file.path,
        message:
          "the tensor \(name) is stored as \(info.type.rawValue); F32, F16 and BF16 are read",
        hint: "save the model again in one of these types")
    }
    guard info.shape == shape else {
      throw ModelFileError(
        file: file.path,
        message: "the tensor \(name) has the shape \(info.shape), expected \(shape)",
        hint: "the weights and the sizes in config.json contradict each other")
    }
    used.insert(name)
    let stored = try file.bytes(of: name)
    return Tensor(
      storage: stored.storage, byteOffset: stored.byteOffset, shape: stored.shape,
      dtype: stored.dtype)
  }

  /// A projection.
  mutating func linear(
    _ name: String, out: Int, in input: Int, hasBias: Bool
  ) throws -> Linear {
    Linear(
      weight: resident(try tensor(name + ".weight", [out, input])),
      bias: hasBias ? try tensor(name + ".bias", [out]).converted(to: .float32) : nil)
  }

  /// A head beside a tied embedding is harmless where it says the same, else a contradiction.
  mutating func checkCopy(_ name: String, of original: String, _ table: Tensor) throws {
    guard let file = weights.file(of: name) else { return }
    used.insert(name)
    guard let other = weights.file(of: original),
      file.tensorInfo(name)?.type == other.tensorInfo(original)?.type,
      try file.rawBytes(of: name).elementsEqual(other.rawBytes(of: original))
    else {
      throw ModelFileError(
        file: file.path,
        message: "\(name) differs from \(original), but config.json says that they are tied",
        hint: "set tie_word_embeddings to false if the model has a head of its own")
    }
  }

  /// What a file holds and nobody reads would be computed without: refused.
  func refuseUnusedTensors() throws {
    // Old versions of transformers saved the rotation's frequencies, which config.json says too.
    let unused = weights.tensorNames.filter {
      !used.contains($0) && !$0.hasSuffix(".rotary_emb.inv_freq")
    }
    guard let first = unused.first else { return }
    throw ModelFileError(
      file: weights.file(of: first)?.path ?? folder.path,
      message:
        "\(unused.count) tensors are not part of the model that config.json describes, first "
        + unused.prefix(3).joined(separator: ", "),
      hint: "the model has parts that this version does not know, or config.json belongs to another"
    )
  }
}
