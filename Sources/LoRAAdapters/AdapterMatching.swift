// Finds the tensor of each part of an adapter in its file, and everything that does not fit.

import LoRAFormats
import LoRAJSON
import LoRANN
import LoRATensor

/// The match of a file's tensors with what a configuration selects in a model.
struct AdapterMatching {
  private struct Problem {
    let text: String
    let hint: String
  }

  private let file: SafeTensorsFile
  private let selection: TargetSelection
  private let map: ModuleMap
  private let layers: [String: TargetedLayer]
  private let expected: [AdapterTensor: Shape]
  private let names: [String: AdapterTensor]
  private var found: [AdapterTensor: String] = [:]
  private var problems: [Problem] = []
  private var problemCount = 0
  private static let shownProblems = 3

  /// Copies of base weights that PEFT adds for adapted embeddings, with the model's own.
  private(set) var baseCopies: [(tensor: String, parameter: Parameter)] = []

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
    for info in file.tensors { check(info, sites: sites) }
    for target in selection.layers {
      reportMissing(
        target.factors.map { .factor(target.path, $0) }, "target_modules names the layer")
    }
    for trained in selection.parameters {
      reportMissing([.parameter(trained.savedPath)], "the configuration says that it is trained")
    }
    for rows in selection.rows {
      reportMissing([.tokens(rows.site.path)], "trainable_token_indices names tokens")
    }
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

  private mutating func check(_ info: SafeTensorsInfo, sites: [String: ModuleSite]) {
    let shown = "the tensor \(info.name.shortened)"
    guard let tensor = part(info.name) else { return checkUnexpected(info, sites: sites) }
    if let other = found[tensor] {
      report("\(shown) and \(other.shortened) are the same part", "remove one of them")
      return
    }
    found[tensor] = info.name
    guard let shape = expected[tensor] else { return }
    let isTransposed = info.shape.rank == 2 && info.shape.dimensions == shape.dimensions.reversed()
    guard info.shape == shape else {
      let hint = shapeHint(tensor)
      report(
        "\(shown) has the shape \(info.shape), expected \(shape)",
        isTransposed
          ? "the tensor is transposed: PEFT's A is (r, in) and its B (out, r)"
          : hint)
      return
    }
    guard [.float32, .float16, .bfloat16].contains(info.type) else {
      report(
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

  private mutating func checkUnexpected(_ info: SafeTensorsInfo, sites: [String: ModuleSite]) {
    let shown = "the tensor \(info.name.shortened)"
    if let parameter = baseCopy(info, sites: sites) {
      baseCopies.append((info.name, parameter))
      return
    }
    guard let (path, factor) = AdapterFile.parse(info.name) else {
      return report(
        "\(shown) \(AdapterFile.refusal(of: info.name))",
        "save the adapter with PEFT as LoRA, its configuration beside it")
    }
    guard let site = sites[path] else {
      let paths = map.adaptable.map(\.path)
      return report(
        "\(shown) is for a module that the model does not have",
        (path.nearest(in: paths).map { "the nearest is \($0); " } ?? "")
          + "was the adapter made for another model?")
    }
    guard layers[path] != nil, site.pairSides != nil else {
      return report(
        "\(shown) is for a layer that target_modules does not name",
        "add the layer to target_modules, or save the adapter again")
    }
    switch factor {
    case .magnitude:
      report("\(shown) belongs to DoRA, but use_dora is false", "set use_dora to true")
    case .bias:
      report("\(shown) is a bias of B, but lora_bias is false", "set lora_bias to true")
    case .a, .b:
      report(
        "\(shown) is no factor of this kind of layer",
        "an embedding has lora_embedding_A and lora_embedding_B, a linear layer lora_A and lora_B")
    }
  }

  /// PEFT adds the base weight of an adapted embedding or head to the file.
  private func baseCopy(_ info: SafeTensorsInfo, sites: [String: ModuleSite]) -> Parameter? {
    let ending = ".base_layer.weight"
    guard info.name.hasPrefix(AdapterFile.prefix), info.name.hasSuffix(ending) else { return nil }
    let path = String(info.name.dropFirst(AdapterFile.prefix.count).dropLast(ending.count))
    guard layers[path] != nil, let site = sites[path],
      site.embedding != nil || site.isOutputEmbedding
    else { return nil }
    let base: any Module = site.adapted?.base ?? site.embedding ?? site.child.module
    let weight = base.parameters.first { $0.name == "weight" }?.parameter
    return weight?.value.shape == info.shape ? weight : nil
  }

  private mutating func reportMissing(_ tensors: [AdapterTensor], _ reason: String) {
    let missing = tensors.filter { found[$0] == nil }
    guard !missing.isEmpty else { return }
    let names = missing.map { $0.name(in: selection) }
    report(
      "the tensor\(names.count > 1 ? "s" : "") \(names.joined(separator: " and ")) "
        + (names.count > 1 ? "are" : "is") + " missing",
      "\(reason): the file is not complete, or was made for another model")
  }
}
