// The training loop: batches, passes, one optimizer step each.

import Foundation
import LoRAAdapters
public import LoRAModels
import LoRANN
package import LoRATensor

/// Trains one adapter of a model on examples.
///
/// A pass sees this adapter alone: which others are loaded, active, frozen or merged, also while a
/// run is under way, changes no byte of the result.
///
/// A step takes `batchSize` examples, packs them into passes of at most `tokenBudget` tokens, and
/// adds up the gradients of Σ -log p(token) / (supervised tokens of the step): cutting a step into
/// other passes changes nothing but the order of the additions.
public final class Trainer {
  let model: Llama
  /// The adapter that is trained.
  public let adapter: String
  private let examples: [Example]
  let options: TrainingOptions
  let objective: Objective
  private let exchange: (any GradientExchange)?
  let parameters: [(path: String, parameter: Parameter)]
  let optimizer: AdamW

  /// Steps that are done, also in the run that a checkpoint was taken of.
  public internal(set) var completedSteps = 0

  /// A run over examples; nothing is computed yet.
  ///
  /// - Parameter adapter: the adapter to train; unset, the one that is trainable.
  /// - Throws: `TrainingError` when an option cannot be, the adapter is not there or not clear, or no
  ///   example is given.
  public convenience init(
    _ model: Llama, adapter: String? = nil, examples: [Example], options: TrainingOptions
  ) throws {
    try self.init(
      model, adapter: adapter, examples: examples, options: options, objective: .languageModel)
  }

  package init(
    _ model: Llama, adapter: String? = nil, examples: [Example], options: TrainingOptions,
    objective: Objective, exchange: (any GradientExchange)? = nil
  ) throws {
    try options.validate()
    self.model = model
    self.adapter = try adapter ?? trainableAdapter(of: model)
    self.examples = examples
    self.options = options
    self.objective = objective
    self.exchange = exchange
    parameters = model.namedParameters(ofAdapter: self.adapter)
    guard !parameters.isEmpty else {
      throw TrainingError(
        message: "the model has no adapter \"\(self.adapter)\"", hint: "add it before training")
    }
    guard !examples.isEmpty else {
      throw TrainingError(message: "there are no examples", hint: "check the data file")
    }
    let (trained, rate) = (parameters, Float(options.learningRate))
    optimizer = AdamW(
      parameters.map(\.parameter), learningRate: 0, weightDecay: options.weightDecay,
      variations: options.loraPlusRatio.map { ratio in
        loraPlusVariations(trained, ratio: ratio, learningRate: rate)
      } ?? [])
  }

  /// Whether every trained value is a number.
  package var isFinite: Bool { parameters.allSatisfy { $0.parameter.value.firstNonFinite == nil } }

  /// Steps of the run.
  public var totalSteps: Int { options.totalSteps(examples: examples.count) }

  /// Those in which the learning rate rises.
  public var warmupSteps: Int { options.warmupSteps(of: totalSteps) }

  private var stepsPerEpoch: Int { options.stepsPerEpoch(examples: examples.count) }

  /// Runs all steps, or until `onStep` says to stop.
  ///
  /// - Parameter onStep: receives each step's figures; false ends the run after that step.
  /// - Throws: `TrainingError` when the loss or a gradient is no longer a number; whatever `onStep`
  ///   throws.
  @discardableResult
  public func fit(onStep: (StepReport) throws -> Bool = { _ in true }) throws -> TrainingSummary {
    var summary = TrainingSummary(steps: completedSteps)
    let warmup = warmupSteps
    for step in completedSteps..<max(totalSteps, completedSteps) {
      let epoch = step / stepsPerEpoch
      // Warm-up begins above 0: the first step learns too.
      let factor = options.schedule.factor(
        step: step + (warmup > 0 ? 1 : 0), warmupSteps: warmup,
        totalSteps: totalSteps + (warmup > 0 ? 1 : 0))
      let done = Double(epoch) + Double(step % stepsPerEpoch + 1) / Double(stepsPerEpoch)
      let report = try Engine.run {
        try run(
          step: step, indices: indices(ofStep: step), learningRate: options.learningRate * factor,
          epoch: done)
      }
      completedSteps = step + 1
      summary.add(report)
      if try !onStep(report) { break }
    }
    return summary
  }

  /// The places of the examples that a step works, counted from 0.
  package func indices(ofStep step: Int) -> [Int] {
    dataOrder(
      count: examples.count, batchSize: options.batchSize, epoch: step / stepsPerEpoch,
      seed: options.shuffle ? options.seed : nil)[step % stepsPerEpoch]
  }

  /// One optimizer step over the examples `indices`.
  package func run(
    step: Int, indices: [Int], learningRate: Double, epoch: Double
  ) throws -> StepReport {
    try checkAdapterIsThere()
    let start = ContinuousClock.now
    let batch = indices.map { examples[$0] }
    var (loss, gradients) = lossAndGradients(batch, step: step)
    if let exchange { (gradients, loss) = try exchange.sum(gradients, loss: loss) }
    let norm = globalNorm(gradients)
    guard loss.isFinite, norm.isFinite else {
      throw divergence(step: step, batch: batch, loss: loss, norm: norm)
    }
    optimizer.learningRate = Float(learningRate)
    let scale =
      options.maxGradNorm > 0 ? clippingScale(norm: norm, maximum: options.maxGradNorm) : 1
    optimizer.step(gradients, gradientScale: scale)
    let elapsed = start.duration(to: .now)
    return StepReport(
      step: step + 1, epoch: epoch, loss: loss, gradNorm: Double(norm),
      learningRate: learningRate, tokens: batch.reduce(0) { $0 + $1.tokens.count },
      supervisedTokens: batch.reduce(0) { $0 + $1.supervisedCount },
      seconds: Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18,
      peakResidentMegabytes: LoRATraining.peakResidentMegabytes())
  }

  /// The loss of a batch and the gradient of each of the adapter's parameters.
  ///
  /// - Parameter watch: is shown every value on the way.
  package func lossAndGradients(
    _ batch: [Example], step: Int, watch: NumericsWatch? = nil
  ) -> (loss: Double, gradients: [Tensor]) {
    var progress = begin(batch, step: step)
    while !progress.isDone { progress.runNextPass(watch: watch) }
    return progress.result()
  }

  /// A step over a batch, to be run pass by pass; nothing is computed yet.
  package func begin(_ batch: [Example], step: Int) -> StepInProgress {
    StepInProgress(self, batch: batch, step: step)
  }
}
