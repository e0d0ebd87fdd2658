// A model as an adapter sees it: every module by path, an adapted layer as one module.

import LoRAJSON
import LoRANN

/// A module with its path from the model; the layer under an adapted layer is not listed.
struct ModuleSite {
  let path: String
  let child: ModuleChild

  /// The linear layer here, if a pair can be put beside it.
  var linear: (any LinearLayer)? {
    if let adapted { return adapted }
    return child.replace == nil ? nil : child.module as? any LinearLayer
  }

  /// The adapted layer here, if it is one already.
  var adapted: LoRALinear? { child.module as? LoRALinear }

  /// Whether this is what turns hidden states into logits.
  var isOutputEmbedding: Bool { path.isSelected(by: "lm_head") }

  /// The adapted layer here, put in the place of the plain one if need be.
  func makeAdapted(isEnabled: Bool = true) -> LoRALinear? {
    if let adapted { return adapted }
    guard let replace = child.replace, let linear else { return nil }
    let layer = LoRALinear(base: linear)
    layer.isEnabled = isEnabled
    replace(layer)
    return layer
  }
}

/// The modules of a model, parents before children, as they were when it was made.
struct ModuleMap {
  let sites: [ModuleSite]

  init(_ model: any Module) {
    var sites: [ModuleSite] = []
    func visit(_ module: any Module, _ prefix: String) {
      for child in module.children {
        let site = ModuleSite(path: prefix + child.name, child: child)
        sites.append(site)
        if site.adapted == nil { visit(child.module, site.path + ".") }
      }
    }
    visit(model, "")
    self.sites = sites
  }

  /// What `all-linear` means.
  var adaptable: [ModuleSite] { sites.filter { $0.linear != nil && !$0.isOutputEmbedding } }

  /// The pairs of an adapter, in the order of the model.
  func pairs(of name: String) -> [(path: String, pair: LowRankPair)] {
    sites.flatMap { site in
      (site.adapted?.pairs ?? []).filter { $0.name == name }.map { (site.path, $0.pair) }
    }
  }

  /// The names of the adapters that the model has, in the order of their first pair.
  var adapterNames: [String] {
    var names: [String] = []
    for pair in sites.flatMap({ $0.adapted?.pairs ?? [] }) where !names.contains(pair.name) {
      names.append(pair.name)
    }
    return names
  }

  /// - Throws: `AdapterError` when no new adapter can have this name.
  func checkNewName(_ name: String) throws {
    guard !name.isEmpty, !name.contains(".") else {
      throw AdapterError(
        message: "\"\(name)\" cannot be the name of an adapter",
        hint: "a name is part of the parameters' paths: not empty, and without a dot")
    }
    guard !adapterNames.contains(name) else {
      throw AdapterError(
        message: "the model has an adapter \"\(name)\" already", hint: "choose another name")
    }
  }

  /// - Throws: `AdapterError` when the model has no adapter of this name.
  func checkKnownName(_ name: String) throws {
    let names = adapterNames
    guard !names.contains(name) else { return }
    throw AdapterError(
      message: "the model has no adapter \"\(name)\"",
      hint: names.isEmpty
        ? "add or load one first" : "it has " + names.map { "\"\($0)\"" }.listed(atMost: 10))
  }

  /// Tells the adapted layers' dropout masks apart by the place of the layer in the model, which
  /// stays the same whichever layers are adapted.
  func numberDropoutStreams() {
    for (index, site) in sites.enumerated() {
      site.adapted?.setDropoutStream(UInt32(truncatingIfNeeded: index))
    }
  }
}
