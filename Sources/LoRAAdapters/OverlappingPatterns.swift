// Files whose patterns lost their order: PEFT writes keys alphabetically, and the first that matches
// decides, so that an adapter with overlapping keys is one that PEFT itself no longer reads.

import LoRAFormats
import LoRAJSON
import LoRANN
import LoRATensor

extension ModuleMap {
  /// Takes the ranks of a file's tensors where keys of `rank_pattern` overlap and the first of them
  /// contradicts the tensors; the configuration gets keys that say so.
  ///
  /// - Returns: a warning where it was so.
  func adoptRanks(
    of file: SafeTensorsFile, _ configuration: inout LoRAConfiguration,
    _ selection: inout TargetSelection
  ) throws -> [String] {
    let patterns = try ConfigurationPatterns(configuration)
    guard try patterns.overlap(in: selection.layers.map(\.path)) else { return [] }
    var changed: [String] = []
    for (index, target) in selection.layers.enumerated() {
      let name = AdapterFile.tensorName(target.path, .a, ofEmbedding: target.isEmbedding)
      guard let rank = file.tensorInfo(name)?.shape.dimensions.first, rank != target.pair.rank,
        let pair = try patterns.pair(target.path, ofRank: rank)
      else { continue }
      selection.layers[index].pair = pair
      changed.append(target.path)
    }
    guard !changed.isEmpty else { return [] }
    let pairs = selection.layers.map { (path: $0.path, pair: $0.pair) }
    configuration.rankPattern = try disjointPattern(
      pairs.map { ($0.path, $0.pair.rank) }, default: configuration.rank)
    let alpha = configuration.alpha ?? Float(configuration.rank)
    configuration.alphaPattern = try disjointPattern(
      pairs.map { ($0.path, $0.pair.alpha ?? alpha) }, default: alpha)
    return [
      "rank_pattern has keys that overlap, in another order than when the adapter was made: the "
        + "tensors' own ranks are used for \(changed.listed())"
    ]
  }
}

extension ConfigurationPatterns {
  /// The pair of a module by the key that gives it this rank; nil where none does.
  func pair(_ path: String, ofRank rank: Int) throws -> LoRALinearConfiguration? {
    guard
      let key = try ranks.first(where: { try $0.value == rank && $0.pattern.matches(path) })
    else { return nil }
    var pair = try pair(path)
    pair.rank = rank
    // The same key in the other table belongs to it.
    if let alpha = alphas.first(where: { $0.pattern.text == key.pattern.text }) {
      pair.alpha = alpha.value
    }
    return pair
  }
}
