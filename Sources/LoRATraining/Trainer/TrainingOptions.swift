// How a run goes: the defaults are those of the command.

/// The choices of a training run.
public struct TrainingOptions: Sendable, Hashable {
  /// The peak learning rate.
  public var learningRate: Double = 2e-4
  /// Its course after the warm-up.
  public var schedule: LearningRateSchedule = .linear
  /// The share of the steps in which it rises from 0.
  public var warmupRatio: Double = 0.03
  /// The steps in which it rises, in place of the share.
  public var warmupSteps: Int?
  /// LoRA+: what the learning rate of B, of DoRA's magnitudes and of biases is multiplied by, the
  /// same as A's if unset.
  public var loraPlusRatio: Float?
  /// AdamW's decoupled decay.
  public var weightDecay: Float = 0.01
  /// The largest norm that all gradients together may have; 0 for no limit.
  public var maxGradNorm: Float = 1
  /// Passes over the data, if `maxSteps` is unset; of a part of one, the first rows of its order.
  public var epochs: Double = 1
  /// Optimizer steps, whatever the data's size.
  public var maxSteps: Int?
  /// Examples of an optimizer step.
  public var batchSize: Int = 16
  /// The seed of the order, of the adapter's first values and of dropout.
  public var seed: UInt64 = 42
  /// Whether each epoch has an order of its own.
  public var shuffle: Bool = true
  /// Tokens that are worked at once: bounds the memory and changes nothing in the result.
  public var tokenBudget: Int = 512

  /// The defaults.
  public init() {}

  /// Optimizer steps of a pass over the data.
  package func stepsPerEpoch(examples: Int) -> Int { (examples + batchSize - 1) / batchSize }

  /// Optimizer steps of the run; a started one counts, as in transformers.
  package func totalSteps(examples: Int) -> Int {
    maxSteps ?? Int((epochs * Double(stepsPerEpoch(examples: examples))).rounded(.up))
  }

  /// Steps in which the learning rate rises.
  package func warmupSteps(of total: Int) -> Int {
    warmupSteps.map { min($0, total) } ?? Int((Double(total) * warmupRatio).rounded(.up))
  }

  /// - Throws: `TrainingError` naming the first value that cannot be.
  public func validate() throws {
    if let problem = problems.first { throw problem }
  }

  /// Every value that cannot be.
  package var problems: [TrainingError] {
    let requirements: [(Bool, String, String)] = [
      (
        learningRate > 0 && learningRate.isFinite, "the learning rate is \(learningRate)",
        "1e-4 to 1e-3 is usual for LoRA"
      ),
      (
        (0...1).contains(warmupRatio), "the warm-up ratio is \(warmupRatio), not in 0...1",
        "0.03 warms up for 3% of the steps"
      ),
      (
        loraPlusRatio.map { $0 > 0 && $0.isFinite } ?? true,
        "LoRA+'s ratio of the learning rates is \(loraPlusRatio ?? 0)",
        "16 is the paper's, with half of LoRA's learning rate; leave it out for plain LoRA"
      ),
      (
        weightDecay >= 0 && weightDecay.isFinite, "the weight decay is \(weightDecay)",
        "0.01 is usual, 0 switches it off"
      ),
      (
        maxGradNorm >= 0 && !maxGradNorm.isNaN, "the largest gradient norm is \(maxGradNorm)",
        "1 is usual, 0 switches clipping off"
      ),
      (
        epochs > 0 && epochs <= 1e6, "the number of epochs is \(epochs.shortText)",
        "1 to 3 are usual"
      ),
      (
        warmupSteps.map { $0 >= 0 } ?? true, "the number of warm-up steps is \(warmupSteps ?? 0)",
        "give 0 or more, or leave it out"
      ),
      (
        maxSteps.map { $0 >= 1 } ?? true, "the number of steps is \(maxSteps ?? 0)",
        "give at least one step, or leave it out"
      ), (batchSize >= 1, "the batch size is \(batchSize)", "8 to 32 are usual"),
      (tokenBudget >= 1, "the token budget is \(tokenBudget)", "512 is the default"),
    ]
    return requirements.compactMap { holds, message, hint in
      holds ? nil : TrainingError(message: message, hint: hint)
    }
  }
}

extension Double {
  /// 1 for 1.0, 0.5 for 0.5.
  package var shortText: String { Int(exactly: self).map { "\($0)" } ?? "\(self)" }
}

/// A run that cannot start or cannot go on.
public struct TrainingError: Error, Hashable, CustomStringConvertible {
  /// What is wrong.
  public let message: String
  /// What to do.
  public let hint: String

  package init(message: String, hint: String) {
    self.message = message
    self.hint = hint
  }

  /// The message and the hint.
  public var description: String { "\(message)\nhint: \(hint)" }
}
