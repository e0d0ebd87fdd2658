// The trainer trains one adapter: what else is in the model, or happens to it between passes, changes
// no byte of the result; and whoever decodes in the middle of a step sees no training.

import LoRA
import LoRAAdapters
import LoRAFormats
import LoRAGeneration
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import LoRATraining
import Testing

struct TraineeTests {
  private func model(_ adapters: [String] = ["trainee"]) throws -> Llama {
    let model = try Llama(
      gguf: GGUFFile(contentsOf: Fixture.path("adapters/base.gguf")), computeType: .float32)
    for name in adapters { try add(name, to: model) }
    return model
  }

  /// An adapter that acts: B is not 0. The trainee also has dropout.
  private func add(_ name: String, to model: Llama) throws {
    let isTrainee = name == "trainee"
    try model.addAdapter(
      name,
      LoRAConfiguration(
        rank: 3, alpha: 6, dropout: isTrainee ? 0.2 : 0,
        targets: isTrainee ? .names(["q_proj", "down_proj"]) : .allLinear),
      seed: isTrainee ? 7 : 8)
    var random = Random(seed: isTrainee ? 11 : 12)
    for (_, pair) in model.adapterPairs(name) {
      pair.b.load(random.normal(pair.b.value.shape, deviation: 0.1))
    }
  }

  private let examples: [Example] = {
    var random = Random(seed: 5)
    return (0..<12).map { row in
      let tokens = (0..<(4 + row)).map { _ in Int32(random.index(below: 40)) }
      return Example(
        tokens: tokens, mask: tokens.indices.map { $0 > 0 }, line: row + 1, file: "rows.jsonl")
    }
  }()

  private var options: TrainingOptions {
    var options = TrainingOptions()
    options.epochs = 2
    options.batchSize = 4
    options.learningRate = 1e-2
    options.tokenBudget = 24
    return options
  }

  private func bits(_ model: Llama) -> [UInt32] {
    model.namedParameters(ofAdapter: "trainee").flatMap {
      $0.parameter.value.elements.map(\.bitPattern)
    }
  }

  /// The trained values; `disturb` is called after each step.
  private func trained(
    in model: Llama, recomputation: Recomputation = .nothing,
    disturb: (Llama, Int) throws -> Void = { _, _ in }
  ) throws -> [UInt32] {
    model.recomputation = recomputation
    try Trainer(model, adapter: "trainee", examples: examples, options: options).fit { report in
      try disturb(model, report.step)
      return true
    }
    return bits(model)
  }

