// How far apart what two models say is: the proof that a merge changed nothing but rounding.

import LoRAModels
import LoRATensor

/// The difference of two models' predictions over sequences of tokens.
public struct LogitDifference: Sendable, Hashable {
  /// The predictions compared: one after each token.
  public private(set) var count = 0
  /// max |Δ logit|.
  public private(set) var maximum: Float = 0
  /// KL(first ‖ second), the mean over the predictions, in nats.
  public var meanDivergence: Double { count > 0 ? sum / Double(count) : 0 }
  /// The largest KL of one prediction, in nats.
  public private(set) var maximumDivergence = 0.0
  /// The share of predictions with the same most probable token, 0 … 1.
  public var agreement: Double { count > 0 ? Double(agreeing) / Double(count) : 1 }

  private var sum = 0.0
  private var agreeing = 0

  /// Rows whose logits exist at the same time.
  private static let rowsAtATime = 32

  /// Runs both models over every sequence, which has a token at least.
  public init(of first: Llama, _ second: Llama, over sequences: [[Int32]]) {
    self.init(of: first, second, over: sequences) { _ in }
  }

  /// Runs both models over every sequence, which has a token at least.
  ///
  /// - Parameter onProgress: receives the number of sequences done; what it throws ends the work.
  public init(
    of first: Llama, _ second: Llama, over sequences: [[Int32]],
    onProgress: (Int) throws -> Void
  ) rethrows {
    for (index, tokens) in sequences.enumerated() {
      let packing = Packing(lengths: [tokens.count])
      let a = first.hiddenStates(tokens, packing: packing)
      let b = second.hiddenStates(tokens, packing: packing)
      for start in stride(from: 0, to: tokens.count, by: Self.rowsAtATime) {
        let range = start..<min(start + Self.rowsAtATime, tokens.count)
        add(first.logits(a.rows(range)), second.logits(b.rows(range)))
      }
      try onProgress(index + 1)
    }
  }

  /// Adds the predictions of logits [rows, vocabulary].
  private mutating func add(_ a: Tensor, _ b: Tensor) {
    let (p, logP, logQ) = (a.softmax(), a.logSoftmax(), b.logSoftmax())
    let terms = p * (logP - logQ)
    let width = a.shape.lastDimension
    withExtendedLifetime((a, b, terms)) {
      for row in 0..<a.shape.rows {
        let x = a.floats + row * width
        let y = b.floats + row * width
        let t = terms.floats + row * width
        var divergence = 0.0
        var (bestX, bestY) = (0, 0)
        for i in 0..<width {
          // A difference that is no number must not be lost in a comparison.
          let difference = abs(x[i] - y[i])
          if !(difference <= maximum) { maximum = difference }
          divergence += Double(t[i])
          if x[i] > x[bestX] { bestX = i }
          if y[i] > y[bestY] { bestY = i }
        }
        count += 1
        // Rounding may bring the sum of equal distributions below 0.
        let clamped = divergence < 0 ? 0 : divergence
        sum += clamped
        if !(clamped <= maximumDivergence) { maximumDivergence = clamped }
        if bestX == bestY { agreeing += 1 }
      }
    }
  }
}
