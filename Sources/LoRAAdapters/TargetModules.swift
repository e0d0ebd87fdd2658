// Which linear layers of a model an adapter adapts, by PEFT's rule for names.

import LoRAJSON
import LoRANN

/// The layers that an adapter adapts.
public enum TargetModules: Sendable, Hashable {
  /// Every linear layer that can be replaced, except the output embedding `lm_head`.
  case allLinear
  /// Layers whose path is one of these names or ends in "." and one of them; never a pattern.
  case names([String])
}

/// What the targets select in a model.
struct TargetSelection {
  /// The selected layers in the order of the model.
  var sites: [ModuleSite]
  /// Names that select nothing.
  var unmatched: [String]
}

extension ModuleMap {
  /// The layers that the targets select.
  ///
  /// - Throws: `AdapterError` where a name selects something that cannot be adapted.
  func select(_ targets: TargetModules) throws -> TargetSelection {
    guard case .names(let names) = targets else {
      let sites = adaptable
      guard !sites.isEmpty else {
        throw AdapterError(
          message: "the model has no linear layer that can be adapted",
          hint: "a module offers its layers by ModuleChild(_:in:_:) in `children`")
      }
      return TargetSelection(sites: sites, unmatched: [])
    }
    var matched = Set<String>()
    let selected = sites.filter { site in
      let matching = names.filter { site.path.isSelected(by: $0) }
      matched.formUnion(matching)
      return !matching.isEmpty
    }
    for site in selected where site.isOutputEmbedding {
      throw AdapterError(
        message: "the target \(quotedName(names, site)) is the output embedding (\(site.path)), "
          + "which this version does not adapt",
        hint: "leave it out; a later version will adapt it")
    }
    for site in selected where site.linear == nil {
      throw AdapterError(
        message: "the target \(quotedName(names, site)) selects \(site.path), "
          + "which is not a linear layer that can be replaced",
        hint: "the linear layers are: " + availableNames)
    }
    return TargetSelection(sites: selected, unmatched: names.filter { !matched.contains($0) })
  }

  /// The error of a target name that selects nothing.
  func noMatch(_ name: String) -> AdapterError {
    // Compared with as many last parts of each path as the name has.
    let depth = name.split(separator: ".", omittingEmptySubsequences: false).count
    var hint = "the linear layers are: " + availableNames
    if let near = name.nearest(in: adaptable.map { $0.path.lastParts(depth) }) {
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

  private func quotedName(_ names: [String], _ site: ModuleSite) -> String {
    "\"" + (names.first { site.path.isSelected(by: $0) } ?? site.path) + "\""
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

  /// The last `count` parts between the dots.
  fileprivate func lastParts(_ count: Int) -> String {
    split(separator: ".", omittingEmptySubsequences: false).suffix(count).joined(separator: ".")
  }
}
