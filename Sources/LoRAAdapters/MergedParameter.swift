// The parameters of a model as they are with adapters merged into them, made row by row: what is
// written into a folder, without a second model in memory.

package import LoRANN
package import LoRATensor

/// A parameter of a model with adapters merged into it.
package struct MergedParameter {
  /// The path in the model without adapters, like `model.layers.0.self_attn.q_proj.weight`.
  package let path: String
  /// The extents.
  package let shape: Shape
  /// How the base stores it.
  package let baseType: DType
  /// Whether an adapter changes it.
  package let isChanged: Bool
  /// Rows of the parameter's matrix, leading axes folded, float32.
  package let rows: (Range<Int>) -> Tensor

  /// An unchanged parameter.
  init(path: String, _ value: Tensor) {
    self.path = path
    shape = value.shape
    baseType = value.dtype
    isChanged = false
    rows = { value.rows($0).converted(to: .float32) }
  }

  /// A parameter whose rows are made.
  init(
    path: String, shape: Shape, baseType: DType, rows: @escaping (Range<Int>) -> Tensor
  ) {
    self.path = path
    self.shape = shape
    self.baseType = baseType
    isChanged = true
    self.rows = rows
  }

  /// The number of rows: a vector is one.
  package var rowCount: Int { shape.rows }

  /// Calls `body` with the rows rounded to a dense type, some at a time, in order.
  ///
  /// - Throws: `AdapterError` naming the element that the type cannot hold; errors of `body`.
  package func forEachBlock(as dtype: DType, _ body: (Tensor) throws -> Void) throws {
    for start in stride(from: 0, to: rowCount, by: LoRALinear.rowsAtATime) {
      let block = rows(start..<min(start + LoRALinear.rowsAtATime, rowCount))
      if let (index, value) = block.firstElement(beyond: dtype) {
        let place = start * shape.lastDimension + index
        let parts = path.split(separator: ".")
        throw AdapterError.unmergeable(
          parts.dropLast().joined(separator: "."),
          MergedValueError(parameter: String(parts.last ?? ""), index: place, value: value),
          as: dtype)
      }
      try body(block.converted(to: dtype))
    }
  }
}

extension Module {
  /// Every parameter of the model, in its order, with the named adapters merged into it; names that
  /// the model does not have are a mistake of the caller.
  ///
  /// - Throws: `AdapterError` where an adapter has a bias for a layer without one.
  package func mergedParameters(_ names: Set<String>) throws -> [MergedParameter] {
    let map = ModuleMap(self)
    if let whole = names.sorted().first(where: map.hasTrainedParts) {
      throw AdapterError(
        message: "the adapter \"\(whole)\" has more than pairs beside linear layers (an embedding, "
          + "modules_to_save, biases or tokens), which this version does not merge",
        hint: "merge it with PEFT's merge_and_unload(), or use the adapter as it is")
    }
    return try map.sites.flatMap { site -> [MergedParameter] in
      guard let layer = site.adapted else {
        return site.child.module.parameters.map { name, parameter in
          MergedParameter(path: site.path + "." + name, parameter.value)
        }
      }
      let base = layer.base.operand
      let isChanged = layer.pairs.contains { names.contains($0.name) }
      var weight = MergedParameter(path: site.path + ".weight", base.weight)
      if isChanged {
        weight = MergedParameter(
          path: weight.path, shape: weight.shape, baseType: weight.baseType
        ) { layer.mergedRows($0, of: names) }
      }
      guard let bias = layer.mergedBias(of: names) else { return [weight] }
      guard base.bias != nil else {
        throw AdapterError(
          message:
            "the adapter adds a bias to \(site.path) (lora_bias), which has none in the model",
          hint: "the merged model would be one that transformers does not know: use the adapter as "
            + "it is")
      }
      return [weight, MergedParameter(path: site.path + ".bias", bias)]
    }
  }
}
