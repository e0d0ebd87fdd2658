// The parts of a model that an adapter trains whole, beside its pairs: PEFT's modules_to_save, bias
// and trainable_token_indices.

import LoRAJSON
import LoRANN
import LoRATensor

/// A parameter of the model that an adapter has a value of its own for.
struct TrainedParameter {
  /// The parameter's path in the model.
  let path: String
  /// The path that PEFT saves it under: that of a targeted layer's bias has `base_layer` in it.
  let savedPath: String
  let parameter: Parameter
}

/// Rows of an embedding that an adapter has values of its own for.
struct TrainedRows {
  let site: ModuleSite
  let embedding: Embedding
  let indices: [Int]
  /// The head that shares the table, if one does.
  let head: ModuleSite?
}

extension ModuleSite {
  /// The model's own parameters at and below the module, with their paths.
  fileprivate var ownParameters: [(path: String, parameter: Parameter)] {
    let module: any Module = adapted?.base ?? adaptedEmbedding?.base ?? child.module
    return module.namedParameters.filter { !(path + "." + $0.path).isPathOfAdapter }.map {
      // Adapted layers below show their base as a child of its own.
      (path + "." + $0.path.replacing("base_layer.", with: ""), $0.parameter)
    }
  }
}

extension ModuleMap {
  /// The parameters that `modules_to_save` and `bias` name.
  ///
  /// - Throws: `AdapterError` where a module to save is one that gets a pair, or has no parameters.
  func trainedParameters(
    _ configuration: LoRAConfiguration, targeted: Set<String>
  ) throws -> (parameters: [TrainedParameter], unmatched: [String]) {
    var result: [TrainedParameter] = []
    var seen = Set<ObjectIdentifier>()
    func add(_ path: String, _ savedPath: String, _ parameter: Parameter) {
      guard seen.insert(ObjectIdentifier(parameter)).inserted else { return }
      result.append(TrainedParameter(path: path, savedPath: savedPath, parameter: parameter))
    }
    var unmatched: [String] = []
    for name in configuration.modulesToSave {
      // PEFT wraps every module whose path ends in the name, dot or no dot before it.
      let saved = sites.filter { $0.path.hasSuffix(name) }
      if saved.isEmpty { unmatched.append(name) }
      for site in saved {
        if targeted.contains(where: { $0 == site.path || $0.hasPrefix(site.path + ".") }) {
          throw AdapterError(
            message: "modules_to_save names \"\(name)\", which is the end of \(site.path), a layer "
              + "that also gets a low-rank pair",
            hint: "take it out of one of the two; modules_to_save takes every module whose path "
              + "ends in the name")
        }
        for (path, parameter) in site.ownParameters { add(path, path, parameter) }
      }
    }
    guard configuration.biases != .none else { return (result, unmatched) }
    for site in sites {
      let isTargeted = targeted.contains(site.path)
      guard configuration.biases == .all || isTargeted else { continue }
      let module: any Module = site.adapted?.base ?? site.child.module
      for (name, parameter) in module.parameters where name == "bias" {
        add("\(site.path).bias", "\(site.path).\(isTargeted ? "base_layer." : "")bias", parameter)
      }
    }
    return (result, unmatched)
  }

  /// The rows that `trainable_token_indices` names.
  ///
  /// - Throws: `AdapterError` where there is no such embedding or token.
  func trainedRows(
    _ configuration: LoRAConfiguration, targeted: Set<String>
  ) throws -> [TrainedRows] {
    try configuration.trainedTokens.map { tokens in
      let embeddings = sites.filter { $0.embedding != nil }
      let name = tokens.module ?? "embed_tokens"
      guard let site = embeddings.first(where: { $0.path.isSelected(by: name) }),
        let embedding = site.embedding
      else {
        throw AdapterError(
          message: "trainable_token_indices names \"\(name.shortened)\", which is no embedding of "
            + "the model",
          hint: "the embeddings are: "
            + (embeddings.isEmpty ? "none" : embeddings.map(\.path).listed(atMost: 10)))
      }
      if targeted.contains(site.path)
        || configuration.modulesToSave.contains(where: { site.path.hasSuffix($0) })
      {
        throw AdapterError(
          message: "trainable_token_indices names tokens of \(site.path), which is also adapted or "
            + "trained whole", hint: "choose one of the two")
      }
      if let index = tokens.indices.first(where: { $0 >= embedding.vocabularySize }) {
        throw AdapterError(
          message: "trainable_token_indices has the token \(index), but \(site.path) has "
            + "\(embedding.vocabularySize) rows", hint: "tokens are numbered from 0")
      }
      guard Set(tokens.indices).count == tokens.indices.count else {
        throw AdapterError(
          message: "trainable_token_indices names a token twice", hint: "name each token once")
      }
      let tied = model.tiedModules.first { $0.owner == site.path }?.path
      return TrainedRows(
        site: site, embedding: embedding, indices: tokens.indices,
        head: tied.flatMap { path in sites.first { $0.path == path } })
    }
  }
}

