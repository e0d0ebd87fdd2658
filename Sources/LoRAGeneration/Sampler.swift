// Choosing the next token from logits.

import Foundation
import LoRATensor

/// How the next token is chosen.
public struct SamplingOptions: Sendable, Hashable {
  /// 0 takes the most probable token; above, logits are divided by it.
  public var temperature: Float
  /// The smallest set of tokens whose probabilities reach this is drawn from (nucleus sampling).
  public var topP: Float
  /// The same seed draws the same tokens.
  public var seed: UInt64

  /// Greedy unless a temperature is given.
  public init(temperature: Float = 0, topP: Float = 1, seed: UInt64 = 42) {
    self.temperature = temperature
    self.topP = topP
    self.seed = seed
  }
}

/// Draws tokens; nucleus sampling after Holtzman et al. 2020.
package struct Sampler {
  private let options: SamplingOptions
  private var random: Random

  package init(_ options: SamplingOptions) {
    self.options = options
    random = Random(seed: options.seed)
  }

  /// A token for one row of logits.
  package mutating func token(_ logits: [Float]) -> Int32 {
    let best = logits.indices.max { logits[$0] < logits[$1] } ?? 0
    guard options.temperature > 0 else { return Int32(best) }
    let weights = logits.map { exp(Double(($0 - logits[best]) / options.temperature)) }
    let total = weights.reduce(0, +)
    var order = Array(weights.indices)
    var mass = total
    if options.topP < 1 {
      order.sort { weights[$0] > weights[$1] }
      var sum = 0.0
      var count = 0
      while count < order.count && sum < Double(options.topP) * total {
        sum += weights[order[count]]
        count += 1
      }
      order.removeLast(order.count - max(count, 1))
      mass = order.reduce(0) { $0 + weights[$1] }
    }
    // 53 bits, as a Double has.
    var rest = Double(random.index(below: 1 << 53)) * 0x1p-53 * mass
    for index in order {
      rest -= weights[index]
      if rest < 0 { return Int32(index) }
    }
    return Int32(order.last ?? best)
  }
}
