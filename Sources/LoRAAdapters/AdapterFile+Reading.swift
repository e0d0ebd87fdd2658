// Loads an adapter that PEFT or this project wrote: every tensor has its place, or is refused.

import Foundation
import LoRAFormats
import LoRAJSON
public import LoRANN
import LoRATensor

/// What was in an adapter's folder.
public struct LoadedAdapter: Sendable, Hashable {
  /// The configuration in `adapter_config.json`.
  public let configuration: LoRAConfiguration
  /// What was put into the model, with warnings about the files.
  public let summary: AdapterSummary
}

extension Module {
  /// Puts the adapter in a folder into the model under a name, and freezes the base.
  ///
  /// Nothing is skipped: tensors and targeted layers must correspond one to one. Factors become
  /// float32.
  /// - Parameter isTrainable: whether training goes on with it. If not, it has no dropout, and other
  ///   adapters stay as trainable as they are; if so, they are frozen.
  /// - Throws: `AdapterError` and `ModelFileError`, before anything in the model has changed.
  @discardableResult
  public func loadAdapter(
    _ name: String, from directory: String, isTrainable: Bool = false
  ) throws -> LoadedAdapter {
    try AdapterFile.checkFolder(directory)
    let configurationPath = AdapterFile.path(directory, AdapterFile.configurationName)
    var warnings: [String] = []
    var configuration = try PEFTConfiguration.read(configurationPath, warnings: &warnings)
    if isTrainable, configuration.dropout == 1 {
      throw AdapterError(
        file: configurationPath,
        message: "lora_dropout is 1: every input of the adapter is dropped while it is trained",
        hint: "write a lora_dropout below 1 to train it; generate, score, merge and convert read it"
      )
    }
    let map = ModuleMap(self)
    try map.checkNewName(name)
    var selection: TargetSelection
    do {
      if isTrainable { try map.checkTrainable(configuration) }
      selection = try map.select(configuration)
    } catch let error as AdapterError {
      throw error.about(configurationPath)
    }
    let file = try SafeTensorsFile(
      contentsOf: AdapterFile.path(directory, AdapterFile.tensorsName))
    warnings += try map.adoptRanks(of: file, &configuration, &selection)
    let factors = try AdapterFactors(file: file, selection: selection, map: map)
    warnings += factors.warnings
    if let warning = AdapterFile.warning(
      recorded: file.metadata[AdapterFile.baseIdentityKey], of: self)
    {
      warnings.append(warning)
    }

    // What can fail comes before anything in the model is changed.
    let pairs = try selection.layers.map { try factors.pair(of: $0, isTrainable: isTrainable) }
    do {
      warnings += try map.checkStarts(of: selection, configuration)
    } catch let error as AdapterError {
      throw error.about(configurationPath)
    }

    let trainable = isTrainable ? [] : trainableParameters.filter { $0.path.isPathOfAdapter }
    freeze()
    for (_, parameter) in trainable { parameter.isTrainable = true }
    let isEnabled = areAdaptersEnabled
    var hasEffect = factors.changeParameters
    for (target, pair) in zip(selection.layers, pairs) {
      guard let pair else { continue }
      hasEffect = hasEffect || target.hasEffect(pair)
      target.site.put(name, pair, isEnabled: isEnabled)
    }
    for trained in selection.parameters {
      guard let values = factors.values(trained.path) else { continue }
      trained.parameter.replace(name, by: Parameter(values, isTrainable: isTrainable))
    }
    for rows in selection.rows {
      guard let values = factors.values(rows.site.path) else { continue }
      rows.put(name, Parameter(values, isTrainable: isTrainable))
    }
    ModuleMap(self).numberDropoutStreams()
    warnings += selection.unmatched.map {
      "\($0.place) names \"\($0.text.shortened)\", which matches no module of the model"
    }
    if !hasEffect {
      warnings.append(
        "every lora_B of the adapter, or its scale, is 0: it changes nothing, as before training")
    }
    return LoadedAdapter(
      configuration: configuration, summary: summary(of: name, warnings: warnings))
  }
}

