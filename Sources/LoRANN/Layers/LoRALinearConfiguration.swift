// What a low-rank path is made like: rank, scale, dropout and the first values of A.

import LoRATensor

/// How A starts; B always starts at 0.
public enum LoRAInitialization: Sendable, Hashable {
  /// A ~ N(0, deviation²): the textbook, with 0.02.
  case normal(deviation: Float)
  /// A ~ U(−1/√in, 1/√in): PEFT's default (Kaiming uniform with a = √5).
  case kaimingUniform

  func makeA(rank: Int, inFeatures: Int, random: inout Random) -> Tensor {
    switch self {
    case .normal(let deviation):
      return random.normal([rank, inFeatures], deviation: deviation)
    case .kaimingUniform:
      let bound = 1 / Float(inFeatures).squareRoot()
      return random.uniform([rank, inFeatures], low: -bound, high: bound)
    }
  }
}

/// The configuration of one low-rank path; the defaults are the textbook's.
public struct LoRALinearConfiguration: Sendable, Hashable {
  /// r, at least 1.
  public var rank: Int
  /// The scale is alpha/r; unset, it is 1.
  public var alpha: Float?
  /// The probability of dropping an element of A's input while training, in [0, 1).
  public var dropout: Float
  /// The first values of A.
  public var initialization: LoRAInitialization

  /// A configuration; `validate()` tells whether it can be.
  public init(
    rank: Int, alpha: Float? = nil, dropout: Float = 0,
    initialization: LoRAInitialization = .normal(deviation: 0.02)
  ) {
    self.rank = rank
    self.alpha = alpha
    self.dropout = dropout
    self.initialization = initialization
  }

  /// s = alpha/r, or 1 with alpha unset.
  public var scale: Float { alpha.map { $0 / Float(rank) } ?? 1 }

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
