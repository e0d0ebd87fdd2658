// Greedy generation: tokens a second, alone and side by side.

import ArgumentParser
import Foundation
import LoRAFormats
import LoRAGeneration
import LoRAModels
import LoRATensor

struct DecodeBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode", abstract: "Greedy generation with a key-value cache.")

  @Option(help: "A GGUF file.") var model: String
  @Option(help: "New tokens of each sequence.") var tokens = 64
  @Option(help: "Tokens of the prompt.") var prompt = 32

  func run() throws {
    let network = try Llama(
      gguf: GGUFFile(contentsOf: model), computeType: Precision.auto.computeType)
    for sequences in [1, 4, 16] {
      var random = Random(seed: 2)
      let prompts = (0..<sequences).map { _ in
        (0..<prompt).map { _ in Int32(random.index(below: network.configuration.vocabularySize)) }
      }
      let generator = Generator(model: network, stopTokens: [], batchSize: sequences)
      let times = try (0..<4).map { _ in
        var first: ContinuousClock.Instant?
        _ = try generator.generate(
          prompts, maxTokens: tokens, onToken: { _, _ in if first == nil { first = .now } })
        // From the first token on: the prompt is another kind of work.
        return (first ?? .now).duration(to: .now).inSeconds
      }
      let rate = Double(sequences * (tokens - 1)) / Array(times.dropFirst()).median
      print(
        String(
          format: "decode, %d sequence%@, %@: %.1f tokens/s", sequences, sequences == 1 ? "" : "s",
          network.computeType.name, rate))
    }
  }
}
