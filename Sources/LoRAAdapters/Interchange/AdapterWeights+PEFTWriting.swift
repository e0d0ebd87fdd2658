// Writes adapters as PEFT folders: as they are, or portable, for readers that know r and alpha only.

import LoRAFormats
import LoRAJSON
import LoRATensor

extension AdapterWeights {
  /// The adapter as PEFT's folder, ready to be written.
  ///
  /// - Parameters:
  ///   - layout: the modules of the base, where it is known: then targets are short names.
  ///   - dtype: the type of the numbers; nil: the types that they have.
  func peft(
    layout: LlamaLayout?, dtype: DType? = nil
  ) throws -> (writer: SafeTensorsWriter, configuration: String, report: FoldingReport) {
    try refuse(beyond: [.magnitude], target: "PEFT's files, written anew,", hint: Self.mergeHint)
    var adapter = self
    var report = FoldingReport()
    try adapter.round(to: dtype, &report)
    let rank = Int(mostCommon { Double($0.rank) } ?? 1)
    let alpha = Float(mostCommon { Double(Float($0.scale * Double($0.rank))) } ?? 0)
    var result = LoRAConfiguration(
      rank: rank, alpha: alpha, dropout: dropout, targets: .names(targetNames(layout)),
      baseModel: baseModel)
    result.rankPattern = ModulePatterns(
      modules.filter { $0.rank != rank }.map { ("^" + $0.path.escapedForPattern, $0.rank) })
    result.alphaPattern = ModulePatterns(
      modules.compactMap { module in
        let own = Float(module.scale * Double(module.rank))
        return own == alpha ? nil : ("^" + module.path.escapedForPattern, own)
      })
    result.usesDoRA = modules.contains { $0.magnitude != nil }
    if result.usesDoRA, let plain = modules.first(where: { $0.magnitude == nil }) {
      throw failure(
        "the pair of \(plain.path) has no DoRA magnitude, others have", "convert the whole adapter")
    }
    return (adapter.tensors, PEFTConfiguration.text(of: result), report)
  }

  /// The adapter as PEFT's folder with alpha = r and nothing else that a reader could miss.
  func portable(
    layout: LlamaLayout?, dtype: DType? = nil
  ) throws -> (writer: SafeTensorsWriter, configuration: String, report: FoldingReport) {
    try refuse(
      beyond: [], target: "a portable adapter",
      because: "vLLM and other readers refuse or skip them", hint: Self.mergeHint)
    var adapter = self
    var report = FoldingReport()
    try adapter.fold(&report) { _ in 1 }
    adapter.pad(toRank: largestRank, &report)
    try adapter.round(to: dtype, &report)
    let configuration = LoRAConfiguration(
      rank: largestRank, alpha: Float(largestRank), dropout: dropout,
      targets: .names(targetNames(layout)), baseModel: baseModel)
    return (adapter.tensors, PEFTConfiguration.text(of: configuration), report)
  }

  /// The strings of the file of tensors.
  var metadata: [(key: String, value: String)] {
    [("format", "pt")] + (baseIdentity.map { [(AdapterFile.baseIdentityKey, $0)] } ?? [])
  }

  private var tensors: SafeTensorsWriter {
    var writer = SafeTensorsWriter(metadata: metadata)
    for module in modules {
      func name(_ factor: AdapterFile.Factor) -> String {
        AdapterFile.tensorName(module.path, factor, ofEmbedding: module.isEmbedding)
      }
      writer.add(name(.a), StoredTensor(module.a))
      writer.add(name(.b), StoredTensor(module.b))
      if let magnitude = module.magnitude {
        writer.add(name(.magnitude), StoredTensor(magnitude))
      }
    }
    return writer
  }

  /// Names that select exactly the adapted layers: the last parts of paths where that is certain,
  /// else whole paths.
  private func targetNames(_ layout: LlamaLayout?) -> [String] {
    if let layout {
      let adapted = Set(modules.map(\.path))
      let others = layout.sites.map(\.path).filter { !adapted.contains($0) }
      return modules.reduce(into: [String]()) { names, module in
        guard !names.contains(where: { module.path.isSelected(by: $0) }) else { return }
        let short = String(module.path.split(separator: ".").last ?? "")
        names.append(others.contains { $0.isSelected(by: short) } ? module.path : short)
      }
    }
    if let configuration, configuration.layers == nil, configuration.excluded == nil,
      !configuration.ensuresWeightTying,
      case .names(let names) = configuration.targets
    {
      return names
    }
    return modules.map(\.path)
  }

  static let mergeHint = "merge the adapter into its model with lora merge instead"

  /// - Throws: `AdapterError` where the adapter has more than pairs and the given parts.
  func refuse(
    beyond parts: Set<PairPart>, target: String, because reason: String? = nil, hint: String
  ) throws {
    let cannot = "\(target) cannot hold" + (reason.map { ": \($0)" } ?? "")
    if !parts.contains(.magnitude), let module = modules.first(where: { $0.magnitude != nil }) {
      throw failure(
        "the adapter is DoRA's (\(module.path) has a magnitude), which \(cannot)", hint)
    }
    // A copy of a base weight changes nothing; PEFT adds it where an embedding is adapted.
    let trained = extras.filter { !$0.isCopy }
    guard let first = trained.first else { return }
    throw failure(
      "the tensor \(first.name.shortened) is \(first.role)"
        + (trained.count > 1 ? ", and there are \(trained.count - 1) more," : ",")
        + " which \(cannot)", hint)
  }
}
