// Combines several adapters of one model into one: PEFT's add_weighted_adapter, and right where that
// is not (rank-stabilised scales, ranks per layer).

import LoRAJSON
import LoRANN
import LoRATensor

extension AdapterWeights {
  /// One adapter that stands for Σ w·ΔW of several; its scale is 1, its ranks are the factors' own.
  ///
  /// A layer is combined of the adapters that have it.
  /// - Parameter adapters: the adapters with their weights, which may be negative; one at least.
  /// - Throws: `AdapterError` naming what cannot be combined.
  package static func combining(
    _ adapters: [(adapter: AdapterWeights, weight: Double)], _ options: CombinationOptions
  ) throws -> AdapterWeights {
    try combining(adapters, options, keeps: nil)
  }

  /// - Parameter keeps: what random pruning keeps, in place of chance, for tests.
  package static func combining(
    _ adapters: [(adapter: AdapterWeights, weight: Double)], _ options: CombinationOptions,
    keeps: ((Float) -> Bool)?
  ) throws -> AdapterWeights {
    guard !adapters.isEmpty else {
      throw AdapterError(message: "there is no adapter to combine", hint: "name one or more")
    }
    try check(options)
    for (adapter, weight) in adapters {
      try adapter.refuse(beyond: [], target: "a combination", hint: mergeHint)
      guard weight.isFinite else {
        throw adapter.failure("its weight is \(weight)", "give a number")
      }
    }
    var paths: [String] = []
    var pairs: [String: [WeightedPair]] = [:]
    for (adapter, weight) in adapters {
      for module in adapter.modules {
        if pairs[module.path] == nil { paths.append(module.path) }
        pairs[module.path, default: []].append(
          WeightedPair(
            source: adapter.source, module: module, factor: Float(weight * module.scale)))
      }
    }
    let modules = try paths.map { path in
      try combined(pairs[path] ?? [], options, keeps: keeps)
    }
    var result = AdapterWeights(modules: modules, form: .peft, source: adapters[0].adapter.source)
    result.baseModel = adapters.lazy.compactMap(\.adapter.baseModel).first
    let identities = Set(adapters.compactMap(\.adapter.baseIdentity))
    if identities.count == 1 { result.baseIdentity = identities.first }
    result.configuration = unitedTargets(adapters.map(\.adapter))
    return result
  }

  private static func check(_ options: CombinationOptions) throws {
    guard options.density > 0, options.density <= 1 else {
      throw AdapterError(
        message: "the density is \(options.density), which is not in (0, 1]",
        hint: "it is the share of elements that is kept")
    }
    if let rank = options.rank, rank < 1 {
      throw AdapterError(message: "the rank is \(rank)", hint: "give at least 1")
    }
  }

  /// One pair from those that several adapters have for a layer.
  private static func combined(
    _ pairs: [WeightedPair], _ options: CombinationOptions, keeps: ((Float) -> Bool)?
  ) throws -> Module {
    let first = pairs[0]
    for other in pairs.dropFirst() {
      guard other.module.inFeatures == first.module.inFeatures,
        other.module.outFeatures == first.module.outFeatures
      else {
        throw AdapterError(
          message:
            "\(first.module.path) maps \(first.sides) in \(first.source), but \(other.sides) "
            + "in \(other.source)",
          hint: "the adapters were made for different models")
      }
    }
    var result = first.module
    result.scale = 1
    switch options.method {
    case .cat:
      (result.a, result.b) = concatenated(pairs)
    case .svd:
      let (a, b) = concatenated(pairs)
      let rank = options.rank ?? pairs.map(\.module.rank).max() ?? 1
      do {
        (result.a, result.b) = try truncated(a: a, b: b, rank: rank)
      } catch let error as LinearAlgebraError {
        throw AdapterError(
          message: "\(first.module.path): \(error.message)",
          hint: "one of the adapters is broken: its training probably diverged")
      }
    default:
      if let other = pairs.first(where: { $0.module.rank != first.module.rank }) {
        throw AdapterError(
          message: "\(first.module.path) has rank \(first.module.rank) in \(first.source), but "
            + "\(other.module.rank) in \(other.source): \(options.method.rawValue) needs equal ranks",
          hint: "use cat, which is exact, or svd")
      }
      (result.a, result.b) = elementwise(pairs, options, keeps: keeps)
    }
    return result
  }

