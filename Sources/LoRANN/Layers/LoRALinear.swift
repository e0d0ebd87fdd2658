// LoRA: a linear layer with frozen weights and a trainable low-rank path beside it.
//
//   y = x·Wᵀ + b + s·B(A(dropout(x)))        x [..., in] → y [..., out]
//
// W (out, in) and b (out) stay as they are; A (r, in) and B (out, r) are trained. B starts at 0, so
// a new layer computes exactly what the plain one computes. Dropout acts on the input of A alone.
// The products and their gradients are one fused operation: see LoRATensor/Ops/Linear.swift.
// Variants (DoRA, PiSSA, a bias of B) are what a pair makes of itself: see LowRankPair.swift.
// Source: Hu et al. 2021 (arXiv 2106.09685); the textbook's class LoRALinear(nn.Linear).

public import LoRATensor

/// A linear layer (any: dense, quantised) with named low-rank paths.
public final class LoRALinear: LinearLayer {
  /// The frozen layer.
  public let base: any LinearLayer
  /// The low-rank paths by the name of their adapter, in the order they were added.
  public private(set) var pairs: [(name: String, pair: LowRankPair)] = []
  /// The adapters that take part; all that were added, unless changed.
  public var activeAdapters: Set<String> = []
  /// Whether any adapter takes part: false leaves the base alone, whatever is active.
  public var isEnabled = true

  /// A weight that holds some of the adapters, in the base's place; see LoRALinear+Merging.swift.
  package var merged: MergedWeight?

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
    add(name, try LowRankPair(configuration, beside: base, random: &random))
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

  /// The layer with the same pairs beside another base of the same sides.
  package func rebased(on base: any LinearLayer) -> LoRALinear {
    let layer = LoRALinear(base: base)
    for (name, pair) in pairs { layer.add(name, pair) }
    layer.activeAdapters = activeAdapters
    layer.isEnabled = isEnabled
    return layer
  }

  /// Takes an adapter's pair away.
  public func remove(_ name: String) {
    pairs.removeAll { $0.name == name }
    activeAdapters.remove(name)
    if merged?.adapters.contains(name) == true { merged = nil }
  }

  /// Gives an adapter's pair another name, which no other pair has.
  public func rename(_ name: String, to newName: String) {
    guard let index = pairs.firstIndex(where: { $0.name == name }), name != newName else { return }
    precondition(
      !pairs.contains { $0.name == newName },
      "LoRALinear: the adapter \"\(newName)\" is there already")
    pairs[index].name = newName
    merged?.rename(name, to: newName)
    if activeAdapters.remove(name) != nil { activeAdapters.insert(newName) }
  }

  /// Tells this layer's dropout masks from those of the network's other layers.
  package func setDropoutStream(_ index: UInt32) { dropoutStream.index = index }

  public var inFeatures: Int { base.inFeatures }
  public var outFeatures: Int { base.outFeatures }

  public var parameters: [(name: String, parameter: Parameter)] {
    pairs.flatMap { name, pair in pair.parameters(of: name) }
  }

  public var children: [ModuleChild] { [ModuleChild("base_layer", base)] }

  public var operand: LinearOperand {
    var operand = base.operand
    let merged = usableMerged
    if let merged { (operand.weight, operand.bias) = (merged.weight, merged.bias) }
    for (name, pair) in pairs where merged?.adapters.contains(name) != true {
      let isActive = isEnabled && activeAdapters.contains(name)
      let rows = PassContext.rows(of: name, isActive: isActive)
      guard rows != .none else { continue }
      pair.extend(
        &operand, weight: base.operand.weight, dropout: dropoutStream.mask(pair.dropout),
        rows: rows.ranges)
    }
    return operand
  }
}
