// One LoRALinear by itself, against a plain linear layer of the same size.

import ArgumentParser
import Foundation
import LoRANN
import LoRATensor

struct LayerBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "layer", abstract: "LoRALinear 4096 → 4096, rank 16, dropout 0.05, x [1,128,4096]."
  )

  @Option(help: "Features in and out.") var features = 4096
  @Option(help: "Rows of x.") var rows = 128
  @Option(help: "The rank of the pair.") var rank = 16
  @Option(help: "Timed rounds; the median counts.") var rounds = 21
  @Option(help: "float32 or bfloat16; both without it.") var precision: Precision?
  @Flag(help: "Print one line of JSON for each instead.") var json = false

  private struct Result: Encodable {
    let type: String
    let plain, forward, both: Double
  }

  func run() throws {
    for type in precision.map({ [$0.computeType] }) ?? [.float32, .bfloat16] {
      let result = try measured(type)
      guard !json else {
        try printJSON(result)
        continue
      }
      print(
        String(
          format:
            "LoRALinear %dx%d r%d %@: forward %.2f ms (plain %.2f ms, ratio %.3f), "
            + "forward+backward %.2f ms", features, features, rank, type.name,
          result.forward * 1e3, result.plain * 1e3, result.forward / result.plain,
          result.both * 1e3))
    }
  }

  /// W, x and dY are of the one type, as in PyTorch; A and B are float32, as this engine keeps them.
  private func measured(_ type: DType) throws -> Result {
    var random = Random(seed: 1)
    let weight = random.normal([features, features], deviation: 0.02).converted(to: type)
    let plain = Linear(weight: weight)
    let layer = LoRALinear(base: Linear(weight: weight))
    try layer.add(
      "default", configuration: LoRALinearConfiguration(rank: rank, dropout: 0.05), random: &random)
    // x takes part in the graph, as it does inside a network: dX is computed too.
    let input = Parameter(random.normal([1, rows, features]).converted(to: type))
    let dy = random.normal([1, rows, features]).converted(to: type)
    let parameters = layer.trainableParameters.map(\.parameter) + [input]
    let x = input.value
    // In turn, so that a machine that slows down does so for all three.
    var times: [[Double]] = [[], [], []]
    for round in 0..<rounds + 3 {
      let measured = [
        seconds { _ = plain(x) }, seconds { _ = PassContext.training { layer(x) } },
        seconds { forwardAndBackward(parameters, upstream: [dy]) { [layer(input.tensor)] } },
      ]
      if round >= 3 { for i in 0..<3 { times[i].append(measured[i]) } }
    }
    return Result(
      type: type.name, plain: times[0].median, forward: times[1].median, both: times[2].median)
  }
}
