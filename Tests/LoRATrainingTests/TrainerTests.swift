// The trainer on a tiny model: what a step is made of must not change its result.

import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import LoRATraining
import Testing

struct TrainerTests {
  private func model(
    _ type: DType = .float32, dropout: Float = 0, asStored: Bool = false
  ) throws -> Llama {
    let model = try Llama(
      gguf: GGUFFile(contentsOf: Fixture.path("adapters/base.gguf")), computeType: type,
      asStored: asStored)
    try model.addAdapter("x", LoRAConfiguration(rank: 3, alpha: 6, dropout: dropout), seed: 7)
    // B = 0 would make every gradient of A zero.
    var random = Random(seed: 11)
    for (_, pair) in model.adapterPairs("x") {
      pair.b.load(random.normal(pair.b.value.shape, deviation: 0.1))
    }
    return model
  }

  /// Rows of odd lengths, the first with loss everywhere, others on some tokens only.
  private func examples(_ count: Int) -> [Example] {
    var random = Random(seed: 5)
    return (0..<count).map { row in
      let length = 2 + random.index(below: 30)
      let tokens = (0..<length).map { _ in Int32(random.index(below: 40)) }
      let mask = (0..<length).map { $0 > 0 && (row == 0 || $0 == 1 || random.index(below: 3) == 0) }
      return Example(tokens: tokens, mask: mask, line: row + 1, file: "rows.jsonl")
    }
  }

  private func step(
    _ model: Llama, _ examples: [Example], budget: Int, step: Int = 0
  ) throws -> (loss: Double, gradients: [Tensor]) {
    var options = TrainingOptions()
    options.tokenBudget = budget
    let trainer = try Trainer(model, examples: examples, options: options)
    return trainer.lossAndGradients(examples, step: step)
  }

  private func expectSame(
    _ a: (loss: Double, gradients: [Tensor]), _ b: (loss: Double, gradients: [Tensor]),
    _ name: String
  ) {
    #expect(abs(a.loss - b.loss) <= 1e-5 * abs(a.loss), "\(name)")
    for (index, (x, y)) in zip(a.gradients, b.gradients).enumerated() {
      expectClose(
        actual: x.elements, expected: y.elements, atol: 1e-6, rtol: 1e-4,
        name: "\(name), parameter \(index)")
    }
  }

  /// 1×16 = 4×4 = 16×1 rows in a pass: the same loss and gradients, also with dropout.
  @Test(arguments: [Float(0), 0.3])
  func cuttingAStepChangesNothing(dropout: Float) throws {
    let model = try model(dropout: dropout)
    let rows = examples(16)
    let whole = try step(model, rows, budget: 100_000)
    #expect(whole.gradients.contains { globalNorm([$0]) > 0 })
    for budget in [128, 64, 31, 1] {
      expectSame(try step(model, rows, budget: budget), whole, "budget \(budget)")
    }
  }

  /// A row packed among others has the log-probabilities that it has alone.
  @Test func packedEqualsAlone() throws {
    let model = try model()
    let rows = examples(9)
    let pass = try #require(passes(rows, tokenBudget: 10_000).first)
    #expect(pass.examples.count == 9)
    let packed = languageModelLoss(model, pass, normalizer: 1).logProbabilities
    var alone: [Float] = []
    for index in pass.examples {
      let single = try #require(passes([rows[index]], tokenBudget: 10_000).first)
      alone += languageModelLoss(model, single, normalizer: 1).logProbabilities
    }
    expectClose(actual: packed, expected: alone, atol: 1e-5, rtol: 1e-5, name: "log p")
  }

  private func bits(_ step: (loss: Double, gradients: [Tensor])) -> [UInt32] {
    [Float(step.loss).bitPattern] + step.gradients.flatMap { $0.elements.map(\.bitPattern) }
  }

  /// What is computed twice instead of being kept has the same gradients, bit for bit.
  @Test(arguments: Recomputation.allCases, [DType.float32, .bfloat16])
  func recomputationChangesNothing(recomputation: Recomputation, type: DType) throws {
    for dropout in [Float(0), 0.3] {
      let model = try model(type, dropout: dropout)
      let rows = examples(9)
      let kept = try step(model, rows, budget: 64)
      model.recomputation = recomputation
      #expect(bits(try step(model, rows, budget: 64)) == bits(kept), "dropout \(dropout)")
    }
  }

