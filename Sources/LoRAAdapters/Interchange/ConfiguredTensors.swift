// What a configuration makes of the tensors in PEFT's file where there is no model to put them into:
// the rule of AdapterMatching, told from names alone.

import LoRAFormats
import LoRAJSON
import LoRANN
import LoRATensor

/// The tensors of a file by what they are, and everything that does not fit.
struct ConfiguredTensors {
  /// The parts of pairs.
  private(set) var parts: [(name: String, path: String, part: PairPart, isEmbedding: Bool)] = []
  /// Everything else.
  private(set) var extras: [AdapterWeights.Extra] = []
  private(set) var warnings: [String] = []

  private let configuration: LoRAConfiguration
  private let patterns: ConfigurationPatterns
  private let file: SafeTensorsFile
  private let layout: LlamaLayout?
  private var found: [String: Set<AdapterFile.Factor>] = [:]
  /// Whether a layer is an embedding, by its factors.
  private var kinds: [String: Bool] = [:]
  private var faults = TensorFaults()

  static let baseCopy = "a copy of a base weight"

  init(
    _ configuration: LoRAConfiguration, file: SafeTensorsFile, layout: LlamaLayout?
  ) throws {
    self.configuration = configuration
    patterns = try ConfigurationPatterns(configuration)
    self.file = file
    self.layout = layout
  }

  /// - Throws: `AdapterError` with the first few tensors that the configuration does not account for,
  ///   or that it names and the file lacks.
  mutating func check() throws {
    for info in file.tensors { try check(info) }
    for path in try expectedLayers() {
      let isEmbedding = layout?.site(path: path)?.isEmbedding ?? kinds[path] ?? false
      let missing = factors.filter { !(found[path] ?? []).contains($0) }
      faults.reportMissing(
        missing.map { AdapterFile.tensorName(path, $0, ofEmbedding: isEmbedding) },
        TensorFault.layerIsNamed)
    }
    checkTokens()
    checkModules()
    try faults.check(file.path)
    warnUnmatched()
  }

  private var factors: [AdapterFile.Factor] {
    [.a, .b] + (configuration.hasBiasOfB ? [.bias] : [])
      + (configuration.usesDoRA ? [.magnitude] : [])
  }

  private mutating func check(_ info: SafeTensorsInfo) throws {
    let name = info.name
    if let (path, factor) = AdapterFile.parse(name) {
      return try check(info, path, factor)
    }
    if let original = AdapterFile.original(of: name, in: file) {
      guard try AdapterFile.areSame(name, original, in: file) else {
        return faults.report(.differsFrom(original), of: name)
      }
      return add(info, "a copy of \(original)", isCopy: true)
    }
    guard name.hasPrefix(AdapterFile.prefix) else { return faults.report(.unknown, of: name) }
    let path = String(name.dropFirst(AdapterFile.prefix.count))
    if let module = path.without(".token_adapter.trainable_tokens_delta") {
      guard let tokens = configuration.trainedTokens.first(where: { $0.names(module) }) else {
        return faults.report(.unknown, of: name)
      }
      add(info, "trained tokens")
      let width = info.shape.lastDimension
      return checkShape(info, [tokens.indices.count, width]) {
        "the configuration names \(tokens.indices.count) tokens, each has \(width) numbers"
      }
    }
    if path.isIn(configuration.modulesToSave)
      || patterns.tiesModulesToSave && path.isIn(["embed_tokens", "lm_head"])
    {
      add(info, "a fully trained module (modules_to_save)")
      guard let site = layout?.site(path: path.without(".weight") ?? "") else { return }
      let (inputs, outputs) = (site.inFeatures, site.outFeatures)
      return checkShape(info, site.isEmbedding ? [inputs, outputs] : [outputs, inputs]) {
        "the adapter was made for a model of another size"
      }
    }
    if let module = path.without(".bias"), configuration.biases != .none,
      try isTrainedBias(module)
    {
      return add(info, "a trained bias")
    }
    if AdapterFile.copiedModule(name) != nil { return add(info, Self.baseCopy, isCopy: true) }
    faults.report(.unknown, of: name)
  }

  private mutating func check(
    _ info: SafeTensorsInfo, _ path: String, _ factor: AdapterFile.Factor
  ) throws {
    let name = info.name
    let isEmbedding = name.contains(".lora_embedding_")
    if let layout, layout.site(path: path) == nil {
      return faults.report(
        "the tensor \(name.shortened) is for a module that the model does not have",
        (path.nearest(in: layout.sites.map(\.path)).map { "the nearest is \($0); " } ?? "")
          + "was the adapter made for another model?")
    }
    guard try isNamed(path) else { return faults.report(.unnamedLayer, of: name) }
    if factor == .a || factor == .b {
      // An embedding's factors and a linear layer's do not go together.
      let kind = layout?.site(path: path)?.isEmbedding ?? kinds[path] ?? isEmbedding
      guard kind == isEmbedding else { return faults.report(.wrongKind, of: name) }
      kinds[path] = kind
    }
    guard found[path, default: []].insert(factor).inserted else {
      let other = parts.first { $0.path == path && $0.part == factor.pairPart }?.name ?? path
      return faults.report(
        "the tensor \(name.shortened) and \(other.shortened) are the same part",
        "remove one of them")
    }
    switch factor {
    case .a, .b: break
    case .magnitude:
      guard configuration.usesDoRA else { return faults.report(.magnitudeWithoutDoRA, of: name) }
    case .bias:
      guard configuration.hasBiasOfB else {
        return faults.report(.biasOfBWithoutSetting, of: name)
      }
    }
    if let part = factor.pairPart {
      parts.append((name, path, part, isEmbedding))
    } else {
      add(info, "a bias of B (lora_bias)")
    }
  }

