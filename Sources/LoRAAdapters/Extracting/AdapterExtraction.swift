// An adapter out of two models: the low-rank part of what training changed.
//
//   ΔW = W_tuned − W_base ≈ B·A of rank r, the best there is (Eckart & Young 1936):
//   U·√S and √S·Vᵀ of the r largest singular values

import Foundation
import LoRAFormats
import LoRAJSON
package import LoRANN
import LoRATensor

/// What was taken out of two models.
package struct AdapterExtraction {
  /// A layer whose difference has become a pair.
  package struct Layer {
    /// The layer's path.
    package let path: String
    /// The rank of the pair.
    package let rank: Int
    /// ‖ΔW‖ / ‖W_base‖.
    package let change: Double
    /// The share of ‖ΔW‖² that the pair holds, 0 … 1.
    package let explained: Double
    fileprivate let squared: Double
  }

  /// A parameter that differs and is no targeted linear layer, so that the adapter lacks it.
  package struct Remainder {
    package let path: String
    /// ‖Δ‖ / ‖base‖.
    package let change: Double
  }

  /// The adapter, with a pair for every layer that differs.
  package private(set) var adapter: AdapterWeights
  /// The layers with pairs, in the order of the model.
  package private(set) var layers: [Layer] = []
  /// What the adapter cannot hold.
  package private(set) var remainders: [Remainder] = []

  /// The share of Σ‖ΔW‖² over the layers that the adapter holds.
  package var explained: Double {
    let total = layers.reduce(0) { $0 + $1.squared }
    return total > 0 ? layers.reduce(0) { $0 + $1.squared * $1.explained } / total : 1
  }

  /// The smaller side up to which all singular values are computed; above, the largest are found by
  /// subspace iteration, which is as good for an adapter and does not take minutes a layer.
  private static let largestExact = 1024

  /// Takes the difference of two models of one shape, layer by layer.
  ///
  /// - Parameters:
  ///   - rank: r, at most; a layer with a smaller side has that.
  ///   - targets: the ends of the paths of the layers that get pairs; nil: every linear layer.
  ///   - onProgress: receives the number of parameters done and the number of all.
  /// - Throws: `AdapterError` where the models are not of one shape or do not differ, or a target
  ///   matches nothing; `LinearAlgebraError` is told as an `AdapterError` with the layer.
  package init(
    base: any Module, tuned: any Module, rank: Int, targets: [String]? = nil,
    onProgress: (Int, Int) throws -> Void = { _, _ in }
  ) throws {
    let parameters = try Self.aligned(
      base.mergedParameters([]), try tuned.mergedParameters([]))
    let adaptable = try ModuleMap(base).layers(named: targets)
    adapter = AdapterWeights(modules: [], form: .peft, source: "")
    var modules: [AdapterWeights.Module] = []
    for (index, (before, after)) in parameters.enumerated() {
      try onProgress(index, parameters.count)
      let path = String(before.path.dropLast(".weight".count))
      guard before.path.hasSuffix(".weight"), adaptable.contains(path) else {
        let change = Self.change(from: before, to: after)
        if change > 0 { remainders.append(Remainder(path: before.path, change: change)) }
        continue
      }
      let old = before.rows(0..<before.rowCount)
      let difference = after.rows(0..<after.rowCount) - old
      guard difference.squaredNorm != 0 else { continue }
      let (a, b) = try Self.factors(of: difference, rank: rank, path: path)
      let missing = (difference - b.matmul(a)).squaredNorm
      layers.append(
        Layer(
          path: path, rank: a.shape[0],
          change: (difference.squaredNorm / old.squaredNorm).squareRoot(),
          explained: max(0, 1 - missing / difference.squaredNorm),
          squared: difference.squaredNorm))
      modules.append(AdapterWeights.Module(path: path, a: a, b: b, scale: 1))
    }
    guard !modules.isEmpty else {
      throw AdapterError(
        message: "the models do not differ in any of the linear layers",
        hint: remainders.isEmpty
          ? "they hold the same numbers: name the tuned model with --tuned"
          : "what differs is " + remainders.map(\.path).listed()
            + ", which an adapter does not hold")
    }
    adapter = AdapterWeights(modules: modules, form: .peft, source: "")
  }

  /// Writes the base's name and the identity of its weights into the adapter.
  package mutating func setBase(_ name: String, identity: String) {
    adapter.baseModel = name
    adapter.baseIdentity = identity
  }

  private static func factors(
    of difference: Tensor, rank: Int, path: String
  ) throws -> (a: Tensor, b: Tensor) {
    do {
      let side = min(difference.shape[0], difference.shape[1])
      guard side > largestExact, rank < side / 4 else {
        return try difference.singularValueDecomposition(rank: rank).factors()
      }
      // Some more vectors than asked for, of which the best are kept: they converge faster.
      var random = Random(seed: 42)
      let wide = try difference.singularValueDecomposition(
        rank: rank + 8, iterations: 4, random: &random
      ).factors()
      let b = Tensor.zeros([difference.shape[0], rank])
      withExtendedLifetime(wide.b) {
        for row in 0..<b.shape[0] {
          (b.floats + row * rank).update(from: wide.b.floats + row * (rank + 8), count: rank)
        }
      }
      return (wide.a.rows(0..<rank).copied(), b)
    } catch let error as LinearAlgebraError {
      throw AdapterError(message: "\(path): \(error.message)", hint: error.hint)
    }
  }

  /// The parameters of both models side by side.
  private static func aligned(
    _ base: [MergedParameter], _ tuned: [MergedParameter]
  ) throws -> [(MergedParameter, MergedParameter)] {
    let other = Dictionary(tuned.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
    let hint = "both must be the same model before and after training"
    if let extra = tuned.first(where: { own in !base.contains { $0.path == own.path } }) {
      throw AdapterError(message: "the base has no \(extra.path), the tuned model has", hint: hint)
    }
    return try base.map { parameter in
      guard let match = other[parameter.path] else {
        throw AdapterError(
          message: "the tuned model has no \(parameter.path), the base has", hint: hint)
      }
      guard match.shape == parameter.shape else {
        throw AdapterError(
          message: "\(parameter.path) has the shape \(parameter.shape) in the base, but "
            + "\(match.shape) in the tuned model", hint: hint)
      }
      return (parameter, match)
    }
  }

  /// ‖Δ‖ / ‖base‖, block by block: an embedding may be large.
  private static func change(from base: MergedParameter, to tuned: MergedParameter) -> Double {
    var (difference, norm) = (0.0, 0.0)
    for start in stride(from: 0, to: base.rowCount, by: LoRALinear.rowsAtATime) {
      let range = start..<min(start + LoRALinear.rowsAtATime, base.rowCount)
      let old = base.rows(range)
      difference += (tuned.rows(range) - old).squaredNorm
      norm += old.squaredNorm
    }
    return difference == 0 ? 0 : (difference / max(norm, .leastNonzeroMagnitude)).squareRoot()
  }
}

extension ModuleMap {
  /// The paths of the linear layers with these ends of paths; nil: of all but the head.
  fileprivate func layers(named names: [String]?) throws -> Set<String> {
    guard let names else { return Set(adaptable.map(\.path)) }
    let selection = try select(LoRAConfiguration(targets: .names(names)))
    guard selection.unmatched.isEmpty else { throw noMatch(selection.unmatched) }
    return Set(selection.layers.map(\.path))
  }
}

extension Tensor {
  /// Σ x² in double precision.
  fileprivate var squaredNorm: Double {
    withExtendedLifetime(self) {
      let values = floats
      var sum = 0.0
      for i in 0..<count { sum += Double(values[i]) * Double(values[i]) }
      return sum
    }
  }
}
