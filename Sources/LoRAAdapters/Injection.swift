// Puts an adapter into a model: low-rank pairs beside its linear layers, everything else frozen.

import LoRAJSON
public import LoRANN
import LoRATensor

/// What an adapter put into a model.
public struct AdapterSummary: Sendable, Hashable {
  /// The paths of the adapted layers, in the order of the model.
  public let modulePaths: [String]
  /// The number of numbers in the adapter's factors.
  public let parameterCount: Int
  /// The number of them that training changes.
  public let trainableParameterCount: Int
  /// What is allowed but hardly meant.
  public let warnings: [String]
}

extension Module {
  /// Puts low-rank pairs named `name` beside every targeted linear layer, and freezes the rest.
  ///
  /// B starts at 0, so the model computes what it did before, bit for bit. A is drawn layer by layer
  /// in the order of the model: the same seed gives the same adapter. A layer that has pairs of
  /// another adapter keeps them, frozen.
  /// - Throws: `LoRAConfigurationError`; `AdapterError` for a name that is taken or a target that
  ///   matches nothing. The model is then as before.
  @discardableResult
  public func addAdapter(
    _ name: String, _ configuration: LoRAConfiguration, seed: UInt64
  ) throws -> AdapterSummary {
    try configuration.validate()
    let map = ModuleMap(self)
    try map.checkNewName(name)
    try map.checkTrainable(configuration)
    let selection = try map.select(configuration)
    guard selection.unmatched.isEmpty else { throw map.noMatch(selection.unmatched) }

    var random = Random(seed: seed)
    let pairs = try selection.layers.map { try $0.makePair(random: &random) }
    let isEnabled = areAdaptersEnabled
    freeze()
    for (target, pair) in zip(selection.layers, pairs) {
      if let pair { target.site.put(name, pair, isEnabled: isEnabled) }
    }
    for trained in selection.parameters {
      trained.parameter.replace(name, by: Parameter(trained.parameter.value.unshared))
    }
    for rows in selection.rows { rows.put(name, Parameter(rows.initial)) }
    ModuleMap(self).numberDropoutStreams()
    return summary(of: name, warnings: selection.warnings)
  }

  /// The pairs of an adapter with the paths of their layers, in the order of the model; none where
  /// the model has no such adapter.
  public func adapterPairs(_ name: String) -> [(path: String, pair: LowRankPair)] {
    ModuleMap(self).pairs(of: name)
  }

  func summary(of name: String, warnings: [String]) -> AdapterSummary {
    let map = ModuleMap(self)
    let parameters = map.parameters(of: name)
    return AdapterSummary(
      modulePaths: map.pairs(of: name).map(\.path),
      parameterCount: parameters.reduce(0) { $0 + $1.value.count },
      trainableParameterCount: parameters.reduce(0) { $0 + ($1.isTrainable ? $1.value.count : 0) },
      warnings: warnings)
  }
}

extension TargetedLayer {
  /// A new pair beside the layer's base.
  fileprivate func makePair(random: inout Random) throws -> LowRankPair? {
    if let embedding = site.embedding {
      return try LowRankPair(pair, besideEmbedding: embedding, random: &random)
    }
    guard let base = site.adapted?.base ?? site.linear else { return nil }
    do {
      return try LowRankPair(pair, beside: base, random: &random)
    } catch let error as LinearAlgebraError {
      throw AdapterError(message: "\(path): \(error.message)", hint: error.hint)
    }
  }
}

extension TargetSelection {
  /// The warnings of the layers, each kind once.
  fileprivate var warnings: [String] {
    var paths: [String: [String]] = [:]
    var order: [String] = []
    for target in layers {
      guard let sides = target.site.pairSides else { continue }
      for warning in target.pair.warnings(inFeatures: sides.in, outFeatures: sides.out) {
        if paths[warning] == nil { order.append(warning) }
        paths[warning, default: []].append(target.path)
      }
    }
    return order.map { (paths[$0] ?? []).listed(atMost: 1) + ": " + $0 }
  }
}
