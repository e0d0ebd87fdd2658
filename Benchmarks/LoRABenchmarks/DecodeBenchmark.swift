// Greedy generation: tokens a second alone and side by side, against reading the weights once.

import ArgumentParser
import Dispatch
import Foundation
import LoRAAdapters
import LoRAFormats
import LoRAGeneration
import LoRAModels
import LoRANN
import LoRATensor

struct DecodeBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode", abstract: "Greedy generation with a key-value cache.")

  @Option(help: "A GGUF file.") var model: String
  @Option(help: "New tokens of each sequence.") var tokens = 64
  @Option(help: "Tokens of the prompt.") var prompt = 32
  @Option(help: "The rank of the adapter; 0: none alone.") var rank = 16
  @Option(help: "Sequences side by side, one case each.") var sequences = [1, 4, 16]
  @Option(help: "auto, float32 or bfloat16.") var precision = Precision.auto
  @Flag(help: "Convert the weights when loading, as training does.") var resident = false
  @Flag(help: "Print one line of JSON for each case instead.") var json = false

  private struct Result: Encodable {
    let sequences: Int
    let type: String
    let hasAdapter: Bool
    let tokensPerSecond, shareOfReading: Double
  }

  func run() throws {
    let network = try Llama(
      gguf: GGUFFile(contentsOf: model),
      computeType: precision.computeType, asStored: !resident)
    let base = try sequences.map { try rate(network, sequences: $0, hasAdapter: false) }
    guard rank > 0 else { return }
    try network.addAdapter("x", LoRAConfiguration(rank: rank, alpha: Float(2 * rank)), seed: 1)
    var random = Random(seed: 4)
    for (path, parameter) in network.namedParameters where path.contains("lora_B") {
      parameter.load(random.normal(parameter.value.shape, deviation: 0.01))
    }
    let adapted = try sequences.map { try rate(network, sequences: $0, hasAdapter: true) }
    guard !json else { return }
    let shares = zip(adapted, base).map { String(format: "%.0f%%", $0 / $1 * 100) }
    print("decode, with the adapter: \(shares.joined(separator: ", ")) of the speed without")
  }

  /// Tokens a second, the median of three runs after a first.
  private func rate(_ network: Llama, sequences: Int, hasAdapter: Bool) throws -> Double {
    var random = Random(seed: 2)
    let prompts = (0..<sequences).map { _ in
      (0..<prompt).map { _ in Int32(random.index(below: network.configuration.vocabularySize)) }
    }
    let generator = Generator(model: network, stopTokens: [], batchSize: sequences)
    var times: [Double] = []
    var readings: [Double] = []
    for _ in 0..<4 {
      var first: ContinuousClock.Instant?
      _ = try generator.generate(
        prompts, maxTokens: tokens, onToken: { _, _ in if first == nil { first = .now } })
      // From the first token on: the prompt is another kind of work.
      times.append((first ?? .now).duration(to: .now).inSeconds)
      readings.append(secondsToReadWeights(network))
    }
    let rate = Double(sequences * (tokens - 1)) / Array(times.dropFirst()).median
    let share = rate / Double(sequences) * readings.median
    if json {
      try printJSON(
        Result(
          sequences: sequences, type: network.computeType.name, hasAdapter: hasAdapter,
          tokensPerSecond: rate, shareOfReading: share))
    } else {
      print(
        String(
          format:
            "decode, %d sequence%@, %@%@: %.1f tokens/s, %.0f%% of reading the weights once a step "
            + "(%.2f ms)", sequences, sequences == 1 ? "" : "s", network.computeType.name,
          hasAdapter ? ", adapter" : "", rate, share * 100, readings.median * 1e3))
    }
    return rate
  }

  /// The time in which all threads read every weight that a token needs: decoding cannot be faster.
  private func secondsToReadWeights(_ network: Llama) -> Double {
    let weights = network.namedParameters.map(\.parameter.value).filter {
      $0.shape.rank == 2
    }
    // A tied table counts once: the head reads all of it.
    let tables = Dictionary(weights.map { ($0.pointer, $0) }, uniquingKeysWith: { a, _ in a })
    let threads = Engine.threadCount
    // The engine's own threads look out for work some milliseconds longer.
    Thread.sleep(forTimeInterval: 0.05)
    let start = ContinuousClock.now
    for weight in tables.values {
      let words = weight.dtype.byteCount(of: weight.count) / 64
      DispatchQueue.concurrentPerform(iterations: threads) { thread in
        var sum = SIMD8<UInt64>()
        for word in words * thread / threads..<words * (thread + 1) / threads {
          sum &+= (weight.pointer + word * 64).loadUnaligned(as: SIMD8<UInt64>.self)
        }
        // Nothing may be read for nothing.
        if sum[0] == 0x5A5A_5A5A_5A5A_5A5A { print("") }
      }
    }
    return start.duration(to: .now).inSeconds
  }
}
