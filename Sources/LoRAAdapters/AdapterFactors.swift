// The factors in an adapter's file, matched with the layers they belong to and checked.

import LoRAFormats
import LoRAJSON
import LoRANN
import LoRATensor

/// The factors of every targeted layer, float32, sharing no bytes with the file.
struct AdapterFactors {
  private var tensors: [String: [AdapterFile.Factor: Tensor]] = [:]

  /// Takes every tensor out of the file.
  ///
  /// - Throws: `AdapterError` with the first few tensors that do not correspond to the targeted
  ///   layers, or the first value that is not finite.
  init(
    file: SafeTensorsFile, selection: TargetSelection, map: ModuleMap
  ) throws {
    var matching = AdapterMatching(file: file, selection: selection, map: map)
    try matching.check()
    for target in selection.layers {
      for factor in AdapterFile.Factor.all(of: target.pair) {
        tensors[target.path, default: [:]][factor] = try Self.tensor(
          matching.tensorName(target.path, factor), in: file)
      }
    }
  }

  /// The pair of a layer.
  func pair(of target: TargetedLayer, isTrainable: Bool) -> LowRankPair? {
    guard let found = tensors[target.path], let a = found[.a], let b = found[.b] else { return nil }
    func parameter(_ tensor: Tensor) -> Parameter { Parameter(tensor, isTrainable: isTrainable) }
    return LowRankPair(
      a: parameter(a), b: parameter(b), scale: target.pair.scale,
      dropout: isTrainable ? target.pair.dropout : 0, bias: found[.bias].map(parameter),
      magnitude: found[.magnitude].map(parameter))
  }

  static func tensor(_ name: String, in file: SafeTensorsFile) throws -> Tensor {
    let stored = try file.bytes(of: name)
    // A copy always: training changes factors in place, and the file is mapped read-only.
    let mapped = Tensor(
      storage: stored.storage, byteOffset: stored.byteOffset, shape: stored.shape,
      dtype: stored.dtype)
    let values = mapped.dtype == .float32 ? mapped.copied() : mapped.converted(to: .float32)
    if let (index, value) = values.firstNotFinite {
      throw AdapterError(
        file: file.path, message: "the tensor \(name) has the value \(value) at \(index)",
        hint: "the adapter is broken, its training probably diverged: use another checkpoint")
    }
    return values
  }
}

/// Finds the tensor of each factor of the targeted layers, and what does not fit.
private struct AdapterMatching {
  private struct Problem {
    let text: String
    let hint: String
  }

  private let file: SafeTensorsFile
  private let selection: TargetSelection
  private let map: ModuleMap
  private var found: [String: [AdapterFile.Factor: String]] = [:]
  private var problems: [Problem] = []
  private var problemCount = 0
  private static let shownProblems = 3

  init(file: SafeTensorsFile, selection: TargetSelection, map: ModuleMap) {
    self.file = file
    self.selection = selection
    self.map = map
  }

  /// The tensor in the file that holds a factor; after `check()` there is one.
  func tensorName(_ path: String, _ factor: AdapterFile.Factor) -> String {
    found[path]?[factor] ?? AdapterFile.tensorName(path, factor)
  }

  mutating func check() throws {
    let sites = Dictionary(
      map.sites.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
    let targeted = Dictionary(
      selection.layers.map { ($0.path, $0.pair) }, uniquingKeysWith: { first, _ in first })
    for info in file.tensors { check(info, sites: sites, pairs: targeted) }
    for target in selection.layers { checkComplete(target) }
    guard let first = problems.first else { return }
    var text = problems.map(\.text).joined(separator: "; ")
    if problemCount > problems.count { text += "; and \(problemCount - problems.count) more" }
    if problemCount > 1 { text = "\(problemCount) faults: " + text }
    throw AdapterError(file: file.path, message: text, hint: first.hint)
  }

  private mutating func report(_ text: @autoclosure () -> String, _ hint: @autoclosure () -> String)
  {
    problemCount += 1
    // Texts are only made for those shown: finding the nearest path takes time.
    if problems.count < Self.shownProblems { problems.append(Problem(text: text(), hint: hint())) }
  }

  private mutating func check(
    _ info: SafeTensorsInfo, sites: [String: ModuleSite], pairs: [String: LoRALinearConfiguration]
  ) {
    let shown = "the tensor \(info.name.shortened)"
    guard let (path, factor) = AdapterFile.parse(info.name) else {
      report(
        "\(shown) \(AdapterFile.refusal(of: info.name))",
        "save the adapter with PEFT as plain LoRA on linear layers")
      return
    }
    guard let site = sites[path] else {
      let near = path.nearest(in: map.adaptable.map(\.path))
      report(
        "\(shown) is for a module that the model does not have",
        (near.map { "the nearest is \($0); " } ?? "") + "was the adapter made for another model?")
      return
    }
    guard let pair = pairs[path], let layer = site.linear else {
      report(
        "\(shown) is for a layer that target_modules does not name",
        "add the layer to target_modules, or save the adapter again")
      return
    }
    guard AdapterFile.Factor.all(of: pair).contains(factor) else {
      let (feature, key) =
        factor == .magnitude ? ("belongs to DoRA", "use_dora") : ("is a bias of B", "lora_bias")
      report(
        "\(shown) \(feature), but \(key) is not set",
        "write true for \(key) in adapter_config.json, or save the adapter again")
      return
    }
    if let other = found[path]?[factor] {
      report("\(shown) and \(other.shortened) are the same factor", "remove one of them")
      return
    }
    found[path, default: [:]][factor] = info.name
    let rank = pair.rank
    let expected = factor.shape(
      rank: rank, inFeatures: layer.inFeatures, outFeatures: layer.outFeatures)
    let isTransposed = info.shape.dimensions == expected.dimensions.reversed()
    guard info.shape == expected else {
      report(
        "\(shown) has the shape \(info.shape), expected \(expected)",
        isTransposed
          ? "the factor is transposed: PEFT's A is (r, in) and its B (out, r)"
          : "r is \(rank), and the layer maps \(layer.inFeatures) to \(layer.outFeatures) features")
      return
    }
    guard [.float32, .float16, .bfloat16].contains(info.type) else {
      report(
        "\(shown) is stored as \(info.type.rawValue), expected F32, BF16 or F16",
        "convert the adapter to F32")
      return
    }
  }

  private mutating func checkComplete(_ target: TargetedLayer) {
    let missing = AdapterFile.Factor.all(of: target.pair).filter { found[target.path]?[$0] == nil }
    guard !missing.isEmpty else { return }
    let names = missing.map { AdapterFile.tensorName(target.path, $0) }
    report(
      "the tensor\(names.count > 1 ? "s" : "") \(names.joined(separator: " and ")) "
        + (names.count > 1 ? "are" : "is") + " missing",
      "target_modules names the layer: the file is not complete, or was made for another model")
  }
}
