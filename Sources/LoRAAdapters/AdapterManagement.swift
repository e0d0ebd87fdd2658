// Several adapters on one model: which are there, which act, which are trained.

import LoRAJSON
public import LoRANN
package import LoRATensor

extension Module {
  /// The names of the adapters in the model, in the order of their first layer.
  public var adapterNames: [String] { ModuleMap(self).adapterNames }

  /// The adapters that take part in what the model computes; their sum, if several.
  ///
  /// They stay chosen while adapters are switched off as a whole.
  public var activeAdapterNames: [String] {
    let map = ModuleMap(self)
    var active = map.adaptedLayers.reduce(into: Set<String>()) { $0.formUnion($1.activeAdapters) }
    for layer in map.sites.compactMap(\.adaptedEmbedding) { active.formUnion(layer.activeAdapters) }
    return map.adapterNames.filter(active.contains)
  }

  /// Everything of an adapter that training changes, with its path, in the order of the model.
  package func namedParameters(ofAdapter name: String) -> [(path: String, parameter: Parameter)] {
    let own = Set(ModuleMap(self).parameters(of: name).map { ObjectIdentifier($0) })
    return namedParameters.filter { own.contains(ObjectIdentifier($0.parameter)) }
  }

  /// Lets these adapters take part, and no others; which of them are trained does not change.
  ///
  /// - Throws: `AdapterError` naming the adapters there are, where one is unknown.
  public func activateAdapters(_ names: [String]) throws {
    let map = ModuleMap(self)
    for name in names { try map.checkKnownName(name) }
    for layer in map.adaptedLayers {
      layer.activeAdapters = Set(layer.pairs.map(\.name)).intersection(names)
    }
    for name in map.adapterNames where !names.contains(name) {
      map.setTrainedPartsEnabled(name, false)
    }
    for name in names { map.setTrainedPartsEnabled(name, true) }
  }

  /// Lets an adapter take part in what the model computes, or not; the others stay as they are.
  ///
  /// - Throws: `AdapterError` where the model has no such adapter.
  public func setAdapterEnabled(_ name: String, _ isEnabled: Bool) throws {
    let map = ModuleMap(self)
    try map.checkKnownName(name)
    for layer in map.layers(with: name) {
      if isEnabled {
        layer.activeAdapters.insert(name)
      } else {
        layer.activeAdapters.remove(name)
      }
    }
    map.setTrainedPartsEnabled(name, isEnabled)
  }

  /// Trains these adapters and nothing else; the others are frozen, and act as before.
  ///
  /// - Throws: `AdapterError` where one is unknown, or does not take part: it would not learn.
  public func trainAdapters(_ names: [String]) throws {
    let map = ModuleMap(self)
    for name in names { try map.checkKnownName(name) }
    let active = activeAdapterNames
    if let idle = names.first(where: { !active.contains($0) }) {
      throw AdapterError(
        message: "the adapter \"\(idle)\" is not active, so it would not learn",
        hint: "activate it first; active "
          + (active.isEmpty ? "is none" : "are " + active.map { "\"\($0)\"" }.listed()))
    }
    freeze()
    for parameter in names.flatMap({ map.parameters(of: $0) }) { parameter.isTrainable = true }
  }

  /// Switches all adapters off, or those that are active on again.
  public func setAdaptersEnabled(_ isEnabled: Bool) {
    let map = ModuleMap(self)
    for layer in map.adaptedLayers { layer.isEnabled = isEnabled }
    for layer in map.sites.compactMap(\.adaptedEmbedding) { layer.isEnabled = isEnabled }
    for (_, parameter) in namedParameters { parameter.areReplacementsEnabled = isEnabled }
  }

  /// Whether the active adapters take part; false after `setAdaptersEnabled(false)`.
  public var areAdaptersEnabled: Bool { ModuleMap(self).adaptedLayers.allSatisfy(\.isEnabled) }

  /// Runs `body` with the model as it is without adapters, bit for bit. Nothing in the model is
  /// changed for that; it applies to what `body` computes itself, not to other tasks.
  public func withoutAdapters<Result>(_ body: () throws -> Result) rethrows -> Result {
    try PassContext.with({ $0.adapters = .base }, body)
  }

  /// Takes an adapter out of the model; a layer without another one is the plain layer again.
  ///
  /// If it was the only active one, the first of the others by name becomes active, as in PEFT.
  /// - Throws: `AdapterError` where the model has no such adapter.
  public func removeAdapter(_ name: String) throws {
    let map = ModuleMap(self)
    try map.checkKnownName(name)
    for site in map.sites {
      guard let layer = site.adapted, layer.pairs.contains(where: { $0.name == name }) else {
        continue
      }
      layer.remove(name)
      if layer.pairs.isEmpty { site.child.replace?(layer.base) }
    }
    map.removeTrainedParts(name)
    if activeAdapterNames.isEmpty, let next = adapterNames.min() {
      try activateAdapters([next])
    }
  }

  /// Gives an adapter another name; it stays active and trainable as it was.
  ///
  /// - Throws: `AdapterError` where there is no such adapter, or the new name cannot be.
  public func renameAdapter(_ name: String, to newName: String) throws {
    let map = ModuleMap(self)
    try map.checkKnownName(name)
    guard name != newName else { return }
    try map.checkNewName(newName)
    for layer in map.layers(with: name) { layer.rename(name, to: newName) }
    map.renameTrainedParts(name, to: newName)
  }

  /// Checks a choice of adapters, one or none (nil) for each sequence of a batch.
  ///
  /// - Throws: `AdapterError` where one is unknown or the number is wrong.
  package func checkChoice(of adapters: [String?], sequences: Int) throws {
    guard adapters.count == sequences else {
      throw AdapterError(
        message: "\(adapters.count) adapters are chosen for \(sequences) sequences",
        hint: "give one for each, nil for none")
    }
    let map = ModuleMap(self)
    for name in Set(adapters.compactMap { $0 }).sorted() { try map.checkKnownName(name) }
    if let whole = map.adapterNames.first(where: map.replacesParameters) {
      throw AdapterError(
        message: "the adapter \"\(whole)\" has parameters of the model trained whole "
          + "(modules_to_save or biases): adapters cannot be chosen by the sequence beside it",
        hint: "take it out of the model, or run the sequences one after the other")
    }
  }
}

extension ModuleMap {
  /// The layers that have pairs.
  var adaptedLayers: [LoRALinear] { sites.compactMap(\.adapted) }

  fileprivate func layers(with name: String) -> [LoRALinear] {
    adaptedLayers.filter { layer in layer.pairs.contains { $0.name == name } }
  }
}
