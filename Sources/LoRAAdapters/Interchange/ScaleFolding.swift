// Puts scales and ranks that a reader does not know into the factors: B·f, rounded once.

import LoRATensor

/// What was changed in the factors to say the same in another form.
package struct FoldingReport: Sendable, Hashable {
  /// Layers whose B was multiplied without rounding: by a power of two.
  package var exact = 0
  /// Layers whose B was multiplied and rounded, once, to float32.
  package var rounded = 0
  /// Layers whose factors got zeros to have the others' rank.
  package var padded = 0
  /// Tensors with numbers that were rounded to the element type asked for.
  package var narrowed = 0
  /// Numbers that are too small for that type and became 0.
  package var vanished = 0
}

extension AdapterWeights {
  /// The same adapter with these scales: B takes the quotient.
  ///
  /// - Throws: `AdapterError` where a number would no longer be finite.
  mutating func fold(
    _ report: inout FoldingReport, into scale: (Module) -> Double
  ) throws {
    for index in modules.indices {
      let module = modules[index]
      let new = scale(module)
      guard module.scale != new else { continue }
      // 0 on both sides is caught above; a scale of 0 becomes B = 0.
      let (b, isExact) = module.b.multiplied(by: module.scale / new)
      if let (place, value) = b.converted(to: .float32).firstNotFinite {
        throw failure(
          "B of \(module.path) times its scale \(module.scale) is \(value) at \(place)",
          "the scale is too large to be folded into B: train with a smaller alpha")
      }
      modules[index].b = b
      modules[index].scale = new
      if isExact { report.exact += 1 } else { report.rounded += 1 }
    }
  }

  /// The same adapter with one rank: rows of zeros in A, columns of zeros in B.
  mutating func pad(toRank rank: Int, _ report: inout FoldingReport) {
    for index in modules.indices where modules[index].rank < rank {
      let module = modules[index]
      modules[index].a = module.a.padded(to: [rank, module.inFeatures])
      modules[index].b = module.b.padded(to: [module.outFeatures, rank])
      report.padded += 1
    }
  }

  var largestRank: Int { modules.map(\.rank).max() ?? 1 }

  /// The value that most of the layers have; of equals the first.
  func mostCommon(_ value: (Module) -> Double) -> Double? {
    let values = modules.map(value).filter { $0 != 0 }
    let counts = Dictionary(values.map { ($0, 1) }, uniquingKeysWith: +)
    return values.max { (counts[$0] ?? 0) < (counts[$1] ?? 0) }.flatMap { best in
      values.first { counts[$0] == counts[best] }
    }
  }
}

extension Tensor {
  /// The elements times `factor`, each product rounded once, to float32; in the tensor's own type
  /// where that holds all of them. Exact only for powers of two.
  func multiplied(by factor: Double) -> (product: Tensor, isExact: Bool) {
    let wide = converted(to: .float32)
    let product = Tensor(uninitialized: shape)
    var isExact = factor == 0 || abs(factor.significand) == 1
    for index in 0..<count {
      let exact = Double(wide.floats[index]) * factor
      product.floats[index] = Float(exact)
      if Double(product.floats[index]) != exact { isExact = false }
    }
    guard dtype != .float32, !dtype.isQuantized else { return (product, isExact) }
    let narrow = product.converted(to: dtype)
    return narrow.elements == product.elements ? (narrow, isExact) : (product, isExact)
  }

  /// A matrix with zeros to the right and below.
  fileprivate func padded(to shape: Shape) -> Tensor {
    let result = Tensor.zeros(shape, dtype: dtype)
    let bytes = dtype.byteCount(of: self.shape[1])
    for row in 0..<self.shape[0] {
      (result.pointer + row * dtype.byteCount(of: shape[1])).copyMemory(
        from: pointer + row * bytes, byteCount: bytes)
    }
    return result
  }
}