  private mutating func checkShape(
    _ info: SafeTensorsInfo, _ expected: Shape, _ hint: () -> String
  ) {
    guard info.shape != expected else { return }
    faults.report(
      "the tensor \(info.name.shortened) has the shape \(info.shape), expected \(expected)", hint())
  }

  private mutating func add(_ info: SafeTensorsInfo, _ role: String, isCopy: Bool = false) {
    extras.append(
      AdapterWeights.Extra(name: info.name, role: role, count: info.shape.count, isCopy: isCopy))
  }

  /// Whether the configuration gives the layer at a path a pair.
  private func isNamed(_ path: String) throws -> Bool {
    if layout?.tiesEmbeddings ?? true,
      path.isSelected(by: "lm_head") || path.isSelected(by: "embed_tokens"),
      try patterns.tiesTargets()
    {
      return true
    }
    if configuration.targets == .allLinear,
      path.isSelected(by: "lm_head") || path.isSelected(by: "embed_tokens")
    {
      return false
    }
    return try patterns.isTargeted(path) && !patterns.excludes(path)
      && !patterns.isTrainedWhole(path)
  }

  /// The layers of which the file must hold everything: the base's that are named, or, where it is not
  /// known, those that the file has something of.
  private func expectedLayers() throws -> [String] {
    guard let layout else { return found.keys.sorted { $0.precedesInStack($1) } }
    return try layout.sites.map(\.path).filter { try isNamed($0) }
  }

  private func isTrainedBias(_ module: String) throws -> Bool {
    if let layer = module.without(".base_layer") { return try isNamed(layer) }
    return try configuration.biases == .all && !isNamed(module)
  }

  private mutating func checkTokens() {
    for tokens in configuration.trainedTokens
    where !extras.contains(where: {
      $0.role == "trained tokens"
        && tokens.names(
          String($0.name.dropFirst(AdapterFile.prefix.count)).without(
            ".token_adapter.trainable_tokens_delta") ?? "")
    }) {
      let module = tokens.module ?? "embed_tokens"
      let path = layout?.sites.map(\.path).first { $0.isSelected(by: module) } ?? "…" + module
      faults.reportMissing([AdapterFile.tensorName(ofTokens: path)], TensorFault.tokensAreNamed)
    }
  }

  /// The modules of a known base that are trained whole, of which the file must have the weight.
  private mutating func checkModules() {
    for site in layout?.sites ?? []
    where configuration.modulesToSave.contains(where: { site.path.hasSuffix($0) }) {
      let name = AdapterFile.tensorName(ofParameter: site.path + ".weight")
      guard !extras.contains(where: { $0.name == name }) else { continue }
      faults.reportMissing([name], TensorFault.isTrained)
    }
  }

  /// Names that the file holds nothing of; whether the base has such modules is not known.
  private mutating func warnUnmatched() {
    if case .names(let names) = configuration.targets {
      for name in names where !found.keys.contains(where: { $0.isSelected(by: name) }) {
        warnings.append(
          "target_modules names \"\(name.shortened)\", of which the file holds nothing")
      }
    }
    let trained = extras.map { String($0.name.dropFirst(AdapterFile.prefix.count)) }
    for name in configuration.modulesToSave
    where !trained.contains(where: { $0.isIn([name]) }) {
      warnings.append(
        "modules_to_save names \"\(name.shortened)\", of which the file holds nothing")
    }
  }
}

extension AdapterFile.Factor {
  fileprivate var pairPart: PairPart? {
    switch self {
    case .a: .a
    case .b: .b
    case .magnitude: .magnitude
    case .bias: nil
    }
  }
}

extension TrainedTokens {
  fileprivate func names(_ path: String) -> Bool { path.isSelected(by: module ?? "embed_tokens") }
}

extension String {
  /// The text before an ending that it has.
  fileprivate func without(_ ending: String) -> String? {
    hasSuffix(ending) ? String(dropLast(ending.count)) : nil
  }

  /// Whether this parameter's path leads through a module whose path ends in one of the names: PEFT's
  /// rule for modules_to_save, dot or no dot before the name.
  fileprivate func isIn(_ names: [String]) -> Bool {
    var module = Substring(self)
    while let dot = module.lastIndex(of: ".") {
      module = module[..<dot]
      if names.contains(where: { module.hasSuffix($0) }) { return true }
    }
    return false
  }
}
