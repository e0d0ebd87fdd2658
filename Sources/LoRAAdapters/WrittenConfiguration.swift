// The configuration as it is written for an adapter: it selects exactly the adapted layers, with the
// ranks and scales that they have, in PEFT's reading of it.

import LoRAJSON
import LoRANN

extension ModuleMap {
  /// The configuration to write for the pairs of an adapter.
  ///
  /// `all-linear` becomes a list of names, since readers differ in what it means. Patterns with keys
  /// that overlap become disjoint ones: PEFT writes and reads them in alphabetical order, and the
  /// first that matches decides.
  /// - Throws: `AdapterError` where the adapter is one of another configuration.
  func written(
    _ configuration: LoRAConfiguration, pairs: [(path: String, pair: LowRankPair)]
  ) throws -> LoRAConfiguration {
    let paths = pairs.map(\.path)
    let selected = try select(configuration).layers
    guard selected.map(\.path) == paths else {
      let different = Set(selected.map(\.path)).symmetricDifference(paths)
      throw AdapterError(
        message: "the configuration's targets and the adapter differ at "
          + sites.map(\.path).filter { different.contains($0) }.listed(),
        hint: "save an adapter with the configuration it was added or loaded with")
    }
    for (target, (path, pair)) in zip(selected, pairs) {
      guard pair.rank == target.pair.rank, pair.scale == target.pair.scale else {
        throw AdapterError(
          message: "the pair at \(path) has rank \(pair.rank) and scale \(pair.scale), the "
            + "configuration rank \(target.pair.rank) and scale \(target.pair.scale)",
          hint: "save an adapter with the configuration it was added or loaded with")
      }
    }
    var result = configuration
    if configuration.targets == .allLinear {
      result.targets = .names(try names(selecting: paths))
      // The names say it all; PEFT warns of exclusions that exclude nothing.
      result.excluded = nil
      result.layers = nil
    }
    // A file always states an alpha; unset, it is the rank of each pair.
    let alpha = configuration.alpha ?? Float(configuration.rank)
    result.alpha = alpha
    let needsAlphas = configuration.alpha == nil && !configuration.rankPattern.isEmpty
    if try needsAlphas || ConfigurationPatterns(configuration).overlap(in: paths) {
      result.rankPattern = try disjointPattern(
        selected.map { ($0.path, $0.pair.rank) }, default: configuration.rank)
      result.alphaPattern = try disjointPattern(
        selected.map { ($0.path, $0.pair.alpha ?? Float($0.pair.rank)) }, default: alpha)
    }
    return configuration.initialization.movesBase ? result.asPlainDifference : result
  }

  /// Keys of which no two match the same layer, for the layers whose value is not the default.
  func disjointPattern<Value>(
    _ values: [(path: String, value: Value)], default usual: Value
  ) throws -> ModulePatterns<Value> {
    var entries: [(String, Value)] = []
    var done = Set<Value>([usual])
    for (_, value) in values where done.insert(value).inserted {
      let names = try names(selecting: values.filter { $0.value == value }.map(\.path))
      entries += names.map { ($0.escapedForPattern, value) }
    }
    return ModulePatterns(entries)
  }
}

extension LoRAConfiguration {
  /// The configuration of the pairs [A; A₀], [B, −B₀] of twice the rank, whose scale is the same.
  fileprivate var asPlainDifference: LoRAConfiguration {
    let factor: Float = isRankStabilized ? Float(2).squareRoot() : 2
    var result = self
    result.rank *= 2
    result.alpha = alpha.map { $0 * factor }
    result.rankPattern = ModulePatterns(rankPattern.entries.map { ($0.key, $0.value * 2) })
    result.alphaPattern = ModulePatterns(alphaPattern.entries.map { ($0.key, $0.value * factor) })
    result.initialization = .kaimingUniform
    return result
  }
}
