// Finds the tensor of each part of an adapter in its file, and everything that does not fit.

import LoRAFormats
import LoRAJSON
import LoRANN
import LoRATensor

/// The match of a file's tensors with what a configuration selects in a model.
struct AdapterMatching {
  private let file: SafeTensorsFile
  private let selection: TargetSelection
  private let map: ModuleMap
  private let layers: [String: TargetedLayer]
  private let expected: [AdapterTensor: Shape]
  private let names: [String: AdapterTensor]
  private var found: [AdapterTensor: String] = [:]
  private var faults = TensorFaults()

  /// Copies of base weights, with the model's own.
  private(set) var baseCopies: [BaseCopy] = []
  /// Tensors that say what others in the file say.
  private(set) var repetitions: [String] = []

  init(file: SafeTensorsFile, selection: TargetSelection, map: ModuleMap) {
    self.file = file
    self.selection = selection
    self.map = map
    layers = Dictionary(
      selection.layers.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
    var expected: [AdapterTensor: Shape] = [:]
    for target in selection.layers {
      for factor in target.factors {
        expected[.factor(target.path, factor)] = target.shape(of: factor)
      }
    }
    for trained in selection.parameters {
      expected[.parameter(trained.savedPath)] = trained.parameter.value.shape
    }
    for rows in selection.rows {
      expected[.tokens(rows.site.path)] = [rows.indices.count, rows.embedding.width]
    }
    self.expected = expected
    names = Dictionary(
      expected.keys.map { ($0.name(in: selection), $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The tensor in the file that holds a part; after `check()` there is one.
  func tensorName(_ tensor: AdapterTensor) -> String { found[tensor] ?? tensor.name(in: selection) }

  mutating func check() throws {
    let sites = Dictionary(
      map.sites.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
    for info in file.tensors { try check(info, sites: sites) }
    for target in selection.layers {
      reportMissing(target.factors.map { .factor(target.path, $0) }, TensorFault.layerIsNamed)
    }
    for trained in selection.parameters {
      reportMissing([.parameter(trained.savedPath)], TensorFault.isTrained)
    }
    for rows in selection.rows {
      reportMissing([.tokens(rows.site.path)], TensorFault.tokensAreNamed)
    }
    try faults.check(file.path)
  }

  private mutating func check(_ info: SafeTensorsInfo, sites: [String: ModuleSite]) throws {
    let shown = "the tensor \(info.name.shortened)"
    guard let tensor = part(info.name) else { return try checkUnexpected(info, sites: sites) }
    if let other = found[tensor] {
      faults.report("\(shown) and \(other.shortened) are the same part", "remove one of them")
      return
    }
    found[tensor] = info.name
    guard let shape = expected[tensor] else { return }
    let isTransposed = info.shape.rank == 2 && info.shape.dimensions == shape.dimensions.reversed()
    guard info.shape == shape else {
      let hint = shapeHint(tensor)
      faults.report(
        "\(shown) has the shape \(info.shape), expected \(shape)",
        isTransposed
          ? "the tensor is transposed: PEFT's A is (r, in) and its B (out, r)"
          : hint)
      return
    }
    guard [.float32, .float16, .bfloat16].contains(info.type) else {
      faults.report(
        "\(shown) is stored as \(info.type.rawValue), expected F32, BF16 or F16",
        "convert the adapter to F32")
      return
    }
  }

  /// The part that a tensor's name states, if the adapter has it.
  private func part(_ name: String) -> AdapterTensor? {
    if let tensor = names[name] { return tensor }
    guard let (path, factor) = AdapterFile.parse(name) else { return nil }
    let tensor = AdapterTensor.factor(path, factor)
    guard expected[tensor] != nil else { return nil }
    // The same name but for what PEFT's memory adds, so the same kind of layer.
    var plain = name.replacing(".default", with: "")
    if factor == .magnitude { plain = plain.replacing(".weight", with: "") }
    return plain == tensor.name(in: selection) ? tensor : nil
  }

  private func shapeHint(_ tensor: AdapterTensor) -> String {
    if case .tokens = tensor, let shape = expected[tensor] {
      return "the configuration names \(shape[0]) tokens, each has \(shape[1]) numbers"
    }
    guard case .factor(let path, _) = tensor, let target = layers[path],
      let sides = target.site.pairSides
    else { return "the adapter was made for a model of another size" }
    return "r is \(target.pair.rank), and the layer maps \(sides.in) to \(sides.out) features"
  }

  private mutating func checkUnexpected(
    _ info: SafeTensorsInfo, sites: [String: ModuleSite]
  ) throws {
    if let original = AdapterFile.original(of: info.name, in: file) {
      guard try AdapterFile.areSame(info.name, original, in: file) else {
        return faults.report(.differsFrom(original), of: info.name)
      }
      return repetitions.append(info.name)
    }
    if let path = AdapterFile.copiedModule(info.name), let weight = sites[path]?.baseWeight {
      guard weight.value.shape == info.shape else {
        return faults.report(
          "the tensor \(info.name.shortened) is a copy of a base weight of the shape "
            + "\(info.shape), the model's is \(weight.value.shape)",
          "the vocabulary of the adapter's base was resized: use that base")
      }
      return baseCopies.append(BaseCopy(tensor: info.name, parameter: weight))
    }
    guard let (path, factor) = AdapterFile.parse(info.name) else {
      return faults.report(.unknown, of: info.name)
    }
    guard let site = sites[path] else {
      let paths = map.adaptable.map(\.path)
      return faults.report(
        "the tensor \(info.name.shortened) is for a module that the model does not have",
        (path.nearest(in: paths).map { "the nearest is \($0); " } ?? "")
          + "was the adapter made for another model?")
    }
    guard layers[path] != nil, site.pairSides != nil else {
      return faults.report(.unnamedLayer, of: info.name)
    }
    switch factor {
    case .magnitude: faults.report(.magnitudeWithoutDoRA, of: info.name)
    case .bias: faults.report(.biasOfBWithoutSetting, of: info.name)
    case .a, .b: faults.report(.wrongKind, of: info.name)
    }
  }

  private mutating func reportMissing(_ tensors: [AdapterTensor], _ reason: String) {
    faults.reportMissing(
      tensors.filter { found[$0] == nil }.map { $0.name(in: selection) }, reason)
  }
}

extension ModuleSite {
  /// The model's own weight here, whatever adapters have put beside it.
  var baseWeight: Parameter? {
    var base: any Module = adapted?.base ?? embedding ?? child.module
    if let head = base as? TiedHead { base = head.base }
    return base.parameters.first { $0.name == "weight" }?.parameter
  }
}
