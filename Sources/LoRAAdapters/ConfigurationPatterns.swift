// The patterns of a configuration, compiled, and PEFT's rules for them.

import LoRAJSON
package import LoRANN

/// What a configuration says about a module, by its path.
package struct ConfigurationPatterns {
  let configuration: LoRAConfiguration
  private let target: PathPattern?
  private let exclusion: PathPattern?
  private let wholeModules: [PathPattern]
  private let layerNumbers: [PathPattern]
  let ranks: [(pattern: PathPattern, value: Int)]
  let alphas: [(pattern: PathPattern, value: Float)]

  /// - Throws: `AdapterError` naming the pattern that is none.
  package init(_ configuration: LoRAConfiguration) throws {
    self.configuration = configuration
    var target: PathPattern?
    if case .pattern(let text) = configuration.targets { target = try PathPattern(text) }
    self.target = target
    var exclusion: PathPattern?
    if case .pattern(let text)? = configuration.excluded { exclusion = try PathPattern(text) }
    self.exclusion = exclusion
    wholeModules = try configuration.modulesToSave.map {
      try PathPattern($0, prefix: #"(?:^|.*\.)(?:"#, suffix: #")(?:$|\..*)"#)
    }
    // The lazy .*? finds the first number: the layer's, not that of an expert within it.
    let lists = configuration.layers?.lists ?? []
    layerNumbers =
      lists.isEmpty
      ? [try PathPattern(#".*?\.[^.]*\.(\d+)\."#)]
      : try lists.map { try PathPattern($0, prefix: #"(?:^|.*?\.)(?:"#, suffix: #")\.(\d+)\."#) }
    func ending(_ key: String) throws -> PathPattern {
      try PathPattern(key, prefix: #"(?:.*\.)?(?:"#, suffix: ")")
    }
    ranks = try configuration.rankPattern.entries.map { (try ending($0.key), $0.value) }
    alphas = try configuration.alphaPattern.entries.map { (try ending($0.key), $0.value) }
  }

  /// Whether a module is taken out although a target may name it.
  package func excludes(_ path: String) throws -> Bool {
    switch configuration.excluded {
    case .names(let names): return names.contains { path.isSelected(by: $0) }
    case .pattern: return try exclusion?.matches(path) ?? false
    case nil: return false
    }
  }

  /// Whether a module is one that is trained whole, or lies in one.
  package func isTrainedWhole(_ path: String) throws -> Bool {
    try wholeModules.contains { try $0.matches(path) }
  }

  /// Whether the targets name a module, the choice of layers included. Not for `allLinear`.
  package func isTargeted(_ path: String) throws -> Bool {
    switch configuration.targets {
    case .allLinear: return try isInChosenLayer(path)
    case .pattern: return try target?.matches(path) ?? false
    case .names(let names):
      // A name that is the whole path is meant, whatever its layer.
      if names.contains(path) { return true }
      guard names.contains(where: { path.isSelected(by: $0) }) else { return false }
      return try isInChosenLayer(path)
    }
  }

  private func isInChosenLayer(_ path: String) throws -> Bool {
    guard let layers = configuration.layers else { return true }
    for pattern in layerNumbers {
      guard let number = try pattern.lastGroup(atStartOf: path) else { continue }
      return Int(number).map(layers.indices.contains) ?? false
    }
    return false
  }

  /// What the pair of a module is like: rank and alpha each by the first key that matches.
  package func pair(_ path: String) throws -> LoRALinearConfiguration {
    var pair = configuration.pair
    if let rank = try ranks.first(where: { try $0.pattern.matches(path) }) {
      pair.rank = rank.value
    }
    if let alpha = try alphas.first(where: { try $0.pattern.matches(path) }) {
      pair.alpha = alpha.value
    }
    return pair
  }

  /// Whether a path is matched by two keys of one table, so that their order decides.
  func overlap(in paths: [String]) throws -> Bool {
    func overlap(_ patterns: [PathPattern]) throws -> Bool {
      guard patterns.count > 1 else { return false }
      return try paths.contains { path in
        try patterns.filter { try $0.matches(path) }.count > 1
      }
    }
    return try overlap(ranks.map(\.pattern)) || overlap(alphas.map(\.pattern))
  }

  /// The keys of the two patterns that match none of the paths, with the name of their table.
  func unusedKeys(_ paths: [String]) throws -> [(place: String, text: String)] {
    func unused(_ place: String, _ patterns: [PathPattern]) throws -> [(
      place: String, text: String
    )] {
      try patterns.filter { pattern in
        try !paths.contains { try pattern.matches($0) }
      }.map { (place, $0.text) }
    }
    return try unused("rank_pattern", ranks.map(\.pattern))
      + unused("alpha_pattern", alphas.map(\.pattern))
  }
}
