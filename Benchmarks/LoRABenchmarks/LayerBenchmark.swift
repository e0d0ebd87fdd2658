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

  func run() throws {
    for type in [DType.float32, .bfloat16] { try run(type) }
  }

  private func run(_ type: DType) throws {
    var random = Random(seed: 1)
    let weight = random.normal([features, features], deviation: 0.02).converted(to: type)
    let plain = Linear(weight: weight)
    let layer = LoRALinear(base: Linear(weight: weight))
    try layer.add(
      "default", configuration: LoRALinearConfiguration(rank: rank, dropout: 0.05), random: &random)
    let x = random.normal([1, rows, features]).converted(to: type)
    layer.setTraining(true)
    let parameters = layer.trainableParameters.map(\.parameter)
    // x takes part in the graph, as it does inside a network: dX is computed too.
    let input = Parameter(x.converted(to: .float32))
    let plainTime = time { _ = plain(x) }
    let forward = time { _ = layer(x) }
    let both = time {
      _ = valueAndGradient(of: parameters + [input]) { layer(input.tensor).sum() }
    }
    print(
      String(
        format:
          "LoRALinear %dx%d r%d %@: forward %.2f ms (plain %.2f ms, ratio %.3f), forward+backward "
          + "%.2f ms", features, features, rank, type.name, forward * 1e3, plainTime * 1e3,
        forward / plainTime, both * 1e3))
  }

  private func time(_ body: () -> Void) -> Double {
    for _ in 0..<3 { body() }
    return (0..<rounds).map { _ in
      let start = ContinuousClock.now
      body()
      return start.duration(to: .now).inSeconds
    }.median
  }
}
