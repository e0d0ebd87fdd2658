// Merges adapters into a model's weights in memory, and takes them out again.

public import LoRANN
public import LoRATensor

extension Module {
  /// Makes adapters part of the weights: the model computes the same without low-rank paths.
  ///
  /// W' = W + Σ s·B·A in float32, rounded once, whatever was merged before: merging one after the
  /// other gives the bits of merging them together, and an adapter that is merged already counts
  /// once. The base is not written; a merged weight is a copy beside it, which is used while all of
  /// its adapters take part. Merged adapters do not train.
  /// - Parameters:
  ///   - names: the adapters; nil: all that are enabled.
  ///   - dtype: the type of the merged weights; nil: each base's own, float32 for quantised ones.
  /// - Throws: `AdapterError` naming the weight and element that the type cannot hold, or a name
  ///   that the model does not have. The model is then as before.
  public func mergeAdapters(_ names: [String]? = nil, dtype: DType? = nil) throws {
    let map = ModuleMap(self)
    for name in names ?? [] { try map.checkKnownName(name) }
    let merged = try map.remerged(dtype: dtype) { layer in
      layer.pairs.map(\.name).filter { name in
        (names?.contains(name) ?? layer.activeAdapters.contains(name))
          || layer.merged?.adapters.contains(name) == true
      }
    }
    // Only now: an error above leaves everything as it was.
    for (layer, weight) in merged {
      layer.merged = weight
      layer.activeAdapters.formUnion(weight?.adapters ?? [])
    }
  }

  /// Takes merged adapters out of the weights; they are low-rank paths beside the base again, which
  /// has the bits that it had.
  ///
  /// - Parameter names: the adapters; nil: all. One that is not merged stays as it is.
  /// - Throws: `AdapterError` for a name that the model does not have.
  public func unmergeAdapters(_ names: [String]? = nil) throws {
    let map = ModuleMap(self)
    for name in names ?? [] { try map.checkKnownName(name) }
    let rest = try map.remerged(dtype: nil) { layer in
      (layer.merged?.adapters ?? []).filter { !(names?.contains($0) ?? true) }
    }
    for (layer, weight) in rest { layer.merged = weight }
  }

  /// The adapters that are part of the weights, in the order of the model.
  public var mergedAdapterNames: [String] {
    let map = ModuleMap(self)
    let merged = Set(map.sites.flatMap { $0.adapted?.merged?.adapters ?? [] })
    return map.adapterNames.filter(merged.contains)
  }
}

extension ModuleMap {
  /// The layers whose merged adapters change, with the weight that holds the new ones.
  fileprivate func remerged(
    dtype: DType?, holding names: (LoRALinear) -> [String]
  ) throws -> [(layer: LoRALinear, weight: MergedWeight?)] {
    try sites.compactMap { site in
      guard let layer = site.adapted else { return nil }
      let names = names(layer)
      let isSame = names == layer.merged?.adapters ?? []
      let type = dtype ?? layer.merged?.weight.dtype ?? layer.mergedType
      guard !isSame || (!names.isEmpty && type != layer.merged?.weight.dtype) else { return nil }
      guard !names.isEmpty else { return (layer, nil) }
      if let other = layer.adapterBetween(Set(names)) {
        throw AdapterError(
          message: "the adapter \"\(other)\" stretches what the adapters after it add to "
            + "\(site.path) (DoRA): they cannot be merged without it",
          hint: "merge \"\(other)\" too, or deactivate it")
      }
      do {
        return (layer, try layer.mergedWeight(of: Set(names), dtype: type))
      } catch let error as MergedValueError {
        throw AdapterError.unmergeable(site.path, error, as: type)
      }
    }
  }
}

extension AdapterError {
  /// A merged value that the type of the weight cannot hold.
  static func unmergeable(_ path: String, _ error: MergedValueError, as dtype: DType) -> Self {
    let name = path + "." + error.parameter
    return AdapterError(
      message: error.value.isFinite
        ? "\(name)[\(error.index)] is \(error.value) after merging, beyond what \(dtype.name) holds"
        : "\(name)[\(error.index)] is \(error.value) after merging",
      hint: error.value.isFinite
        ? "merge into bfloat16 or float32"
        : "the adapter or the base is broken: its training probably diverged")
  }
}