  /// Weights converted for each product are those converted once.
  @Test(arguments: [DType.float32, .bfloat16])
  func mappedWeightsChangeNothing(type: DType) throws {
    let model = try model(type, asStored: true)
    let before = bits(try step(model, examples(5), budget: 64))
    model.makeWeightsResident()
    #expect(model.linearWeightBytes.now == model.linearWeightBytes.resident)
    #expect(bits(try step(model, examples(5), budget: 64)) == before)
  }

  /// The last layer works at the rows that are asked for alone; they come out as among all.
  @Test(arguments: [DType.float32, .bfloat16])
  func pickedRowsAreTheRowsOfAll(type: DType) throws {
    let model = try model(type)
    let rows = [3, 4, 17, 29]
    let tokens = (0..<30).map { Int32($0) }
    let packing = Packing(lengths: [11, 19])
    let all = model.hiddenStates(tokens, packing: packing)
    let picked = model.hiddenStates(tokens, packing: packing, rows: rows)
    #expect(picked.shape == [4, all.shape.lastDimension])
    expectClose(
      actual: picked.converted(to: .float32).elements,
      expected: rows.flatMap { all.rows($0..<$0 + 1).converted(to: .float32).elements },
      atol: type == .float32 ? 1e-6 : 0.02, rtol: type == .float32 ? 1e-6 : 0.02, name: "rows")
  }

  private func train(dropout: Float, seed: UInt64, threads: Int? = nil) throws -> [Float] {
    // Nobody else computes meanwhile: the number of threads is the process's.
    try Engine.run { try trained(dropout: dropout, seed: seed, threads: threads) }
  }

  private func trained(dropout: Float, seed: UInt64, threads: Int?) throws -> [Float] {
    let before = Engine.threadCount
    if let threads { Engine.threadCount = threads }
    defer { Engine.threadCount = before }
    let model = try model(dropout: dropout)
    var options = TrainingOptions()
    options.epochs = 2
    options.batchSize = 4
    options.learningRate = 1e-2
    options.seed = seed
    options.tokenBudget = 40
    try Trainer(model, examples: examples(10), options: options).fit()
    return model.adapterPairs("x").flatMap { $0.pair.a.value.elements + $0.pair.b.value.elements }
  }

  @Test func theSeedDecidesTheRun() throws {
    let first = try train(dropout: 0.2, seed: 1)
    #expect(try train(dropout: 0.2, seed: 1).map(\.bitPattern) == first.map(\.bitPattern))
    #expect(try train(dropout: 0.2, seed: 2) != first)
    #expect(try train(dropout: 0, seed: 1) != first)
  }

  /// Neither before the first step nor between two of them.
  @Test func outsideAStepThereIsNoDropout() throws {
    let model = try model(dropout: 0.5)
    let rows = examples(6)
    var options = TrainingOptions()
    options.learningRate = 1e-2
    var losses: [Double] = []
    try Trainer(model, examples: rows, options: options).fit { _ in
      losses = [evaluate(model, rows).loss, evaluate(model, rows).loss]
      return false
    }
    #expect([evaluate(model, rows).loss, losses[1]] == [losses[0], losses[0]])
    // Whatever pass it is asked in.
    #expect(PassContext.training { evaluate(model, rows).loss } == losses[0])
  }

  @Test func theLossFalls() throws {
    let model = try model()
    let rows = examples(8)
    let before = evaluate(model, rows)
    var options = TrainingOptions()
    options.epochs = 20
    options.batchSize = 8
    options.learningRate = 2e-2
    var reports: [StepReport] = []
    try Trainer(model, examples: rows, options: options).fit {
      reports.append($0)
      return true
    }
    #expect(reports.map(\.step) == Array(1...20))
    #expect(reports.last?.epoch == 20)
    let supervised = rows.reduce(0) { $0 + $1.supervisedCount }
    #expect(reports.allSatisfy { $0.supervisedTokens == supervised })
    // Before the first step, training and evaluation see the same model.
    #expect(abs((reports.first?.loss ?? 0) - before.loss) < 1e-4)
    let after = evaluate(model, rows)
    #expect(after.loss < before.loss * 0.7)
    #expect(after.supervisedTokens == supervised && after.rows == 8)
  }

