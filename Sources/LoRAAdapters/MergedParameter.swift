// The parameters of a model as they are with adapters merged into them, made row by row: what is
// written into a folder, without a second model in memory.

import Foundation
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

  /// A parameter for which an adapter may have a value of its own.
  init(path: String, _ parameter: Parameter, _ names: Set<String>) {
    let own = parameter.replacements.last { names.contains($0.name) }?.parameter.value
    guard let own else {
      self.init(path: path, parameter.value)
      return
    }
    self.init(path: path, shape: own.shape, baseType: parameter.value.dtype) {
      own.rows($0).converted(to: .float32)
    }
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

  /// Whether another parameter has the same values.
  package func equals(_ other: MergedParameter) -> Bool {
    guard shape == other.shape else { return false }
    for start in stride(from: 0, to: rowCount, by: LoRALinear.rowsAtATime) {
      let range = start..<min(start + LoRALinear.rowsAtATime, rowCount)
      let (mine, theirs) = (rows(range), other.rows(range))
      let isSame = withExtendedLifetime((mine, theirs)) {
        memcmp(mine.floats, theirs.floats, mine.count * MemoryLayout<Float>.size) == 0
      }
      guard isSame else { return false }
    }
    return true
  }

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
  /// Every parameter of the model, in its order, with everything that the named adapters have: pairs,
  /// trained rows, and values of their own. Names that the model does not have are a mistake of the
  /// caller.
  ///
  /// - Throws: `AdapterError` where an adapter has a bias for a layer without one.
  package func mergedParameters(_ names: Set<String>) throws -> [MergedParameter] {
    try ModuleMap(self).sites.flatMap { site -> [MergedParameter] in
      if let layer = site.adapted { return try merged(layer, at: site.path, names) }
      if let layer = site.adaptedEmbedding {
        return [
          MergedParameter(
            path: site.path + ".weight", shape: layer.base.weight.value.shape,
            baseType: layer.base.weight.value.dtype
          ) { layer.mergedRows($0, of: names) }
        ]
      }
      if let head = site.child.module as? TiedHead {
        return [try merged(head, at: site.path, names)]
      }
      return site.child.module.parameters.map { name, parameter in
        MergedParameter(path: site.path + "." + name, parameter, names)
      }
    }
  }

  private func merged(
    _ layer: LoRALinear, at path: String, _ names: Set<String>
  ) throws -> [MergedParameter] {
    guard !(layer.base is TiedHead) else { throw AdapterError.sharedHead(path) }
    if let embedding = ModuleMap(self).embeddingTied(toHead: path, names) {
      let table = embedding.base.weight.value
      return [
        MergedParameter(path: path + ".weight", shape: table.shape, baseType: table.dtype) {
          embedding.mergedRows($0, of: names)
        }
      ]
    }
    let base = layer.base.operand
    var weight = MergedParameter(path: path + ".weight", base.weight)
    if layer.pairs.contains(where: { names.contains($0.name) }) {
      weight = MergedParameter(
        path: weight.path, shape: weight.shape, baseType: weight.baseType
      ) { layer.mergedRows($0, of: names) }
    }
    guard let bias = layer.mergedBias(of: names) else { return [weight] }
    guard base.bias != nil else {
      throw AdapterError(
        message: "the adapter adds a bias to \(path) (lora_bias), which has none in the model",
        hint: "the merged model would be one that transformers does not know: use the adapter as "
          + "it is")
    }
    return [weight, MergedParameter(path: path + ".bias", bias)]
  }

  private func merged(
    _ head: TiedHead, at path: String, _ names: Set<String>
  ) throws -> MergedParameter {
    guard let base = head.base as? Linear else { throw AdapterError.sharedHead(path) }
    let weight = MergedParameter(path: path + ".weight", base.weight, names)
    return MergedParameter(path: weight.path, shape: weight.shape, baseType: weight.baseType) {
      head.embedding.replacingTokens(of: weight.rows($0), at: $0, of: names)
    }
  }
}

extension AdapterError {
  fileprivate static func sharedHead(_ path: String) -> AdapterError {
    AdapterError(
      message: "\(path) has a low-rank pair and shares trained tokens with the embedding, which is "
        + "not merged",
      hint: "merge it with PEFT's merge_and_unload(), or use the adapter as it is")
  }
}
