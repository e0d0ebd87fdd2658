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
  /// The layers that get a pair.
  public var targets: TargetModules
  /// The first values of the factors.
  public var initialization: LoRAInitialization
  /// The name or path of the model, for the adapter's file.
  public var baseModel: String?
  /// Whether the scale is alpha/√r instead of alpha/r: rsLoRA, Kalajdzievski 2023 (2312.03732).
  public var isRankStabilized: Bool

  /// Whether the adapted weight's rows get trained lengths: DoRA, Liu et al. 2024 (2402.09353).
  public var usesDoRA = false
  /// Whether B has a bias (PEFT's `lora_bias`).
  public var hasBiasOfB = false
  /// Targets that get no pair after all.
  public var excluded: ModuleNames?
  /// The layers of the stack that get pairs; all without it. Only for targets by name.
  public var layers: LayerSelection?
  /// Other ranks for some of the layers.
  public var rankPattern = ModulePatterns<Int>()
  /// Other alphas for some of the layers.
  public var alphaPattern = ModulePatterns<Float>()
  /// The biases of the model that are trained with the adapter.
  public var biases = BiasTraining.none
  /// Modules that are trained whole, by the last parts of their paths.
  public var modulesToSave: [String] = []
  /// Rows of embeddings that are trained.
  public var trainedTokens: [TrainedTokens] = []

  /// Whether the pair of an embedding acts, transposed, on the head that shares its table too, and the
  /// other way round (PEFT's `ensure_weight_tying`). Read, scored and merged; not trained.
  public var ensuresWeightTying = false

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

  /// s, what B·A is multiplied by where no pattern says otherwise.
  public var scale: Float { pair.scale }

  /// What a pair is like where no pattern says otherwise.
  var pair: LoRALinearConfiguration {
    LoRALinearConfiguration(
      rank: rank, alpha: alpha, dropout: dropout, initialization: initialization,
      isRankStabilized: isRankStabilized, usesDoRA: usesDoRA, hasBiasOfB: hasBiasOfB)
  }

  /// - Throws: `LoRAConfigurationError` when no model could have such an adapter.
  public func validate() throws {
    try validate(pair)
    for (key, rank) in rankPattern.entries {
      var pair = pair
      pair.rank = rank
      try located("rank_pattern[\"\(key)\"]") { try validate(pair) }
    }
    for (key, alpha) in alphaPattern.entries {
      var pair = pair
      pair.alpha = alpha
      try located("alpha_pattern[\"\(key)\"]") { try validate(pair) }
    }
    if isRankStabilized, alpha == nil {
      throw LoRAConfigurationError(
        message: "the rank-stabilised scale alpha/√rank needs an alpha",
        hint: "set alpha, for instance to 16, or leave rank stabilisation off")
    }
    try validateNames()
  }

  /// As `validate()`, but for an adapter that is not trained: PEFT runs one whose inputs were all
  /// dropped.
  package func validateAsStored() throws {
    var checked = self
    if dropout == 1 { checked.dropout = 0 }
    try checked.validate()
  }

  private func validate(_ pair: LoRALinearConfiguration) throws {
    try pair.validate()
    guard pair.rank <= 65_536 else {
      throw LoRAConfigurationError(
        message: "rank is \(pair.rank), more than 65536", hint: "8, 16 and 32 are common ranks")
    }
    guard pair.scale.isFinite else {
      throw LoRAConfigurationError(
        message: "alpha \(pair.alpha ?? 0) makes a scale that is not finite",
        hint: "use a smaller alpha")
    }
  }

  private func validateNames() throws {
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
    if layers != nil, case .pattern = targets {
      throw LoRAConfigurationError(
        message: "a choice of layers by number goes with targets by name, not with a pattern",
        hint: "put the numbers into the pattern, like .*layers\\.[0-3]\\..*q_proj")
    }
    // Compiled again when they are used; here only for their errors.
    do {
      _ = try ConfigurationPatterns(self)
    } catch let error as AdapterError {
      throw LoRAConfigurationError(message: error.message, hint: error.hint)
    }
  }

  private func located(_ key: String, _ body: () throws -> Void) throws {
    do {
      try body()
    } catch let error as LoRAConfigurationError {
      throw LoRAConfigurationError(message: "\(key): \(error.message)", hint: error.hint)
    }
  }
}
