// The flags of a generated text: its length, how its tokens are chosen, where it ends.

import ArgumentParser
import LoRA

/// `GenerationOptions` as flags.
struct SamplingFlags: ParsableArguments {
  @Option(help: "New tokens at most.")
  var maxTokens = 256

  @Option(help: "0 takes the most probable token, 1 draws by the model's probabilities.")
  var temperature = 0.0

  @Option(help: "Draw from this many of the most probable tokens (0: all).")
  var topK = 0

  @Option(help: "Draw from the smallest set of tokens that has this probability in all.")
  var topP = 1.0

  @Option(help: "Draw only tokens that have this share of the best one's probability.")
  var minP = 0.0

  @Option(
    help: "Divide the logits of tokens of the prompt and the answer by this (1: off); also at 0.")
  var repetitionPenalty = 1.0

  @Option(help: "The seed of the draws.")
  var seed: UInt64 = 42

  @Option(
    parsing: .singleValue,
    help: "End before this text, wherever tokens begin and end; may be given several times.")
  var stop: [String] = []

  @Option(
    defaultAsFlag: 0, parsing: .next,
    help: """
      With --json: the log-probability of each token by the model's own logits, and so many of the \
      most probable tokens at its place.
      """)
  var logprobs: Int? = nil

  var options: GenerationOptions {
    GenerationOptions(
      maxTokens: maxTokens,
      sampling: SamplingOptions(
        temperature: temperature, topK: topK, topP: topP, minP: minP,
        repetitionPenalty: repetitionPenalty, seed: seed), stop: stop, logprobs: logprobs)
  }

  func validate() throws {
    let problems = options.problems.map {
      "--\($0.setting.replacing("_", with: "-")) is \($0.value): \($0.hint)"
    }
    if !problems.isEmpty { throw ValidationError(problems.joined(separator: "\n")) }
  }
}
