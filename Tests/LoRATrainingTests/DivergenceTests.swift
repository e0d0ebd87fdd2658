// A step that is no number: which rows, which module, forward and backward.

import LoRAAdapters
import LoRAFormats
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import LoRATraining
import Testing

struct DivergenceTests {
  private func model() throws -> Llama {
    let model = try Llama(
      gguf: GGUFFile(contentsOf: Fixture.path("adapters/base.gguf")), computeType: .float32)
    try model.addAdapter("x", LoRAConfiguration(rank: 3, alpha: 6), seed: 7)
    return model
  }

  /// Eight rows; token 39 is in the fourth and the seventh alone.
  private let rows = (0..<8).map { row in
    let tokens =
      (0..<9).map { Int32((row * 7 + $0 * 5) % 30) } + ([3, 6].contains(row) ? [39] : [1])
    return Example(
      tokens: tokens, mask: tokens.map { _ in true }, line: row + 1, file: "rows.jsonl")
  }

  private func message(_ model: Llama) -> String {
    var options = TrainingOptions()
    options.batchSize = 8
    options.shuffle = false
    let error = #expect(throws: TrainingError.self) {
      try Trainer(model, examples: rows, options: options).fit()
    }
    return error?.message ?? ""
  }

  private func parameter(_ model: Llama, _ path: String) throws -> Parameter {
    try #require(model.namedParameters.first { $0.path == path }).parameter
  }

  /// A token whose vector is infinite: the rows that hold it are named, and no others.
  @Test func theRowsThatDidItAreNamed() throws {
    let model = try model()
    let table = try parameter(model, "model.embed_tokens.weight")
    let spoiled = table.value.converted(to: .float32).copied()
    spoiled.floats[39 * spoiled.shape[1] + 2] = .infinity
    table.load(spoiled)
    let message = message(model)
    #expect(
      message.hasPrefix("step 1: the loss is nan and the gradient norm nan; "), "\(message)")
    #expect(
      message.contains("2 rows of 8 did it: rows.jsonl:4, rows.jsonl:7; "), "\(message)")
    #expect(message.hasSuffix("no number: inf out of model.embed_tokens"), "\(message)")
  }

  /// The first module whose output overflows is named, not those that it spoils.
  @Test(arguments: [
    "model.layers.1.mlp.down_proj", "model.layers.0.self_attn.v_proj",
    "model.layers.1.self_attn.o_proj", "model.layers.0.mlp.up_proj",
  ]) func theFirstModuleIsNamed(path: String) throws {
    let model = try model()
    let weight = try parameter(model, path + ".base_layer.weight")
    let spoiled = weight.value.converted(to: .float32).copied()
    for index in 0..<spoiled.count {
      spoiled.floats[index] = spoiled.floats[index] < 0 ? -3e38 : 3e38
    }
    for index in 0..<spoiled.shape[1] { spoiled.floats[index] = .infinity }
    weight.load(spoiled)
    let message = message(model)
    #expect(message.contains("8 rows of 8 did it: "), "\(message)")
    #expect(message.hasSuffix(" out of \(path)"), "\(message)")
  }

  /// B is 0 and the scale beyond reason: the outputs are right, the gradient of B overflows.
  @Test func aGradientIsFoundOnTheWayBack() throws {
    let model = try model()
    let entry = try #require(model.adapterPairs("x").last { $0.path.hasSuffix("up_proj") })
    entry.pair.scale = 3e38
    let a = entry.pair.a.value.copied()
    for index in 0..<a.count { a.floats[index] *= 1e6 }
    entry.pair.a.load(a)
    let message = message(model)
    #expect(message.contains("the loss is 4."), "\(message)")
    #expect(
      message.contains(" in the gradient, on the way back through \(entry.path)"), "\(message)")
  }

  /// An ordinary step is not watched: its result is the same bytes with and without.
  @Test func aWatchChangesNothing() throws {
    let model = try model()
    let trainer = try Trainer(model, examples: rows, options: .init())
    let watch = NumericsWatch([])
    let plain = trainer.lossAndGradients(rows, step: 0)
    let watched = trainer.lossAndGradients(rows, step: 0, watch: watch)
    #expect(plain.loss == watched.loss && watch.fault == nil)
    for (a, b) in zip(plain.gradients, watched.gradients) {
      #expect(a.elements.map(\.bitPattern) == b.elements.map(\.bitPattern))
    }
  }
}
