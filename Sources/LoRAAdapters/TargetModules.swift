// Which layers of a model an adapter adapts, by PEFT's rules for names and patterns.

import LoRAJSON
import LoRANN

/// The layers that an adapter adapts.
public enum TargetModules: Sendable, Hashable {
  /// Every linear layer that can be replaced, except the output embedding `lm_head`.
  case allLinear
  /// Layers whose path is one of these names or ends in "." and one of them; never a pattern.
  case names([String])
  /// Layers whose whole path the regular expression matches (Python's `re.fullmatch`).
  case pattern(String)
}

/// A layer that gets a pair, and what the pair is like.
struct TargetedLayer {
  let site: ModuleSite
  var pair: LoRALinearConfiguration
  var path: String { site.path }
}

/// What a configuration selects in a model.
struct TargetSelection {
  /// The selected layers in the order of the model.
  var layers: [TargetedLayer] = []
  /// The names and keys that select nothing: where they stand, and their text.
  var unmatched: [(place: String, text: String)] = []
  /// The model's parameters that are trained whole.
  var parameters: [TrainedParameter] = []
  /// The embeddings' rows that are trained.
  var rows: [TrainedRows] = []
}

extension ModuleMap {
  /// The layers that a configuration selects.
  ///
  /// - Throws: `AdapterError` where it selects something that cannot be adapted, or nothing.
  func select(_ configuration: LoRAConfiguration) throws -> TargetSelection {
    let patterns = try ConfigurationPatterns(configuration)
    let candidates = configuration.targets == .allLinear ? adaptable : sites
    let targeted = try candidates.filter { try patterns.isTargeted($0.path) }
    var selection = TargetSelection()
    for site in targeted
    where try !patterns.excludes(site.path) && !patterns.isTrainedWhole(site.path) {
      try checkAdaptable(site, configuration.targets)
      selection.layers.append(TargetedLayer(site: site, pair: try patterns.pair(site.path)))
    }
    selection.layers = try tiedLayers(selection.layers, patterns)
    selection.unmatched =
      unmatchedNames(configuration) + (try patterns.unusedKeys(selection.layers.map(\.path)))
    guard !selection.layers.isEmpty else {
      throw try nothingSelected(configuration, targeted: targeted)
    }
    let paths = Set(selection.layers.map(\.path))
    let (parameters, unmatchedModules) = try trainedParameters(
      tiedModulesToSave(configuration, patterns), targeted: paths)
    selection.parameters = parameters
    selection.unmatched += unmatchedModules.map { ("modules_to_save", $0) }
    selection.rows = try trainedRows(configuration, targeted: paths)
    return selection
  }

  private func checkAdaptable(_ site: ModuleSite, _ targets: TargetModules) throws {
    var name = site.path
    switch targets {
    case .allLinear: break
    case .names(let names): name = names.first { site.path.isSelected(by: $0) } ?? name
    case .pattern(let text): name = text
    }
    guard site.pairSides != nil else {
      throw AdapterError(
        message: "the target \"\(name.shortened)\" selects \(site.path), "
          + "which is no linear layer or embedding that can be replaced",
        hint: "the linear layers are: " + availableNames)
    }
  }

  /// The names among the targets and exclusions that are the ending of no path.
  private func unmatchedNames(
    _ configuration: LoRAConfiguration
  ) -> [(place: String, text: String)] {
    func unmatched(_ place: String, _ names: [String]) -> [(place: String, text: String)] {
      names.filter { name in !sites.contains { $0.path.isSelected(by: name) } }
        .map { (place, $0) }
    }
    var result: [(place: String, text: String)] = []
    if case .names(let names) = configuration.targets {
      result += unmatched("target_modules", names)
    }
    if case .names(let names)? = configuration.excluded {
      result += unmatched("exclude_modules", names)
    }
    return result
  }

