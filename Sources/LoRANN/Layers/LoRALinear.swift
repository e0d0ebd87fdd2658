// LoRA: a linear layer with frozen weights and a trainable low-rank path beside it.
//
//   y = x·Wᵀ + b + s·B(A(dropout(x)))        x [..., in] → y [..., out]
//
// W (out, in) and b (out) stay as they are; A (r, in) and B (out, r) are trained. B starts at 0, so
// a new layer computes exactly what the plain one computes. Dropout acts on the input of A alone.
// The products and their gradients are one fused operation: see LoRATensor/Ops/Linear.swift.
// Source: Hu et al. 2021 (arXiv 2106.09685); the textbook's class LoRALinear(nn.Linear).

public import LoRATensor

/// One named low-rank path: A (r, in) and B (out, r), in PEFT's orientation.
public final class LowRankPair {
  /// A, [r, in]: from the input to the r inner features.
  public let a: Parameter
  /// B, [out, r]: from the inner features to the output.
  public let b: Parameter
  /// s, what B·A is multiplied by.
  public var scale: Float
  /// The probability with which an element of A's input is dropped in training, in [0, 1).
  public var dropout: Float

  /// A pair from its factors.
  public init(a: Parameter, b: Parameter, scale: Float, dropout: Float = 0) {
    self.a = a
    self.b = b
    self.scale = scale
    self.dropout = dropout
  }

  /// r.
  public var rank: Int { a.value.shape[0] }
}

/// A linear layer (any: dense, quantised) with named low-rank paths.
public final class LoRALinear: LinearLayer {
  /// The frozen layer.
  public let base: any LinearLayer
  /// The low-rank paths by the name of their adapter, in the order they were added.
  public private(set) var pairs: [(name: String, pair: LowRankPair)] = []
  /// The adapters that take part; all that were added, unless changed.
  public var activeAdapters: Set<String> = []

  private var isTraining = true
  private var dropoutStream = DropoutStream()

  /// Wraps a layer and freezes it.
  public init(base: any LinearLayer) {
    self.base = base
    base.freeze()
  }

  /// The textbook layer: a new base of uniform weights and one pair named "default".
  ///
  /// - Throws: `LoRAConfigurationError` when the configuration cannot be.
  public convenience init(
    _ inFeatures: Int, _ outFeatures: Int, configuration: LoRALinearConfiguration,
    bias: Bool = true, seed: UInt64? = nil
  ) throws {
    let seed = seed ?? Random.nextSeed()
    self.init(base: Linear(inFeatures, outFeatures, bias: bias, seed: seed))
    dropoutStream.seed = seed
    var random = Random(seed: seed ^ 0x4C6F_5241)
    try add("default", configuration: configuration, random: &random)
  }

  /// Adds a pair under an adapter's name, initialised as the configuration says.
  public func add(
    _ name: String, configuration: LoRALinearConfiguration, random: inout Random
  ) throws {
    try configuration.validate()
    let a = configuration.initialization.makeA(
      rank: configuration.rank, inFeatures: inFeatures, random: &random)
    add(
      name,
      LowRankPair(
        a: Parameter(a), b: Parameter(.zeros([outFeatures, configuration.rank])),
        scale: configuration.scale, dropout: configuration.dropout))
  }

  /// Adds a pair with given factors.
  public func add(_ name: String, _ pair: LowRankPair) {
    precondition(
      pair.a.value.shape == [pair.rank, inFeatures]
        && pair.b.value.shape == [outFeatures, pair.rank],
      "LoRALinear(\(inFeatures) → \(outFeatures)): factors of shapes \(pair.a.value.shape) and "
        + "\(pair.b.value.shape)")
    precondition(
      !pairs.contains { $0.name == name }, "LoRALinear: the adapter \"\(name)\" is there already")
    pairs.append((name, pair))
    activeAdapters.insert(name)
  }

  /// Tells this layer's dropout masks from those of the network's other layers.
  package func setDropoutStream(_ index: UInt32) { dropoutStream.index = index }

  public var inFeatures: Int { base.inFeatures }
  public var outFeatures: Int { base.outFeatures }

  public var parameters: [(name: String, parameter: Parameter)] {
    pairs.flatMap { name, pair in
      [("lora_A.\(name).weight", pair.a), ("lora_B.\(name).weight", pair.b)]
    }
  }

  public var children: [ModuleChild] { [ModuleChild("base_layer", base)] }

  public func setTraining(_ isTraining: Bool) {
    self.isTraining = isTraining
    base.setTraining(isTraining)
  }

  public var operand: LinearOperand {
    var operand = base.operand
    for (name, pair) in pairs where activeAdapters.contains(name) {
      let mask = isTraining && pair.dropout > 0 ? dropoutStream.mask(pair.dropout) : nil
      operand.pairs.append(
        LowRankOperand(a: pair.a.tensor, b: pair.b.tensor, scale: pair.scale, dropout: mask))
    }
    return operand
  }
}
