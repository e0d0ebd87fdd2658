// The loss where an adapter changes the head: by blocks of rows, as of the whole logits.

import LoRAAdapters
import LoRAFormats
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import LoRATraining
import Testing

struct HeadLossTests {
  /// Each way in which an adapter has a part in the head.
  private static let adapters:
    [(name: String, change: @Sendable (inout LoRAConfiguration) -> Void)] = [
      ("pair", { $0.targets = .names(["lm_head", "v_proj"]) }),
      (
        "DoRA",
        {
          $0.targets = .names(["lm_head"])
          $0.usesDoRA = true
        }
      ),
      ("whole", { $0.modulesToSave = ["lm_head"] }),
      ("tokens", { $0.trainedTokens = [TrainedTokens([3, 7])] }),
    ]

  private func model(_ index: Int, dropout: Float = 0, type: DType = .float32) throws -> Llama {
    let model = try Llama(
      folder: ModelFolder(contentsOf: Fixture.path("folder/tied-f32")), computeType: type)
    var configuration = LoRAConfiguration(
      rank: 3, alpha: 6, dropout: dropout, targets: .names(["q_proj"]))
    Self.adapters[index].change(&configuration)
    try model.addAdapter("x", configuration, seed: 7)
    var random = Random(seed: 11)
    for (_, parameter) in model.trainableParameters {
      parameter.load(
        parameter.value + random.normal(parameter.value.shape, deviation: 0.05))
    }
    return model
  }

  /// 300 tokens of which all but the first carry loss: three blocks, the last one short.
  private var example: Example {
    var random = Random(seed: 5)
    let tokens = (0..<300).map { _ in Int32(random.index(below: 269)) }
    return Example(tokens: tokens, mask: tokens.map { _ in true }, line: 1, file: "rows")
  }

  @Test(arguments: adapters.indices) func blocksGiveWhatTheWholeGives(index: Int) throws {
    let model = try model(index)
    let pass = try #require(passes([example], tokenBudget: 1000).first)
    let parameters = model.trainableParameters.map(\.parameter)
    let count = pass.rows.count
    #expect(count == 299)
    var byBlocks: [Float] = []
    let actual = valueAndGradient(of: parameters) {
      let result = languageModelLoss(model, pass, normalizer: count)
      byBlocks = result.logProbabilities
      return result.loss
    }
    var whole: [Float] = []
    let expected = valueAndGradient(of: parameters) {
      let hidden = model.hiddenStates(pass.tokens, packing: pass.packing, rows: pass.rows)
      let result = logitCrossEntropy(
        model.logits(hidden), targets: pass.targets, scale: 1 / Float(count))
      whole = result.logProbabilities
      return result.loss
    }
    expectClose(actual: byBlocks, expected: whole, atol: 1e-5, rtol: 1e-5, name: "log p")
    expectClose(
      actual: actual.value.elements, expected: expected.value.elements, atol: 0, rtol: 1e-5)
    for (number, (a, e)) in zip(actual.gradients, expected.gradients).enumerated() {
      expectClose(
        actual: a.elements, expected: e.elements, atol: 1e-6, rtol: 1e-4, name: "gradient \(number)"
      )
      #expect(a.elements.contains { $0 != 0 })
    }
    // Without a tape too, and nothing on it but the loss.
    let plain = languageModelLoss(model, pass, normalizer: count)
    expectClose(actual: plain.logProbabilities, expected: whole, atol: 1e-5, rtol: 1e-5)
    #expect(plain.loss.variable == nil)
  }

  /// A head's dropout has a mask for each row that carries loss, the same however a step is cut.
  @Test func dropoutOfTheHead() throws {
    let model = try model(0, dropout: 0.3)
    var random = Random(seed: 6)
    let examples = (0..<5).map { row in
      let tokens = (0..<40).map { _ in Int32(random.index(below: 269)) }
      return Example(
        tokens: tokens, mask: tokens.indices.map { $0 % 3 == 2 }, line: row + 1, file: "rows")
    }
    func step(_ budget: Int) throws -> (loss: Double, gradients: [Tensor]) {
      var options = TrainingOptions()
      options.tokenBudget = budget
      return try Trainer(model, examples: examples, options: options).lossAndGradients(
        examples, step: 0)
    }
    let (one, several) = (try step(1000), try step(45))
    #expect(abs(one.loss - several.loss) <= 1e-5 * abs(one.loss))
    for (a, b) in zip(one.gradients, several.gradients) {
      expectClose(actual: a.elements, expected: b.elements, atol: 1e-6, rtol: 1e-4)
    }
    let plain = languageModelLoss(
      model, try #require(passes(examples, tokenBudget: 1000).first), normalizer: 65)
    #expect(abs(Double(plain.loss.item) - one.loss) > 1e-6, "the dropout does something")
  }
}