extension TrainedRows {
  /// The values of the model.
  var initial: Tensor {
    LoRATensor.embedding(embedding.weight.value, at: indices.map { Int32($0) })
  }

  /// Puts the rows beside the embedding, and beside the head that shares its table.
  func put(_ name: String, _ rows: Parameter) {
    guard let layer = site.makeAdaptedEmbedding() else { return }
    layer.add(name, TokenRows(indices: indices, rows: rows))
    guard let head, let replace = head.child.replace, let base = head.adapted?.base ?? head.linear,
      !(base is TiedHead)
    else { return }
    let tied = TiedHead(base: base, embedding: layer)
    guard let adapted = head.adapted else { return replace(tied) }
    replace(adapted.rebased(on: tied))
  }
}

extension ModuleMap {
  /// Lets what an adapter has beside linear layers take part, or not.
  func setTrainedPartsEnabled(_ name: String, _ isEnabled: Bool) {
    for layer in sites.compactMap(\.adaptedEmbedding) where layer.adapters.contains(name) {
      if isEnabled {
        layer.activeAdapters.insert(name)
      } else {
        layer.activeAdapters.remove(name)
      }
    }
    for parameter in replacedParameters(of: name) {
      if isEnabled {
        parameter.activeReplacement = name
      } else if parameter.activeReplacement == name {
        parameter.activeReplacement = nil
      }
    }
  }

  /// Takes away what an adapter has beside linear layers.
  func removeTrainedParts(_ name: String) {
    for parameter in replacedParameters(of: name) { parameter.removeReplacement(name) }
    for site in sites {
      guard let layer = site.adaptedEmbedding, layer.adapters.contains(name) else { continue }
      layer.remove(name)
      guard layer.adapters.isEmpty else { continue }
      site.child.replaceEmbedding?(layer.base)
      untieHeads(from: layer)
    }
  }

  /// Gives heads their own layer back that shared the trained tokens of an embedding.
  private func untieHeads(from layer: LoRAEmbedding) {
    // As they are now: a head's pairs may just have been taken away.
    for site in ModuleMap(model).sites {
      let head = site.adapted?.base ?? site.child.module
      guard let head = head as? TiedHead, head.embedding === layer else { continue }
      site.child.replace?(site.adapted?.rebased(on: head.base) ?? head.base)
    }
  }

  /// Gives what an adapter has beside linear layers another name.
  func renameTrainedParts(_ name: String, to newName: String) {
    for parameter in replacedParameters(of: name) {
      parameter.renameReplacement(name, to: newName)
    }
    for layer in sites.compactMap(\.adaptedEmbedding) { layer.rename(name, to: newName) }
  }

  /// Whether an adapter has values of its own for parameters of the model.
  func replacesParameters(_ name: String) -> Bool { !replacedParameters(of: name).isEmpty }

  /// The model's parameters that an adapter has a value of its own for.
  private func replacedParameters(of name: String) -> [Parameter] {
    model.namedParameters.map(\.parameter).filter { parameter in
      parameter.replacements.contains { $0.name == name }
    }
  }
}

extension LoRAEmbedding {
  /// The adapters that have a pair or rows here.
  var adapters: Set<String> { Set(pairs.map(\.name) + tokens.map(\.name)) }
}

extension Tensor {
  /// The values in float32 and in memory of their own, to be trained in place.
  var unshared: Tensor { dtype == .float32 ? copied() : converted(to: .float32) }
}
