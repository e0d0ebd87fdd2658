// Choosing the next token from logits: transformers' processors in transformers' order, then a draw.

import Foundation
import LoRATensor

/// How the next token is chosen.
public struct SamplingOptions: Sendable, Hashable {
  /// 0 (or below 1e-6) takes the most probable token; above, logits are divided by it.
  public var temperature: Double
  /// Only this many of the most probable tokens are drawn from, and those as probable as the last
  /// of them; 0: all.
  public var topK: Int
  /// The smallest set of tokens whose probabilities reach this is drawn from (nucleus sampling,
  /// Holtzman et al. 2020).
  public var topP: Double
  /// Only tokens are drawn that have this share of the best one's probability (Nguyen et al. 2024).
  public var minP: Double
  /// The logit of a token of the prompt or the answer is divided by this, multiplied where it is
  /// negative (Keskar et al. 2019); 1: off. Acts at temperature 0 too.
  public var repetitionPenalty: Double
  /// The same seed draws the same tokens.
  public var seed: UInt64

  /// Greedy unless a temperature is given.
  public init(
    temperature: Double = 0, topK: Int = 0, topP: Double = 1, minP: Double = 0,
    repetitionPenalty: Double = 1, seed: UInt64 = 42
  ) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.minP = minP
    self.repetitionPenalty = repetitionPenalty
    self.seed = seed
  }

  /// The options of one of several answers: each draws numbers of its own, whatever their number.
  package func ofAnswer(_ index: Int) -> SamplingOptions {
    var options = self
    options.seed &+= UInt64(index) &* 0x9E37_79B9_7F4A_7C15
    return options
  }

  var isGreedy: Bool { temperature < 1e-6 }
}

/// Draws the tokens of one text. A value: every text has its own.
public struct Sampler: Sendable {
  private let options: SamplingOptions
  private var random: Random
  /// The tokens of the prompt and the answer, where there is a penalty on them.
  private var seen: Set<Int32>

  /// A sampler for what follows a prompt.
  public init(_ options: SamplingOptions, prompt: [Int32] = []) {
    self.options = options
    random = Random(seed: options.seed)
    seen = options.repetitionPenalty == 1 ? [] : Set(prompt)
  }

  /// The next token, by one row of logits.
  public mutating func token(_ logits: [Float]) -> Int32 {
    let scores = scores(logits)
    let token = options.isGreedy ? scores.indexOfLargest : draw(scores)
    if options.repetitionPenalty != 1 { seen.insert(Int32(token)) }
    return Int32(token)
  }

  /// The logits as transformers' processors leave them: repetition penalty, temperature, top-k, top-p,
  /// min-p; −∞ is what is not drawn.
  package func scores(_ logits: [Float]) -> [Float] {
    var scores = logits
    if options.repetitionPenalty != 1 {
      let penalty = Float(options.repetitionPenalty)
      for token in seen where scores.indices.contains(Int(token)) {
        let score = scores[Int(token)]
        scores[Int(token)] = score < 0 ? score * penalty : score / penalty
      }
    }
    guard !options.isGreedy else { return scores }
    if options.temperature != 1 {
      let temperature = Float(options.temperature)
      for i in scores.indices { scores[i] /= temperature }
    }
    if options.topK > 0, options.topK < scores.count { scores.keepLargest(options.topK) }
    if options.topP < 1 { scores.keepNucleus(options.topP) }
    if options.minP > 0 { scores.keepShare(Float(options.minP)) }
    return scores
  }

  private mutating func draw(_ scores: [Float]) -> Int {
    let best = scores.indexOfLargest
    let weights = scores.map { exp(Double($0 - scores[best])) }
    // 53 bits, as a Double has.
    var rest = Double(random.index(below: 1 << 53)) * 0x1p-53 * weights.reduce(0, +)
    var last = best
    for (index, weight) in weights.enumerated() where weight > 0 {
      rest -= weight
      if rest < 0 { return index }
      last = index
    }
    return last
  }
}

extension [Float] {
  /// The first of equals.
  var indexOfLargest: Int { indices.max { self[$0] < self[$1] } ?? 0 }

  /// Removes what is below the k-th largest: what equals it stays.
  fileprivate mutating func keepLargest(_ k: Int) {
    let limit = largest(k).last.map { self[$0] } ?? -.infinity
    for i in indices where self[i] < limit { self[i] = -.infinity }
  }

  /// The places of the largest elements, in order; the first of equals first.
  func largest(_ k: Int) -> [Int] {
    func precedes(_ a: Int, _ b: Int) -> Bool { (self[b], a) < (self[a], b) }
    guard k <= 256 else { return Array<Int>(indices.sorted(by: precedes).prefix(k)) }
    var best: [Int] = []
    for i in indices where best.count < k || best.last.map({ self[i] > self[$0] }) == true {
      best.insert(i, at: best.firstIndex { precedes(i, $0) } ?? best.count)
      if best.count > k { best.removeLast() }
    }
    return best
  }

  /// Removes, from the least probable on, what has a probability of at most 1 − p together.
  fileprivate mutating func keepNucleus(_ p: Double) {
    let best = self[indexOfLargest]
    let weights = map { exp(Double($0 - best)) }
    let total = weights.reduce(0, +)
    let share = 1 - p
    // All of these together stay below the limit, so that few are left to sort.
    let surely = share / Double(count)
    var sum = 0.0
    var rest: [Int] = []
    for (index, weight) in weights.enumerated() {
      let probability = weight / total
      if probability < surely {
        sum += probability
        self[index] = -.infinity
      } else {
        rest.append(index)
      }
    }
    // Of equals, the one with the lower number goes first.
    rest.sort { (weights[$0], $0) < (weights[$1], $1) }
    for index in rest.dropLast() {
      sum += weights[index] / total
      guard Float(sum) <= Float(share) else { return }
      self[index] = -.infinity
    }
  }

  /// Removes what has less than this share of the largest probability.
  fileprivate mutating func keepShare(_ share: Float) {
    let best = self[indexOfLargest]
    for i in indices where Float(exp(Double(self[i] - best))) < share { self[i] = -.infinity }
  }
}
