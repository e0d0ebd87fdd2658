// `lora score`: the log-probability of every token of every row.

import ArgumentParser
import LoRA
import LoRAJSON
import LoRATraining

struct ScoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "score", abstract: "Prints the log-probabilities of every row's tokens as JSON.",
    discussion: """
      One object per row: tokens, logprobs (natural logarithm, null for the first token, which \
      nothing precedes), mask (1: carries loss in training), loss (mean of -logprob where mask is 1).
      """)

  @OptionGroup var options: ModelOptions
  @OptionGroup var adapter: AdapterOption
  @OptionGroup var rows: RowsOptions

  func run() throws {
    let model = try options.load()
    try adapter.load(into: model)
    let dataset = try rows.load(for: model)
    for example in dataset.examples {
      let values = logProbabilities(model.network, tokens: example.tokens)
      let supervised = zip(values, example.mask.dropFirst()).filter(\.1).map { -Double($0.0) }
      let mean =
        supervised.isEmpty ? nil : supervised.reduce(0, +) / Double(supervised.count)
      Console.say(
        JSONValue.object([
          "tokens": .array(example.tokens.map { .integer(Int($0)) }),
          "logprobs": .array(
            (example.tokens.isEmpty ? [] : [.null]) + values.map { .number(Double($0)) }),
          "mask": .array(example.mask.map { .integer($0 ? 1 : 0) }),
          "loss": mean.map(JSONValue.number) ?? .null,
        ]).serialized(.compact))
    }
  }
}