extension ModuleMap {
  /// What is odd about factors that began as a part of the base (PiSSA, OLoRA).
  ///
  /// - Throws: `AdapterError` for layers whose weight PEFT changes for others too, or not at all.
  fileprivate func checkStarts(
    of selection: TargetSelection, _ configuration: LoRAConfiguration
  ) throws -> [String] {
    guard configuration.initialization.movesBase else { return [] }
    let tied = model.tiedModules.map(\.path)
    if let target = selection.layers.first(where: { $0.isEmbedding || tied.contains($0.path) }) {
      throw AdapterError(
        message: "init_lora_weights is \"pissa\" or \"olora\", and \(target.path) is "
          + (target.isEmbedding ? "an embedding" : "a head that shares the embedding's table"),
        hint: "save it with PEFT's save_pretrained(…, path_initial_model_for_weight_conversion=…)")
    }
    let bases = selection.layers.compactMap { $0.site.adapted?.base ?? $0.site.linear }
    guard Set(bases.map(\.operand.weight.dtype)) != [.float32] else { return [] }
    return [
      "the factors began as a part of the base's weights, which are taken from this model; PEFT "
        + "rounds what is left of them to the model's own type, which is not done here"
    ]
  }
}

extension TargetedLayer {
  /// Whether the layer computes anything else with the pair.
  fileprivate func hasEffect(_ pair: LowRankPair) -> Bool {
    if let base = site.adapted?.base ?? site.linear { return pair.hasEffect(beside: base) }
    if let magnitude = pair.magnitude, let table = site.embedding?.weight.value {
      let lengths = pair.columnLengths(of: table).elements
      let differs = zip(magnitude.value.elements, lengths).contains {
        abs($0 - $1) > 1e-5 * abs($1)
      }
      if differs { return true }
    }
    return pair.scale != 0
      && [pair.a, pair.b].allSatisfy { $0.value.elements.contains { $0 != 0 } }
  }
}

extension AdapterFile {
  /// - Throws: `AdapterError` where the folder does not hold the two files.
  static func checkFolder(_ directory: String) throws {
    let files = FileManager.default
    var isFolder: ObjCBool = false
    guard files.fileExists(atPath: directory, isDirectory: &isFolder) else {
      throw AdapterError(
        file: directory, message: "there is no such folder", hint: "check the path of the adapter")
    }
    guard isFolder.boolValue else {
      throw AdapterError(
        file: directory, message: "this is a file; an adapter is a folder of two files",
        hint: directory.hasSuffix(".gguf")
          ? "make it one with: lora convert \(directory) --to peft --output FOLDER --model MODEL"
          : "name the folder with \(configurationName) and \(tensorsName)")
    }
    guard files.fileExists(atPath: path(directory, configurationName)) else {
      // PEFT puts adapters that are not named "default" one folder deeper.
      let nested = ((try? files.contentsOfDirectory(atPath: directory)) ?? []).sorted().filter {
        files.fileExists(atPath: path(path(directory, $0), configurationName))
      }
      throw AdapterError(
        file: directory, message: "the folder has no \(configurationName)",
        hint: nested.first.map { "there is one in its folder \($0): name that" }
          ?? "this is no adapter, or its files are not complete")
    }
    guard !files.fileExists(atPath: path(directory, tensorsName)) else { return }
    guard !files.fileExists(atPath: path(directory, pickleName)) else {
      throw AdapterError(
        file: directory,
        message: "the tensors are in \(pickleName), a Python pickle, which is not read",
        hint: "load the adapter with PEFT and save it again: save_pretrained writes \(tensorsName)")
    }
    throw AdapterError(
      file: directory, message: "the folder has no \(tensorsName)",
      hint: "the adapter is not complete: fetch or save it again")
  }
}