  @Test func onStepCanEndTheRun() throws {
    var count = 0
    var options = TrainingOptions()
    options.maxSteps = 50
    options.batchSize = 3
    try Trainer(model(), examples: examples(5), options: options).fit { _ in
      count += 1
      return count < 3
    }
    #expect(count == 3)
  }

  /// The factor of each step equals transformers'.
  @Test func schedulesEqualTransformers() throws {
    let cases = try JSONValue(parsing: Fixture.text("ops/schedules.json")).objectValue?["cases"]?
      .arrayValue
    for value in try #require(cases) {
      let object = try #require(value.objectValue)
      let name = try #require(object["schedule"]?.stringValue)
      let schedule = try #require(LearningRateSchedule(rawValue: name))
      let total = try #require(object["total"]?.integerValue)
      let warmup = try #require(object["warmup"]?.integerValue)
      let expected = try #require(object["factors"]?.arrayValue).compactMap(\.numberValue)
      #expect(expected.count == total)
      for (step, factor) in expected.enumerated() {
        let ours = schedule.factor(step: step, warmupSteps: warmup, totalSteps: total)
        #expect(abs(ours - factor) < 1e-12, "\(name) \(warmup)/\(total) step \(step)")
      }
    }
  }

  @Test func optionsThatCannotBe() {
    let cases: [((inout TrainingOptions) -> Void, String)] = [
      ({ $0.learningRate = -1 }, "the learning rate is -1.0\nhint: 1e-4 to 1e-3 is usual for LoRA"),
      (
        { $0.learningRate = .nan }, "the learning rate is nan\nhint: 1e-4 to 1e-3 is usual for LoRA"
      ),
      (
        { $0.warmupRatio = 1.5 },
        "the warm-up ratio is 1.5, not in 0...1\nhint: 0.03 warms up for 3% of the steps"
      ),
      (
        { $0.weightDecay = -0.5 },
        "the weight decay is -0.5\nhint: 0.01 is usual, 0 switches it off"
      ),
      (
        { $0.maxGradNorm = -1 },
        "the largest gradient norm is -1.0\nhint: 1 is usual, 0 switches clipping off"
      ),
      ({ $0.epochs = 0 }, "the number of epochs is 0\nhint: 1 to 3 are usual"),
      (
        { $0.maxSteps = 0 },
        "the number of steps is 0\nhint: give at least one step, or leave it out"
      ),
      ({ $0.batchSize = 0 }, "the batch size is 0\nhint: 8 to 32 are usual"),
      ({ $0.tokenBudget = 0 }, "the token budget is 0\nhint: 512 is the default"),
    ]
    for (change, message) in cases {
      var options = TrainingOptions()
      change(&options)
      let error = #expect(throws: TrainingError.self) { try options.validate() }
      #expect(error?.description == message)
    }
  }

  @Test func whatCannotBeTrainedIsAnError() throws {
    let frozen = try Llama(
      gguf: GGUFFile(contentsOf: Fixture.path("adapters/base.gguf")), computeType: .float32)
    let nothing = #expect(throws: TrainingError.self) {
      try Trainer(frozen, examples: examples(1), options: .init())
    }
    #expect(
      nothing?.description
        == "nothing in the model is trainable\nhint: add an adapter before training")
    #expect(throws: TrainingError.self) {
      try Trainer(model(), examples: [], options: .init())
    }
  }

  /// A run that diverges stops with the step and the rows, before the adapter is changed.
  @Test func divergenceIsAnError() throws {
    let model = try model()
    let pair = try #require(model.adapterPairs("x").first).pair
    pair.b.load(Tensor.full(pair.b.value.shape, .infinity))
    let error = #expect(throws: TrainingError.self) {
      try Trainer(model, examples: examples(2), options: .init()).fit()
    }
    #expect(error?.message.hasPrefix("step 1: the loss is ") == true)
    #expect(error?.message.contains("rows.jsonl:1") == true)
  }
}
