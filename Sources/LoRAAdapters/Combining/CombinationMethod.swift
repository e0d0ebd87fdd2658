// The ways to make one adapter of several, and their settings.

/// How the low-rank pairs of several adapters become one pair.
///
/// w is an adapter's weight and s its scale. The last four work on A and B element by element, as
/// PEFT's do, and need equal ranks; like `linear` they are approximations of Σ w·s·B·A.
public enum CombinationMethod: String, Sendable, CaseIterable {
  /// The exact sum Σ w·s·B·A; the ranks add up.
  case cat
  /// The best approximation of the exact sum of a given rank.
  case svd
  /// Sums of the factors: A = Σ ±√|w·s|·A, B = Σ √|w·s|·B.
  case linear
  /// Only the largest elements, and of those only the ones with the sign that most agree on: TIES,
  /// Yadav et al. 2023 (2306.01708).
  case ties
  /// Random elements, the rest scaled up: DARE, Yu et al. 2023 (2311.03099).
  case dareLinear = "dare-linear"
  /// Random elements as in DARE, with the signs elected as in TIES.
  case dareTies = "dare-ties"
  /// Only the largest elements.
  case magnitudePrune = "magnitude-prune"

  /// Whether a share of the elements is kept.
  public var prunes: Bool {
    switch self {
    case .ties, .dareLinear, .dareTies, .magnitudePrune: true
    case .cat, .svd, .linear: false
    }
  }
}

/// Which sign wins where adapters disagree.
public enum MajoritySign: String, Sendable, CaseIterable {
  /// That of the sum.
  case total
  /// That of the greater number.
  case frequency
}

/// How adapters are combined.
public struct CombinationOptions: Sendable, Hashable {
  /// The way.
  public var method: CombinationMethod
  /// The rank of the result, for `svd`; nil: the largest of the adapters' ranks.
  public var rank: Int?
  /// The share of elements that is kept, in (0, 1], for the methods that prune.
  public var density: Double
  /// The sign that wins, for `ties` and `dareTies`.
  public var majoritySign: MajoritySign
  /// What random elements follow from, for the two DARE methods.
  public var seed: UInt64

  /// Options with their defaults.
  public init(
    method: CombinationMethod = .cat, rank: Int? = nil, density: Double = 0.5,
    majoritySign: MajoritySign = .total, seed: UInt64 = 42
  ) {
    self.method = method
    self.rank = rank
    self.density = density
    self.majoritySign = majoritySign
    self.seed = seed
  }
}
