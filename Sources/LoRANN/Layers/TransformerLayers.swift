// The parts of a decoder layer: embedding, normalisation, attention and the gated MLP.

public import LoRATensor

/// A table of vectors looked up by token id; the table may be quantised.
public final class Embedding: EmbeddingLayer {
  /// The table, [vocabulary, width].
  public let weight: Parameter

  /// A frozen embedding over a table.
  public init(weight: Tensor) { self.weight = Parameter(weight, isTrainable: false) }

  public var parameters: [(name: String, parameter: Parameter)] { [("weight", weight)] }

  public var vocabularySize: Int { weight.value.shape[0] }
  public var width: Int { weight.value.shape[1] }

  public func callAsFunction(_ ids: [Int32]) -> Tensor { embedding(weight.tensor, at: ids) }
}

/// x·w/√(mean(x²) + ε).
public final class RMSNorm: Module {
  /// w, [width].
  public let weight: Parameter
  /// ε.
  public let epsilon: Float

  /// A frozen normalisation with the given weight.
  public init(weight: Tensor, epsilon: Float) {
    self.weight = Parameter(weight.converted(to: .float32), isTrainable: false)
    self.epsilon = epsilon
  }

  public var parameters: [(name: String, parameter: Parameter)] { [("weight", weight)] }

  /// The normalised tensor, float32.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    rmsNorm(x, weight: weight.tensor, epsilon: epsilon)
  }

  /// The normalisation as the input of linear layers, which form it themselves.
  package func input(_ x: Tensor, dtype: DType) -> LinearInput {
    .normalized(x, weight: weight.tensor, epsilon: epsilon, dtype: dtype)
  }
}

/// What the layers of one pass have in common.
package struct DecoderContext {
  package var packing: Packing
  /// The position of each row in its whole sequence, cached tokens included.
  package var positions: [Int32]
  package var rotary: RotaryTable
  /// The type of the branches' activations: float32 or bfloat16.
  package var dtype: DType
  package var cache: KVCache?

  package init(
    packing: Packing, positions: [Int32], rotary: RotaryTable, dtype: DType, cache: KVCache? = nil
  ) {
    self.packing = packing
    self.positions = positions
    self.rotary = rotary
    self.dtype = dtype
    self.cache = cache
  }

  /// Runs what works on some rows of the pass only: they keep their dropout and their adapters.
  func picking<Result>(_ rows: [Int], _ body: () -> Result) -> Result {
    PassContext.picking(rows, body)
  }
}

/// Self-attention with rotary positions and grouped key/value heads.
public final class Attention: Module {
  /// The four projections; each may be replaced by an adapted layer.
  public var queryProjection: any LinearLayer
  public var keyProjection: any LinearLayer
  public var valueProjection: any LinearLayer
  public var outputProjection: any LinearLayer
  let heads: Int
  let kvHeads: Int
  let layer: Int

  package init(
    query: any LinearLayer, key: any LinearLayer, value: any LinearLayer, output: any LinearLayer,
    heads: Int, kvHeads: Int, layer: Int
  ) {
    queryProjection = query
    keyProjection = key
    valueProjection = value
    outputProjection = output
    self.heads = heads
    self.kvHeads = kvHeads
    self.layer = layer
  }

  public var children: [ModuleChild] {
    [
      ModuleChild("q_proj", in: self, \.queryProjection),
      ModuleChild("k_proj", in: self, \.keyProjection),
      ModuleChild("v_proj", in: self, \.valueProjection),
      ModuleChild("o_proj", in: self, \.outputProjection),
    ]
  }

  /// residual + attention(norm(residual)); residual [tokens, width] float32.
  ///
  /// - Parameter rows: the rows to give out, if not all: the others are keys and values only.
  package func callAsFunction(
    _ residual: Tensor, norm: RMSNorm, context: DecoderContext, rows: [Int]? = nil
  ) -> Tensor {
    let qkv = linear(
      norm.input(residual, dtype: context.dtype),
      [queryProjection.operand, keyProjection.operand, valueProjection.operand])
    let q = rotary(qkv[0], positions: context.positions, table: context.rotary)
    let k = rotary(qkv[1], positions: context.positions, table: context.rotary)
    let mixed: Tensor
    if let cache = context.cache {
      mixed = cache.attend(
        layer: layer, q: q, k: k, v: qkv[2], packing: context.packing, heads: heads,
        kvHeads: kvHeads)
    } else {
      mixed = causalAttention(
        q: q, k: k, v: qkv[2], packing: context.packing, heads: heads, kvHeads: kvHeads)
    }
    guard let rows else {
      return linear(.plain(mixed), [outputProjection.operand], residual: residual)[0]
    }
    return context.picking(rows) {
      linear(
        .plain(gatherRows(mixed, rows)), [outputProjection.operand],
        residual: gatherRows(residual, rows))[0]
    }
  }
}

/// The gated feed-forward part: down(act(gate(x))·up(x)).
public final class GatedMLP: Module {
  /// The three projections; each may be replaced by an adapted layer.
  public var gateProjection: any LinearLayer
  public var upProjection: any LinearLayer
  public var downProjection: any LinearLayer
  let activation: GateActivation

  package init(
    gate: any LinearLayer, up: any LinearLayer, down: any LinearLayer, activation: GateActivation
  ) {
    gateProjection = gate
    upProjection = up
    downProjection = down
    self.activation = activation
  }

  public var children: [ModuleChild] {
    [
      ModuleChild("gate_proj", in: self, \.gateProjection),
      ModuleChild("up_proj", in: self, \.upProjection),
      ModuleChild("down_proj", in: self, \.downProjection),
    ]
  }

  /// residual + mlp(norm(residual)); residual [tokens, width] float32.
  ///
  /// - Parameter rows: the pass's rows that `residual` holds, if not all.
  package func callAsFunction(
    _ residual: Tensor, norm: RMSNorm, context: DecoderContext, rows: [Int]? = nil
  ) -> Tensor {
    guard let rows else { return apply(residual, norm: norm, context: context) }
    return context.picking(rows) { apply(residual, norm: norm, context: context) }
  }

  private func apply(_ residual: Tensor, norm: RMSNorm, context: DecoderContext) -> Tensor {
    let hidden = linear(
      norm.input(residual, dtype: context.dtype),
      [gateProjection.operand, upProjection.operand])
    return linear(
      .gated(gate: hidden[0], up: hidden[1], activation: activation), [downProjection.operand],
      residual: residual)[0]
  }
}