  /// Why a configuration selects no layer.
  private func nothingSelected(
    _ configuration: LoRAConfiguration, targeted: [ModuleSite]
  ) throws -> AdapterError {
    guard targeted.isEmpty else {
      return AdapterError(
        message: "every layer that the targets name is excluded or trained whole: "
          + targeted.map(\.path).listed(),
        hint: "take the names out of exclude_modules or modules_to_save")
    }
    switch configuration.targets {
    case .allLinear where adaptable.isEmpty:
      return AdapterError(
        message: "the model has no linear layer that can be adapted",
        hint: "a module offers its layers by ModuleChild(_:in:_:) in `children`")
    case .names(let names):
      if let missing = unmatchedNames(configuration).first, missing.place == "target_modules",
        !names.contains(where: { name in sites.contains { $0.path.isSelected(by: name) } })
      {
        return noMatch(unmatchedNames(configuration).filter { $0.place == missing.place })
      }
    case .pattern(let text):
      return AdapterError(
        message: "the pattern \"\(text.shortened)\" matches no module of the model",
        hint: "it must match a whole path, like .*\\.q_proj; "
          + nearestPaths(text) + "the linear layers are: " + availableNames)
    case .allLinear: break
    }
    let numbers = (configuration.layers?.indices ?? []).map { String($0) }
    return AdapterError(
      message: "none of the targeted layers is in a layer with the number "
        + numbers.listed(atMost: 10),
      hint: "layers are numbered from 0"
        + (adaptable.last.map { "; the last linear layer is \($0.path)" } ?? ""))
  }

  private func nearestPaths(_ pattern: String) -> String {
    let near = pattern.nearest(in: adaptable.map(\.path))
    return near.map { "the nearest path is \($0); " } ?? ""
  }

  /// The error of names and keys that select nothing; there is at least one.
  func noMatch(_ unmatched: [(place: String, text: String)]) -> AdapterError {
    let targets = unmatched.filter { $0.place == "target_modules" }
    if let first = targets.first {
      let error = noMatch(first.text)
      guard targets.count > 1 else { return error }
      return AdapterError(
        message: "the targets " + targets.map { "\"\($0.text.shortened)\"" }.listed(atMost: 10)
          + " match no module of the model", hint: error.hint)
    }
    let near = unmatched.first.flatMap { entry in
      entry.text.nearest(in: sites.map { $0.path.lastParts(entry.text.partCount) })
    }
    return AdapterError(
      message: unmatched.map { "the key \"\($0.text.shortened)\" of \($0.place)" }
        .listed(atMost: 10)
        + (unmatched.count > 1 ? " match" : " matches") + " nothing",
      hint: (near.map { "did you mean \"\($0)\"? " } ?? "") + "the linear layers are: "
        + availableNames)
  }

  /// The error of a target name that selects nothing.
  private func noMatch(_ name: String) -> AdapterError {
    // Compared with as many last parts of each path as the name has.
    var hint = "the linear layers are: " + availableNames
    if let near = name.nearest(in: adaptable.map { $0.path.lastParts(name.partCount) }) {
      let paths = adaptable.map(\.path).filter { $0.isSelected(by: near) }
      hint = "did you mean \"\(near)\" (\(paths.listed()))? " + hint
    } else if name.contains(where: { "*\\|[]()^$+?".contains($0) }) {
      hint = "names are plain endings of paths, not regular expressions; " + hint
    }
    return AdapterError(
      message: "the target \"\(name.shortened)\" matches no module of the model", hint: hint)
  }

  /// The shortest list of names that selects exactly the layers at `paths`, in their order.
  func names(selecting paths: [String]) throws -> [String] {
    let wanted = Set(paths)
    let others = sites.map(\.path).filter { !wanted.contains($0) }
    var names: [String] = []
    for path in paths where !names.contains(where: { path.isSelected(by: $0) }) {
      let depth = path.split(separator: ".").count
      let name = (1...max(depth, 1)).lazy.map { path.lastParts($0) }.first { name in
        !others.contains { $0.isSelected(by: name) }
      }
      guard let name else {
        throw AdapterError(
          message: "no list of names selects \(path) and not also "
            + others.filter { $0.isSelected(by: path) }.listed(),
          hint: "adapt these modules too, or give them other names")
      }
      names.append(name)
    }
    return names
  }

  /// The endings that a user may choose from.
  private var availableNames: String {
    let names = (try? names(selecting: adaptable.map(\.path))) ?? adaptable.map(\.path)
    return names.isEmpty ? "none" : names.listed(atMost: 20)
  }
}

extension String {
  /// PEFT's rule: this path is the name, or ends in "." and the name.
  func isSelected(by name: String) -> Bool {
    let path = utf8
    let ending = name.utf8
    guard path.count > ending.count else { return path.elementsEqual(ending) }
    let rest = path.suffix(ending.count + 1)
    return rest.first == UInt8(ascii: ".") && rest.dropFirst().elementsEqual(ending)
  }

  /// The number of parts between the dots.
  fileprivate var partCount: Int {
    split(separator: ".", omittingEmptySubsequences: false).count
  }

  /// The last `count` parts between the dots.
  fileprivate func lastParts(_ count: Int) -> String {
    split(separator: ".", omittingEmptySubsequences: false).suffix(count).joined(separator: ".")
  }
}
