// What a low-rank path is made like: rank, scale, dropout and the first values of its factors.

import LoRATensor

/// How the factors start; B starts at 0 unless the case says otherwise.
public enum LoRAInitialization: Sendable, Hashable {
  /// A ~ N(0, deviation²): the textbook, with 0.02.
  case normal(deviation: Float)
  /// A ~ U(−1/√in, 1/√in): PEFT's default, `true` (Kaiming uniform with a = √5).
  case kaimingUniform
  /// A ~ N(0, 1/r²): PEFT's `gaussian`.
  case gaussian
  /// A as `kaimingUniform`, B ~ U(−1/√r, 1/√r): PEFT's `false`; the layer is changed from the start.
  case uniformBoth
  /// A and B of orthogonal halves with B·A ≈ 0; r is even. Source: PEFT's `orthogonal`.
  case orthogonal
  /// The r largest singular directions of W, taken out of W: Meng et al. 2024 (2404.02948).
  /// With `iterations` they are found by a randomised method of that many steps.
  case pissa(iterations: Int?)
  /// The first r columns of W's QR, taken out of W: Büyükakyüz 2024 (2406.01775).
  case olora
}

/// The configuration of one low-rank path; the defaults are the textbook's.
public struct LoRALinearConfiguration: Sendable, Hashable {
  /// r, at least 1.
  public var rank: Int
  /// The scale is alpha/r, or alpha/√r; unset, it is 1.
  public var alpha: Float?
  /// The probability of dropping an element of A's input while training, in [0, 1).
  public var dropout: Float
  /// The first values of the factors.
  public var initialization: LoRAInitialization
  /// Whether the scale is alpha/√r: rsLoRA.
  public var isRankStabilized: Bool
  /// Whether the rows of W + s·B·A get trained lengths: DoRA.
  public var usesDoRA: Bool
  /// Whether B has a bias.
  public var hasBiasOfB: Bool

  /// A configuration; `validate()` tells whether it can be.
  public init(
    rank: Int, alpha: Float? = nil, dropout: Float = 0,
    initialization: LoRAInitialization = .normal(deviation: 0.02),
    isRankStabilized: Bool = false, usesDoRA: Bool = false, hasBiasOfB: Bool = false
  ) {
    self.rank = rank
    self.alpha = alpha
    self.dropout = dropout
    self.initialization = initialization
    self.isRankStabilized = isRankStabilized
    self.usesDoRA = usesDoRA
    self.hasBiasOfB = hasBiasOfB
  }

  /// s = alpha/r (rsLoRA: alpha/√r), or 1 with alpha unset.
  public var scale: Float {
    guard let alpha else { return 1 }
    return isRankStabilized
      ? Float(Double(alpha) / Double(rank).squareRoot()) : alpha / Float(rank)
  }

  /// - Throws: `LoRAConfigurationError` naming the first value that cannot be.
  public func validate() throws {
    guard rank >= 1 else {
      throw LoRAConfigurationError(
        message: "rank is \(rank), but a low-rank path needs at least 1",
        hint: "8, 16 and 32 are common ranks")
    }
    guard dropout >= 0, dropout < 1 else {
      throw LoRAConfigurationError(
        message: "dropout is \(dropout), which is not in [0, 1)",
        hint: "it is the share of inputs to drop: 0 for none, 0.05 for one in twenty")
    }
    if let alpha, !alpha.isFinite {
      throw LoRAConfigurationError(
        message: "alpha is \(alpha)", hint: "leave it unset for a scale of 1, or give a number")
    }
    if case .normal(let deviation) = initialization, !(deviation.isFinite && deviation >= 0) {
      throw LoRAConfigurationError(
        message: "the standard deviation of A's initialisation is \(deviation)",
        hint: "the textbook's is 0.02")
    }
    if case .orthogonal = initialization, rank % 2 != 0 {
      throw LoRAConfigurationError(
        message: "rank is \(rank), but the orthogonal initialisation needs an even one",
        hint: "take \(rank + 1), or another initialisation")
    }
    if case .pissa(let iterations?) = initialization, iterations < 0 {
      throw LoRAConfigurationError(
        message: "PiSSA with \(iterations) iterations", hint: "4 is enough for most weights")
    }
    if initialization.movesBase, scale == 0 || !scale.isFinite {
      throw LoRAConfigurationError(
        message: "the scale is \(scale), but PiSSA and OLoRA divide the weights by it",
        hint: "give an alpha that is not 0")
    }
    if case .pissa = initialization, scale < 0 {
      throw LoRAConfigurationError(
        message: "the scale is \(scale), but PiSSA takes its root", hint: "give a positive alpha")
    }
    if usesDoRA, hasBiasOfB {
      throw LoRAConfigurationError(
        message: "DoRA and a bias of B exclude each other", hint: "choose one of them")
    }
    if hasBiasOfB, initialization.movesBase || initialization == .orthogonal {
      throw LoRAConfigurationError(
        message: "a bias of B goes with B = 0 at the start, not with this initialisation",
        hint: "take kaiming-uniform")
    }
  }

  /// What is allowed but hardly meant: a rank that saves nothing.
  public func warnings(inFeatures: Int, outFeatures: Int) -> [String] {
    guard rank > min(inFeatures, outFeatures) else { return [] }
    return [
      "rank \(rank) is larger than the layer's smaller side (\(inFeatures) → \(outFeatures)): "
        + "a product of such factors cannot have more rank than \(min(inFeatures, outFeatures))"
    ]
  }
}

/// A configuration that cannot be.
public struct LoRAConfigurationError: Error, Hashable, CustomStringConvertible {
  /// What is wrong, with the value that was given.
  public let message: String
  /// What to do.
  public let hint: String

  /// An error with its remedy.
  public init(message: String, hint: String) {
    self.message = message
    self.hint = hint
  }

  /// The message and the hint.
  public var description: String { "\(message)\nhint: \(hint)" }
}
