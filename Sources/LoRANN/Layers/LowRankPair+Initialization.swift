// How a low-rank path starts: at nothing, near nothing, or as a part taken out of the base weight.

public import LoRATensor

extension LowRankPair {
  /// A path beside a layer, initialised as the configuration says.
  ///
  /// A layer computes with it what it did before, except after `uniformBoth` (PEFT's `false`):
  /// B is 0, or B·A is next to nothing (orthogonal), or what B·A has is taken out of W (PiSSA, OLoRA;
  /// up to rounding).
  /// - Throws: `LoRAConfigurationError`; `LinearAlgebraError` for a weight that holds NaN or
  ///   infinity.
  public convenience init(
    _ configuration: LoRALinearConfiguration, beside base: any LinearLayer, random: inout Random
  ) throws {
    try configuration.validate()
    let weight = base.operand.weight.detached
    let factors = try configuration.makeFactors(for: weight, random: &random)
    let outFeatures = base.outFeatures
    self.init(
      a: Parameter(factors.a), b: Parameter(factors.b), scale: configuration.scale,
      dropout: configuration.dropout,
      bias: configuration.hasBiasOfB ? Parameter(.zeros([outFeatures])) : nil,
      magnitude: configuration.usesDoRA ? Parameter(.zeros([outFeatures])) : nil,
      start: configuration.initialization.movesBase ? factors : nil)
    magnitude?.load(rowLengths(of: weight))
  }
}

extension LoRAInitialization {
  /// Whether a part of the base weight moves into the factors.
  public var movesBase: Bool {
    switch self {
    case .pissa, .olora: true
    case .normal, .kaimingUniform, .gaussian, .uniformBoth, .orthogonal: false
    }
  }
}

extension LoRALinearConfiguration {
  /// A₀ and B₀ of an initialisation that follows from the weight [out, in] alone: PiSSA and OLoRA;
  /// nil for others. Their product has no signs to choose.
  ///
  /// - Throws: `LinearAlgebraError` for a weight that holds NaN or infinity.
  package func start(besides weight: Tensor) throws -> (a: Tensor, b: Tensor)? {
    guard [.pissa(iterations: nil), .olora].contains(initialization) else { return nil }
    var random = Random(seed: 0)
    return try makeFactors(for: weight.detached, random: &random)
  }

  /// A [r, in] and B [out, r] for a weight [out, in].
  fileprivate func makeFactors(
    for weight: Tensor, random: inout Random
  ) throws -> (a: Tensor, b: Tensor) {
    let (outFeatures, inFeatures) = (weight.shape[0], weight.shape[1])
    func uniform(_ shape: Shape, _ features: Int) -> Tensor {
      let bound = 1 / Float(features).squareRoot()
      return random.uniform(shape, low: -bound, high: bound)
    }
    let zeros = Tensor.zeros([outFeatures, rank])
    switch initialization {
    case .normal(let deviation):
      return (random.normal([rank, inFeatures], deviation: deviation), zeros)
    case .gaussian:
      return (random.normal([rank, inFeatures], deviation: 1 / Float(rank)), zeros)
    case .kaimingUniform:
      return (uniform([rank, inFeatures], inFeatures), zeros)
    case .uniformBoth:
      return (uniform([rank, inFeatures], inFeatures), uniform([outFeatures, rank], rank))
    case .orthogonal:
      return try orthogonalFactors(inFeatures, outFeatures, random: &random)
    case .pissa(let iterations):
      // s·B·A is the best approximation of W of rank r: each factor takes the roots of S/s.
      let svd =
        if let iterations {
          try weight.singularValueDecomposition(
            rank: rank, iterations: iterations, random: &random)
        } else {
          try weight.singularValueDecomposition(rank: rank)
        }
      return padded(svd.factors(times: 1 / scale))
    case .olora:
      // The first r columns of Q need no more than the first r of W, and R = QᵀW.
      let q = try weight.orthonormalColumns(first: min(rank, outFeatures)).q
      return padded((q.transposed().matmul(weight.converted(to: .float32)), q))
    }
  }

  /// B = Y·Q_even and A = (X·Q_odd)ᵀ of random X and Y and the rows of one orthogonal Q, over 10:
  /// the halves have nothing in common, so B·A is 0 up to rounding.
  private func orthogonalFactors(
    _ inFeatures: Int, _ outFeatures: Int, random: inout Random
  ) throws -> (a: Tensor, b: Tensor) {
    let q = try random.normal([rank, rank]).orthonormalColumns().q
    let half = rank / 2
    func part(_ first: Int, _ features: Int) -> Tensor {
      let rows = (0..<half).map { q.rows(2 * $0 + first..<2 * $0 + first + 1).elements }
      let basis = Tensor(rows.flatMap { $0 }, shape: [half, rank])
      return random.normal([features, half]).matmul(basis) * Tensor(0.1)
    }
    return (part(0, inFeatures).transposed(), part(1, outFeatures))
  }

  /// Zeros where the weight has fewer directions than the rank.
  private func padded(_ factors: (a: Tensor, b: Tensor)) -> (a: Tensor, b: Tensor) {
    let found = factors.a.shape[0]
    guard found < rank else { return factors }
    let a = Tensor.zeros([rank, factors.a.shape[1]])
    a.rows(0..<found).copy(from: factors.a)
    let b = Tensor.zeros([factors.b.shape[0], rank])
    for row in 0..<b.shape[0] {
      for column in 0..<found {
        b.floats[row * rank + column] = factors.b.floats[row * found + column]
      }
    }
    return (a, b)
  }
}
