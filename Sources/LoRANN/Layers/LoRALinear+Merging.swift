// Merging: the low-rank paths of adapters become part of the weight, and come out of it again.
//
//   W' = W + Σ s·B·A (DoRA: m/n∘(W + s·B·A)),   computed in float32, rounded once
//
// The base is never written, it may be a mapped file: a merged weight is a copy beside it, and
// taking it away brings the base back bit for bit. Where the adapters in it do not all take part,
// or not in all rows, the paths beside the base are used instead.

package import LoRATensor

/// A weight with adapters merged into it, in the place of a layer's base.
package struct MergedWeight {
  /// The adapters that are in it, in the order of the layer.
  package private(set) var adapters: [String]
  /// W', [out, in].
  package let weight: Tensor
  /// b + Σ s·c, [out], float32.
  package let bias: Tensor?

  mutating func rename(_ name: String, to newName: String) {
    if let index = adapters.firstIndex(of: name) { adapters[index] = newName }
  }
}

/// Values that the type of a merged weight cannot hold.
package struct MergedValueError: Error {
  package let parameter: String
  /// The element, counted row by row.
  package let index: Int
  package let value: Float

  package init(parameter: String = "weight", index: Int, value: Float) {
    self.parameter = parameter
    self.index = index
    self.value = value
  }
}

extension LoRALinear {
  /// The merged weight, where its adapters take part in every row.
  var usableMerged: MergedWeight? {
    guard let merged, isEnabled, PassContext.current.adapters == nil,
      activeAdapters.isSuperset(of: merged.adapters)
    else { return nil }
    return merged
  }

  /// Rows of the weight that holds the named adapters, float32 [rows, in].
  package func mergedRows(_ range: Range<Int>, of names: Set<String>) -> Tensor {
    let weight = base.operand.weight
    return pairs.reduce(weight.rows(range).converted(to: .float32)) { rows, entry in
      guard names.contains(entry.name) else { return rows }
      return entry.pair.mergedRows(range, into: rows, weight: weight)
    }
  }

  /// The bias with what the named adapters add to it; nil where there is neither.
  package func mergedBias(of names: Set<String>) -> Tensor? {
    pairs.reduce(base.operand.bias) { bias, entry in
      guard names.contains(entry.name), let delta = entry.pair.biasDelta else { return bias }
      return bias.map { $0 + delta } ?? delta
    }
  }

  /// An adapter that takes part, is not among the named and acts on what one of these adds: with DoRA
  /// the order counts, so that the named cannot be merged without it.
  package func adapterBetween(_ names: Set<String>) -> String? {
    guard let last = pairs.lastIndex(where: { names.contains($0.name) }) else { return nil }
    return pairs[..<last].first {
      $0.pair.magnitude != nil && !names.contains($0.name) && activeAdapters.contains($0.name)
    }?.name
  }

  /// The weight with the named adapters merged into it; the layer is left as it is.
  ///
  /// - Parameter dtype: what W' is rounded to.
  /// - Throws: `MergedValueError` for the first element that the type holds as infinity or NaN.
  package func mergedWeight(of names: Set<String>, dtype: DType) throws -> MergedWeight {
    let result = Tensor(uninitialized: [outFeatures, inFeatures], dtype: dtype)
    for start in stride(from: 0, to: outFeatures, by: Self.rowsAtATime) {
      let range = start..<min(start + Self.rowsAtATime, outFeatures)
      let rows = mergedRows(range, of: names)
      if let (index, value) = rows.firstElement(beyond: dtype) {
        throw MergedValueError(index: start * inFeatures + index, value: value)
      }
      let block = result.rows(range)
      block.copy(from: rows.converted(to: dtype))
    }
    let bias = mergedBias(of: names)
    if let (index, value) = bias?.firstElement(beyond: .float32) {
      throw MergedValueError(parameter: "bias", index: index, value: value)
    }
    return MergedWeight(
      adapters: pairs.map(\.name).filter(names.contains), weight: result, bias: bias)
  }

  /// The type of a merged weight where none is asked for: the base's, float32 for quantised blocks.
  package var mergedType: DType {
    let dtype = base.operand.weight.dtype
    return dtype.isQuantized ? .float32 : dtype
  }

  /// Rows whose merged values exist in float32 at the same time.
  package static let rowsAtATime = 256
}
