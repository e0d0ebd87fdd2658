// The Llama family: Llama 1–3, Mistral without a window, SmolLM, TinyLlama.
//
//   x = embed(tokens);  x += attention(norm(x));  x += down(silu(gate(norm(x)))·up(norm(x)));  …
//   logits = lm_head(norm(x))
//
// Source: Touvron et al. 2023; transformers' modeling_llama. Paths are Hugging Face's.

public import LoRANN
public import LoRATensor

/// A Llama-family language model.
public final class Llama: Module {
  /// The sizes.
  public let configuration: ModelConfiguration
  /// What turns the hidden state into logits; the embedding's table when tied.
  public var head: any LinearLayer
  /// The type of the branches' activations and of the large products' inputs.
  public let computeType: DType

  /// What of a layer is computed again on the way back instead of being kept.
  package var recomputation = Recomputation.nothing

  private let body: Body
  private var rotaryTable: RotaryTable
  private let ropeFactors: [Float]?

  package init(
    configuration: ModelConfiguration, embedding: Embedding, layers: [DecoderLayer], norm: RMSNorm,
    head: any LinearLayer, computeType: DType, ropeFactors: [Float]?
  ) {
    self.configuration = configuration
    self.head = head
    self.computeType = computeType
    self.ropeFactors = ropeFactors
    body = Body(embedding: embedding, layers: layers, norm: norm)
    rotaryTable = RotaryTable(
      positions: 0, headDimension: configuration.headDimension, base: configuration.ropeBase,
      factors: ropeFactors)
  }

  public var children: [ModuleChild] {
    [ModuleChild("model", body), ModuleChild("lm_head", in: self, \.head)]
  }

  public var tiedModules: [(path: String, owner: String)] {
    configuration.tiesEmbeddings ? [("lm_head", "model.embed_tokens")] : []
  }

  /// The parameters of the model without adapters; a tied head counts once.
  public var parameterCount: Int {
    let head = configuration.tiesEmbeddings ? "lm_head." : " "
    return namedParameters.reduce(0) { sum, entry in
      let isOwn = !entry.path.isPathOfAdapter && !entry.path.hasPrefix(head)
      return sum + (isOwn ? entry.parameter.value.count : 0)
    }
  }

  /// The normalised hidden state of every token, [tokens, hidden], as the head reads it.
  ///
  /// - Parameter rows: the rows to give out, in this order; nil: all.
  package func hiddenStates(
    _ tokens: [Int32], packing: Packing, cache: KVCache? = nil, rows: [Int]? = nil
  ) -> Tensor {
    var positions = packing.positions
    if let cache {
      for (i, sequence) in cache.rows.enumerated() {
        for t in Int(packing.starts[i])..<Int(packing.starts[i + 1]) {
          positions[t] += Int32(cache.lengths[sequence])
        }
      }
    }
    growRotaryTable(to: Int(positions.max() ?? 0) + 1)
    let context = DecoderContext(
      packing: packing, positions: positions, rotary: rotaryTable, dtype: computeType,
      cache: cache)
    var x = body.embedding(tokens)
    // In the last layer the other rows are keys and values only: nothing reads the rest of them.
    let picked = rows?.isEmpty == true ? nil : rows
    PassContext.with({ $0.readsStoredWeights = cache?.isPastPrompts ?? false }) {
      for layer in body.layers.dropLast() {
        x = layer(x, context: context, recomputation: recomputation)
      }
      if let last = body.layers.last {
        x = last(x, context: context, recomputation: recomputation, rows: picked)
      }
    }
    cache?.advance(
      by: (0..<packing.sequenceCount).map { Int(packing.starts[$0 + 1] - packing.starts[$0]) })
    if picked == nil, let rows { x = gatherRows(x, rows) }
    return rmsNorm(
      x, weight: body.norm.weight.tensor, epsilon: body.norm.epsilon, dtype: computeType)
  }

  /// The logits of the next tokens of hidden states, one per sequence: as while generating.
  package func nextTokenLogits(_ hidden: Tensor) -> Tensor {
    PassContext.with({ $0.readsStoredWeights = true }) { logits(hidden) }
  }

  /// The logits of hidden states, [rows, vocabulary], float32.
  package func logits(_ hidden: Tensor) -> Tensor {
    let zeros = Tensor.zeros([hidden.shape.rows, configuration.vocabularySize])
    return linear(.plain(hidden), [head.operand], residual: zeros)[0]
  }

  private func growRotaryTable(to count: Int) {
    guard count > rotaryTable.cosine.shape[0] else { return }
    // The next power of two, so that a growing cache does not make a table per token.
    var size = 512
    while size < count { size *= 2 }
    rotaryTable = RotaryTable(
      positions: size, headDimension: configuration.headDimension, base: configuration.ropeBase,
      factors: ropeFactors)
  }

  /// Everything below the head: `model.` in the paths.
  private final class Body: Module {
    var embedding: any EmbeddingLayer
    let layers: [DecoderLayer]
    let norm: RMSNorm

    init(embedding: Embedding, layers: [DecoderLayer], norm: RMSNorm) {
      self.embedding = embedding
      self.layers = layers
      self.norm = norm
    }

    var children: [ModuleChild] {
      [ModuleChild("embed_tokens", in: self, \.embedding)]
        + layers.enumerated().map { ModuleChild("layers.\($0)", $1) } + [ModuleChild("norm", norm)]
    }
  }
}

/// What of a layer is computed again on the way back instead of being kept: memory for time.
public enum Recomputation: String, Sendable, CaseIterable {
  /// Everything is kept.
  case nothing
  /// The MLP: gate and up are not kept, its three products run once more.
  case mlp
  /// The whole layer: only its input is kept, and every product of the forward pass runs twice.
  case layers
}

/// One layer: attention and MLP, each behind a normalisation and added to the residual stream.
package final class DecoderLayer: Module {
  let inputNorm: RMSNorm
  let attention: Attention
  let postAttentionNorm: RMSNorm
  let mlp: GatedMLP

  init(inputNorm: RMSNorm, attention: Attention, postAttentionNorm: RMSNorm, mlp: GatedMLP) {
    self.inputNorm = inputNorm
    self.attention = attention
    self.postAttentionNorm = postAttentionNorm
    self.mlp = mlp
  }

  package var children: [ModuleChild] {
    [
      ModuleChild("input_layernorm", inputNorm), ModuleChild("self_attn", attention),
      ModuleChild("post_attention_layernorm", postAttentionNorm), ModuleChild("mlp", mlp),
    ]
  }

  /// - Parameter rows: the rows to give out, if not all.
  func callAsFunction(
    _ x: Tensor, context: DecoderContext, recomputation: Recomputation, rows: [Int]? = nil
  ) -> Tensor {
    func attended(_ x: Tensor) -> Tensor {
      attention(x, norm: inputNorm, context: context, rows: rows)
    }
    func transformed(_ x: Tensor) -> Tensor {
      mlp(x, norm: postAttentionNorm, context: context, rows: rows)
    }
    switch recomputation {
    case .nothing:
      return transformed(attended(x))
    case .mlp:
      return recomputed(
        attended(x),
        parameters: postAttentionNorm.recordedParameters + mlp.recordedParameters, transformed)
    case .layers:
      return recomputed(x, parameters: recordedParameters) {
        transformed(attended($0))
      }
    }
  }
}
