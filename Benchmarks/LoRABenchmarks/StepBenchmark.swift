// Training steps of the demo model against the roofline measured between them.

import ArgumentParser
import Foundation
import LoRAAdapters
import LoRAFormats
import LoRAModels
import LoRATensor
import LoRATraining

struct StepBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "step", abstract: "Training steps: tokens/s, share of the roofline, memory.")

  @Option(help: "A GGUF file.") var model: String
  @Option(help: "Rows of a step.") var rows = 4
  @Option(help: "Tokens of a row.") var length = 512
  @Option(help: "The share of a row's tokens, at its end, that carries loss.") var supervised = 1.0
  @Option(help: "Rows differ in length by up to this share.") var spread = 0.0
  @Option(help: "Timed steps.") var steps = 5
  @Option(help: "The rank of the pairs.") var rank = 16
  @Option(help: "Tokens worked at once.") var budget = TrainingOptions().tokenBudget
  @Option(help: "auto, float32 or bfloat16.") var precision = "auto"
  @Option(help: "resident or mapped.") var weights = "resident"
  @Option(help: "What is computed twice: nothing, mlp or layers.") var recomputation = "nothing"

  func run() throws {
    let type = (Precision(rawValue: precision) ?? .auto).computeType
    let place = BaseWeights(rawValue: weights) ?? .resident
    let network = try Llama(
      gguf: GGUFFile(contentsOf: model), computeType: type, asStored: place == .mapped)
    network.recomputation = Recomputation(rawValue: recomputation) ?? .nothing
    let alpha = Float(2 * rank)
    try network.addAdapter("x", LoRAConfiguration(rank: rank, alpha: alpha), seed: 1)
    let examples = makeExamples(vocabulary: network.configuration.vocabularySize)
    var options = TrainingOptions()
    options.batchSize = rows
    options.tokenBudget = budget
    let plan = MemoryPlan(
      network, weights: place, recomputation: network.recomputation,
      passTokens: max(
        examples.map(\.tokens.count).max() ?? 0,
        min(budget, examples.reduce(0) { $0 + $1.tokens.count })))
    let trainer = try Trainer(network, examples: examples, options: options)
    var reports: [StepReport] = []
    var rates: [Double] = []
    // The first two compile kernels and fill the pool.
    for step in 0..<steps + 2 {
      let report = try trainer.run(
        step: step, indices: Array(0..<rows), learningRate: 1e-4, epoch: 0)
      let rate = productRate(network, rows: min(budget, rows * length))
      guard step >= 2 else { continue }
      reports.append(report)
      rates.append(rate)
    }
    let work = StepWork(
      network.configuration, lengths: examples.map(\.tokens.count),
      supervised: reports.first?.supervisedTokens ?? 0, rank: rank)
    // Each step against the rate measured right after it: the machine's own speed drifts.
    let shares = zip(reports, rates).map { work.flops / $0.seconds / $1 }
    let rate = rates.median
    let speed = reports.map(\.tokensPerSecond).median
    print(
      String(
        format:
          "%d x %d, %@: %.0f tokens/s, %.0f%% of the roofline (%.2f TFLOP at %.0f GFLOP/s: %.0f "
          + "tokens/s), peak %.0f MB (planned %.0f MB)", rows, length, type.name, speed,
        shares.median * 100,
        work.flops / 1e12, rate / 1e9,
        Double(reports.first?.tokens ?? 0) / (work.flops / rate), peakResidentMegabytes(),
        Double(plan.total) / 1e6))
  }

  private func makeExamples(vocabulary: Int) -> [Example] {
    var random = Random(seed: 3)
    return (0..<rows).map { row in
      let slack = Int(Double(length) * spread)
      let count = length - (slack > 0 ? random.index(below: slack) : 0)
      let first = count - Int(Double(count) * supervised)
      return Example(
        tokens: (0..<count).map { _ in Int32(random.index(below: vocabulary)) },
        mask: (0..<count).map { $0 >= max(first, 1) }, line: row + 1, file: "random")
    }
  }
}