  @Test func othersThatAreThereChangeNothing() throws {
    let alone = try trained(in: model())
    #expect(alone != bits(try model()))
    #expect(
      try trained(in: model(["trainee", "other"])) == alone, "added after, active, trainable")
    #expect(try trained(in: model(["other", "trainee"])) == alone, "added before, active, frozen")
    let inactive = try model(["other", "trainee"])
    try inactive.activateAdapters(["other"])
    #expect(try trained(in: inactive) == alone, "the trainee is not active in the model")
    inactive.setAdaptersEnabled(false)
    #expect(try trained(in: inactive).count == alone.count)
  }

  @Test(arguments: [Recomputation.nothing, .mlp, .layers])
  func whatOthersDoMeanwhileChangesNothing(recomputation: Recomputation) throws {
    let alone = try trained(in: model())
    let disturbed = try trained(in: model(), recomputation: recomputation) { model, step in
      switch step {
      case 1: try add("other", to: model)  // which freezes everything else
      case 2: try model.activateAdapters(["other"])
      case 3: try model.mergeAdapters(["other", "trainee"])
      case 4: try model.trainAdapters(["other"])
      case 5: try model.removeAdapter("other")
      default: break
      }
    }
    #expect(disturbed == alone)
  }

  /// Between two passes of a step, and inside one, a token is generated as if nobody trained.
  @Test func whoDecodesInAStepSeesNoTraining() throws {
    let alone = try trained(in: model())
    let model = try model(["other", "trainee"])
    let prompt: [Int32] = [5, 6, 7, 8]
    func answers() throws -> [[Int32]] {
      try Generator(model: model, stopTokens: [])
        .generate([prompt, prompt, prompt], adapters: ["other", nil, "trainee"], maxTokens: 6)
        .map(\.tokens)
    }
    let expected = try answers()
    let others = Array(expected.prefix(2))
    // An objective that asks in the middle of the recorded pass.
    let asking = Objective { network, pass, normalizer in
      let loss = Objective.languageModel.loss(network, pass, normalizer)
      let answers = try? Generator(model: network, stopTokens: [])
        .generate([prompt, prompt], adapters: ["other", nil], maxTokens: 6).map(\.tokens)
      #expect(answers == others)
      return loss
    }
    let trainer = try Trainer(
      model, adapter: "trainee", examples: examples, options: options, objective: asking)
    var progress = trainer.begin(Array(examples.suffix(4)), step: 0)
    var count = 0
    while !progress.isDone {
      progress.runNextPass()
      #expect(try answers() == expected)
      count += 1
    }
    #expect(count > 1)
    let whole = try Trainer(model, adapter: "trainee", examples: examples, options: options)
      .lossAndGradients(Array(examples.suffix(4)), step: 0)
    let parts = progress.result()
    #expect(parts.loss == whole.loss)
    #expect(
      zip(parts.gradients, whole.gradients).allSatisfy {
        $0.elements.map(\.bitPattern) == $1.elements.map(\.bitPattern)
      })
    try trainer.fit()
    #expect(bits(model) == alone)
  }

  /// Its value in place of the model's parameter counts in its own passes alone.
  @Test func aModuleTrainedWholeIsTheTraineesAlone() throws {
    func withNorm(_ target: String) -> LoRAConfiguration {
      var configuration = LoRAConfiguration(rank: 2, targets: .names([target]))
      configuration.modulesToSave = ["norm"]
      return configuration
    }
    func model() throws -> Llama {
      let model = try self.model([])
      try model.addAdapter("trainee", withNorm("q_proj"), seed: 1)
      return model
    }
    let alone = try trained(in: model())
    let disturbed = try trained(in: model()) { model, step in
      if step == 1 {
        try model.addAdapter("other", withNorm("v_proj"), seed: 2)
        try model.activateAdapters(["other"])
      }
    }
    #expect(disturbed == alone)
  }

  private struct Doubling: GradientExchange {
    func sum(_ gradients: [Tensor], loss: Double) -> (gradients: [Tensor], loss: Double) {
      (gradients.map { $0 + $0 }, loss + loss)
    }
  }

  @Test func gradientsAreExchangedBeforeTheStep() throws {
    func first(_ exchange: (any GradientExchange)?) throws -> StepReport {
      var reports: [StepReport] = []
      try Trainer(
        model(), adapter: "trainee", examples: examples, options: options,
        objective: .languageModel, exchange: exchange
      ).fit { report in
        reports.append(report)
        return false
      }
      return try #require(reports.first)
    }
    let (one, two) = (try first(nil), try first(Doubling()))
    #expect(two.loss == 2 * one.loss)
    #expect(abs(two.gradNorm - 2 * one.gradNorm) < 1e-5 * one.gradNorm)
  }

  @Test func whichAdapterIsTrainedMustBeClear() throws {
    let both = try model(["trainee", "other"])
    try both.trainAdapters(["trainee", "other"])
    #expect(
      message { _ = try Trainer(both, examples: examples, options: options) }
        == "the adapters \"trainee\", \"other\" are all trainable\n"
        + "hint: say which one is to be trained: a run trains one")
    #expect(
      message { _ = try Trainer(both, adapter: "third", examples: examples, options: options) }
        == "the model has no adapter \"third\"\nhint: add it before training")
    try both.trainAdapters(["other"])
    #expect(try Trainer(both, examples: examples, options: options).adapter == "other")
  }

  @Test(arguments: [true, false]) func theTraineeMustStay(isRemoved: Bool) throws {
    let model = try model()
    let error = message {
      _ = try trained(in: model) { model, step in
        guard step == 2 else { return }
        if isRemoved {
          try model.removeAdapter("trainee")
        } else {
          try model.renameAdapter("trainee", to: "graduate")
        }
      }
    }
    #expect(
      error
        == "the adapter \"trainee\" was taken out of the model, or renamed, in the middle of its "
        + "run\nhint: leave it as it is until the run has ended")
  }

  private func message(_ body: () throws -> Void) -> String? {
    do {
      try body()
      return nil
    } catch {
      return "\(error)"
    }
  }
}
