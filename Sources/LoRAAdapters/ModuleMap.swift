// A model as an adapter sees it: every module by path, an adapted layer as one module.

import LoRAJSON
package import LoRANN
package import LoRATensor

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

  /// The adapted embedding here, if it is one already.
  var adaptedEmbedding: LoRAEmbedding? { child.module as? LoRAEmbedding }

  /// The plain embedding here, if a pair or trained rows can be put beside it.
  var embedding: Embedding? {
    if let adaptedEmbedding { return adaptedEmbedding.base }
    return child.replaceEmbedding == nil ? nil : child.module as? Embedding
  }

  /// The sides of a pair that can be put here: in and out of the layer, of an embedding its
  /// vocabulary and width.
  var pairSides: (in: Int, out: Int)? {
    if let linear { return (linear.inFeatures, linear.outFeatures) }
    return embedding.map { ($0.vocabularySize, $0.width) }
  }

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

  /// The adapted embedding here, put in the place of the plain one if need be.
  func makeAdaptedEmbedding(isEnabled: Bool = true) -> LoRAEmbedding? {
    if let adaptedEmbedding { return adaptedEmbedding }
    guard let replace = child.replaceEmbedding, let embedding else { return nil }
    let layer = LoRAEmbedding(base: embedding)
    layer.isEnabled = isEnabled
    replace(layer)
    return layer
  }

  /// Puts a pair here.
  func put(_ name: String, _ pair: LowRankPair, isEnabled: Bool) {
    if linear != nil {
      makeAdapted(isEnabled: isEnabled)?.add(name, pair)
    } else {
      makeAdaptedEmbedding(isEnabled: isEnabled)?.add(name, pair)
    }
  }
}

/// The modules of a model, parents before children, as they were when it was made.
package struct ModuleMap {
  let model: any Module
  let sites: [ModuleSite]

  package init(_ model: any Module) {
    self.model = model
    var sites: [ModuleSite] = []
    func visit(_ module: any Module, _ prefix: String) {
      for child in module.children {
        let site = ModuleSite(path: prefix + child.name, child: child)
        sites.append(site)
        if site.adapted == nil, site.adaptedEmbedding == nil {
          visit(child.module, site.path + ".")
        }
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
      (site.adapted?.pairs ?? site.adaptedEmbedding?.pairs ?? []).filter { $0.name == name }
        .map { (site.path, $0.pair) }
    }
  }

  /// The values that an adapter has in place of the model's own, by the parameter's path.
  func replacements(of name: String) -> [(path: String, parameter: Parameter)] {
    let infix = "modules_to_save.\(name)."
    return model.namedParameters.filter { $0.path.contains(infix) }.map {
      (
        path: $0.path.replacing(infix, with: "").replacing("base_layer.", with: ""),
        parameter: $0.parameter
      )
    }
  }

  /// The rows of embeddings that an adapter has values of its own for.
  func trainedTokens(of name: String) -> [(path: String, tokens: TokenRows)] {
    sites.flatMap { site in
      (site.adaptedEmbedding?.tokens ?? []).filter { $0.name == name }
        .map { (path: site.path, tokens: $0.tokens) }
    }
  }

  /// Everything of an adapter that training changes.
  package func parameters(of name: String) -> [Parameter] {
    sites.flatMap { site -> [Parameter] in
      if let layer = site.adapted {
        return layer.pairs.filter { $0.name == name }.flatMap { entry in
          entry.pair.parameters(of: name).map(\.parameter)
        }
      }
      return (site.adaptedEmbedding?.pairs ?? []).filter { $0.name == name }.flatMap {
        [$0.pair.a, $0.pair.b] + ($0.pair.magnitude.map { [$0] } ?? [])
      }
    } + replacements(of: name).map(\.parameter) + trainedTokens(of: name).map(\.tokens.rows)
  }

  /// The names of the adapters that the model has, in the order of their first pair.
  var adapterNames: [String] {
    var names: [String] = []
    for site in sites {
      let pairs = site.adapted?.pairs ?? site.adaptedEmbedding?.pairs ?? []
      for pair in pairs where !names.contains(pair.name) { names.append(pair.name) }
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
