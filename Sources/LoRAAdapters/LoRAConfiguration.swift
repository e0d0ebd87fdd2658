// What an adapter is like: which layers of a model it adapts, and the pairs it puts beside them.

public import LoRANN

/// The configuration of an adapter over a whole model; the defaults are the command's.
public struct LoRAConfiguration: Sendable, Hashable {
  /// r of every pair, 1 … 65,536.
  public var rank: Int
  /// The scale is alpha/r (or alpha/√r); unset, it is 1.
  public var alpha: Float?
  /// The probability of dropping an element of A's input while training, in [0, 1).
  public var dropout: Float
  /// The linear layers that get a pair.
  public var targets: TargetModules
  /// The first values of A; B starts at 0.
  public var initialization: LoRAInitialization
  /// The name or path of the model, for the adapter's file.
  public var baseModel: String?
  /// Whether the scale is alpha/√r instead of alpha/r: rsLoRA, Kalajdzievski 2023 (2312.03732).
  public var isRankStabilized: Bool

  /// A configuration; `validate()` tells whether it can be.
  public init(
    rank: Int = 16, alpha: Float? = nil, dropout: Float = 0, targets: TargetModules = .allLinear,
    initialization: LoRAInitialization = .kaimingUniform, baseModel: String? = nil,
    isRankStabilized: Bool = false
  ) {
    self.rank = rank
    self.alpha = alpha
    self.dropout = dropout
    self.targets = targets
    self.initialization = initialization
    self.baseModel = baseModel
    self.isRankStabilized = isRankStabilized
  }

  /// s, what B·A is multiplied by.
  public var scale: Float {
    guard let alpha else { return 1 }
    return isRankStabilized
      ? Float(Double(alpha) / Double(rank).squareRoot()) : alpha / Float(rank)
  }

  /// - Throws: `LoRAConfigurationError` when no layer could have such a pair.
  public func validate() throws {
    try pairConfiguration.validate()
    guard rank <= 65_536 else {
      throw LoRAConfigurationError(
        message: "rank is \(rank), more than 65536", hint: "8, 16 and 32 are common ranks")
    }
    if isRankStabilized, alpha == nil {
      throw LoRAConfigurationError(
        message: "the rank-stabilised scale alpha/√rank needs an alpha",
        hint: "set alpha, for instance to 16, or leave rank stabilisation off")
    }
    guard scale.isFinite else {
      throw LoRAConfigurationError(
        message: "alpha \(alpha ?? 0) makes a scale that is not finite", hint: "use a smaller alpha"
      )
    }
    if case .names(let names) = targets {
      guard !names.isEmpty else {
        throw LoRAConfigurationError(
          message: "the list of target modules is empty",
          hint: "name the layers to adapt, like q_proj and v_proj, or take all-linear")
      }
      guard !names.contains("") else {
        throw LoRAConfigurationError(
          message: "the list of target modules has an empty name", hint: "remove it")
      }
    }
  }

  /// One pair's part of the configuration; its scale is that of `self`, not its own.
  var pairConfiguration: LoRALinearConfiguration {
    LoRALinearConfiguration(
      rank: rank, alpha: alpha, dropout: dropout, initialization: initialization)
  }
}