  /// The exact sum: A = [w·s·A; …], B = [B, …].
  private static func concatenated(_ pairs: [WeightedPair]) -> (a: Tensor, b: Tensor) {
    let rank = pairs.reduce(0) { $0 + $1.module.rank }
    let (inFeatures, outFeatures) = (pairs[0].module.inFeatures, pairs[0].module.outFeatures)
    let a = Tensor(uninitialized: [rank, inFeatures])
    let b = Tensor(uninitialized: [outFeatures, rank])
    var start = 0
    for pair in pairs {
      let part = pair.a * Tensor(pair.factor)
      a.rows(start..<start + pair.module.rank).copy(from: part)
      let columns = pair.b
      withExtendedLifetime(columns) {
        for row in 0..<outFeatures {
          (b.floats + row * rank + start).update(
            from: columns.floats + row * pair.module.rank, count: pair.module.rank)
        }
      }
      start += pair.module.rank
    }
    return (a, b)
  }

  /// The best pair of rank `rank` at most for B·A.
  ///
  /// With B = Q₁R₁ and Aᵀ = Q₂R₂, B·A = Q₁(R₁R₂ᵀ)Q₂ᵀ: only the small matrix is decomposed.
  private static func truncated(a: Tensor, b: Tensor, rank: Int) throws -> (a: Tensor, b: Tensor) {
    guard a.shape[0] <= min(a.shape[1], b.shape[0]) else {
      return try b.matmul(a).singularValueDecomposition(rank: rank).factors()
    }
    let left = try b.orthonormalColumns()
    let right = try a.transposed().orthonormalColumns()
    let core = left.r.matmul(right.r.transposed())
    let small = try core.singularValueDecomposition(rank: rank).factors()
    return (small.a.matmul(right.q.transposed()), left.q.matmul(small.b))
  }

  /// The factors combined one by one, √|w·s| to each and the sign to A.
  private static func elementwise(
    _ pairs: [WeightedPair], _ options: CombinationOptions, keeps: ((Float) -> Bool)?
  ) -> (a: Tensor, b: Tensor) {
    func combine(_ letter: String, _ tensors: [(values: Tensor, weight: Float)]) -> Tensor {
      // A stream per factor: which layers an adapter has changes nothing elsewhere.
      var random = Random(seed: options.seed ^ "\(pairs[0].module.path).\(letter)".stableHash)
      let bound = Int(options.density * 0x1p24)
      let combination = ElementwiseCombination(
        options: options, keeps: keeps ?? { _ in random.index(below: 1 << 24) < bound })
      return combination.combine(tensors)
    }
    let roots = pairs.map { abs($0.factor).squareRoot() }
    return (
      combine("A", zip(pairs, roots).map { ($0.a, $0.factor < 0 ? -$1 : $1) }),
      combine("B", zip(pairs, roots).map { ($0.b, $1) })
    )
  }

  /// The targets of all, where plain lists of names select just the layers that the adapters have.
  private static func unitedTargets(_ adapters: [AdapterWeights]) -> LoRAConfiguration? {
    var names: [String] = []
    for adapter in adapters {
      guard let configuration = adapter.configuration, configuration.layers == nil,
        configuration.excluded == nil, configuration.modulesToSave.isEmpty,
        !configuration.ensuresWeightTying,
        case .names(let own) = configuration.targets
      else { return nil }
      names += own.filter { !names.contains($0) }
    }
    return LoRAConfiguration(targets: .names(names.sorted()))
  }
}

/// What one adapter contributes to a layer.
private struct WeightedPair {
  let source: String
  let module: AdapterWeights.Module
  /// w·s.
  let factor: Float

  var a: Tensor { module.a.converted(to: .float32) }
  var b: Tensor { module.b.converted(to: .float32) }
  var sides: String { "\(module.inFeatures) to \(module.outFeatures) features" }
}

extension String {
  /// The same number for the same text, whichever process asks (FNV-1a).
  fileprivate var stableHash: UInt64 {
    utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
  }
}
