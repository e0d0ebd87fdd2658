// PEFT's ensure_weight_tying: one pair for an embedding and the head that shares its table.
//
//   E' = E + s·(B·A)ᵀ for both: the head's A is the embedding's Bᵀ, its B the embedding's Aᵀ
//
// A file holds both; they are put beside both layers as they are. On a base in bfloat16 PEFT trains
// them apart, and with DoRA each has magnitudes of its own: then the merged tables are two.
// Source: LoraModel._add_targets_to_tie and _add_modules_to_save_to_tie of PEFT 0.21.2.

import LoRAJSON
import LoRANN
import LoRATensor

extension ConfigurationPatterns {
  /// What PEFT looks for to tie: `EMBEDDING_LAYER_NAMES`.
  private static let embeddingNames = ["embed_tokens", "lm_head"]

  /// Whether modules that are trained whole are to be tied; they come before targets.
  var tiesModulesToSave: Bool {
    configuration.ensuresWeightTying
      && configuration.modulesToSave.contains { $0.isEmbeddingName }
  }

  /// Whether the targets name an embedding or a head to be tied.
  func tiesTargets() throws -> Bool {
    guard configuration.ensuresWeightTying, !tiesModulesToSave else { return false }
    switch configuration.targets {
    case .allLinear: return false
    case .names(let names): return names.contains { $0.isEmbeddingName }
    case .pattern: return try Self.embeddingNames.contains { try isTargeted($0) }
    }
  }
}

extension String {
  /// Whether the last part of a path is one of those that PEFT ties.
  fileprivate var isEmbeddingName: Bool {
    isSelected(by: "embed_tokens") || isSelected(by: "lm_head")
  }
}

extension ModuleMap {
  /// The head that shares an embedding's table, and the embedding.
  private var tiedSites: (embedding: ModuleSite, head: ModuleSite)? {
    for (path, owner) in model.tiedModules {
      if let embedding = sites.first(where: { $0.path == owner && $0.embedding != nil }),
        let head = sites.first(where: { $0.path == path && $0.linear != nil })
      {
        return (embedding, head)
      }
    }
    return nil
  }

  /// The layers with a pair for the embedding and for the head, where the configuration ties them.
  func tiedLayers(
    _ layers: [TargetedLayer], _ patterns: ConfigurationPatterns
  ) throws -> [TargetedLayer] {
    guard try patterns.tiesTargets(), let (embedding, head) = tiedSites else { return layers }
    let pair = try patterns.pair(embedding.path)
    var headPair = try patterns.pair(head.path)
    // The head's factors are the embedding's, but PEFT scales them by the head's own alpha and r.
    let r = Float(pair.rank)
    headPair.alpha = headPair.scale * (pair.isRankStabilized ? r.squareRoot() : r)
    headPair.rank = pair.rank
    let others = layers.filter { ![embedding.path, head.path].contains($0.path) }
    let all =
      others + [
        TargetedLayer(site: embedding, pair: pair), TargetedLayer(site: head, pair: headPair),
      ]
    return sites.compactMap { site in all.first { $0.path == site.path } }
  }

  /// The configuration with both of the tied modules trained whole, where it ties them.
  func tiedModulesToSave(
    _ configuration: LoRAConfiguration, _ patterns: ConfigurationPatterns
  ) -> LoRAConfiguration {
    guard patterns.tiesModulesToSave, let (embedding, head) = tiedSites else {
      return configuration
    }
    var result = configuration
    result.modulesToSave.removeAll {
      embedding.path.hasSuffix($0) || head.path.hasSuffix($0)
    }
    result.modulesToSave += [embedding.path, head.path]
    return result
  }

  /// - Throws: `AdapterError` where a configuration ties what would be trained apart.
  func checkTrainable(_ configuration: LoRAConfiguration) throws {
    let patterns = try ConfigurationPatterns(configuration)
    guard tiedSites != nil, try patterns.tiesModulesToSave || patterns.tiesTargets() else { return }
    throw AdapterError(
      message: "ensure_weight_tying: an adapter that is tied is read, scored and merged, not "
        + "trained",
      hint: "set ensure_weight_tying to false: embedding and head then learn apart")
  }

  /// Whether the named adapters change the head just as they change the embedding that it shares its
  /// table with; that embedding.
  func embeddingTied(toHead path: String, _ names: Set<String>) -> LoRAEmbedding? {
    guard let owner = model.tiedModules.first(where: { $0.path == path })?.owner,
      let embedding = sites.first(where: { $0.path == owner })?.adaptedEmbedding,
      let head = sites.first(where: { $0.path == path })?.adapted
    else { return nil }
    let ours = head.pairs.filter { names.contains($0.name) }
    let theirs = embedding.pairs.filter { names.contains($0.name) }
    guard !ours.isEmpty, ours.map(\.name) == theirs.map(\.name),
      zip(ours, theirs).allSatisfy({ $0.pair.isTranspose(of: $1.pair) })
    else { return nil }
    return embedding
  }
}

extension LowRankPair {
  /// Whether this pair's product is the transpose of another's, and nothing else.
  fileprivate func isTranspose(of other: LowRankPair) -> Bool {
    scale == other.scale && bias == nil && magnitude == nil && other.magnitude == nil
      && start == nil && other.start == nil
      && a.value.elements == other.b.value.transposed().elements
      && b.value.elements == other.a.value.transposed().elements
  }
}
