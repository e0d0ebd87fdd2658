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
  @OptionGroup var source: StepRows
  @Option(help: "Timed steps.") var steps = 5
  @Option(help: "Steps before them, which compile kernels and fill the pool.") var warmUp = 2
  @Option(help: "The rank of the pairs.") var rank = 16
  @Option(help: "Tokens worked at once.") var budget = TrainingOptions().tokenBudget
  @Option(help: "auto, float32 or bfloat16.") var precision = Precision.auto
  @Option(help: "resident or mapped.") var weights = BaseWeights.mapped
  @Option(help: "What is computed twice: nothing, mlp or layers.")
  var recomputation = Recomputation.nothing
  @Flag(help: "Print one line of JSON instead.") var json = false

  /// The figures of a run; of each timed step where there are several.
  private struct Result: Encodable {
    let rows: Int
    let type: String
    let engine = "oneDNN \(Engine.oneDNNVersion), \(Engine.instructionSet)"
    var tokens: [Int] = []
    var seconds: [Double] = []
    var losses: [Double] = []
    var shares: [Double] = []
    var rates: [Double] = []
    var flops: [Double] = []
    var tokensPerSecond = 0.0
    var peakMegabytes = 0.0
    var plannedMegabytes = 0.0
  }

  func run() throws {
    let network = try Llama(
      gguf: GGUFFile(contentsOf: model), computeType: precision.computeType,
      asStored: weights == .mapped)
    network.recomputation = recomputation
    try network.addAdapter("x", LoRAConfiguration(rank: rank, alpha: Float(2 * rank)), seed: 1)
    let examples = try source.examples(
      steps: warmUp + steps, vocabulary: network.configuration.vocabularySize)
    var options = TrainingOptions()
    options.batchSize = source.rows
    options.tokenBudget = budget
    let batches = (0..<warmUp + steps).map { step in
      (0..<source.rows).map { (step * source.rows + $0) % examples.count }
    }
    let passTokens = largestPass(batches.map { batch in batch.map { examples[$0].tokens.count } })
    let plan = MemorySizes(network, passTokens: passTokens).plan(weights, recomputation)
    let trainer = try Trainer(network, examples: examples, options: options)

    var result = Result(rows: source.rows, type: network.computeType.name)
    for (step, batch) in batches.enumerated() {
      let report = try trainer.run(step: step, indices: batch, learningRate: 2e-4, epoch: 0)
      result.losses.append(report.loss)
      // Each step against the rate measured right after it: the machine's own speed drifts.
      let rate = productRate(network, rows: passTokens)
      guard step >= warmUp else { continue }
      let work = StepWork(
        network.configuration, lengths: batch.map { examples[$0].tokens.count },
        supervised: report.supervisedTokens, rank: rank)
      result.tokens.append(report.tokens)
      result.seconds.append(report.seconds)
      result.flops.append(work.flops)
      result.rates.append(rate)
      result.shares.append(work.flops / report.seconds / rate)
    }
    result.tokensPerSecond = zip(result.tokens, result.seconds).map { Double($0) / $1 }.median
    result.peakMegabytes = peakResidentMegabytes()
    result.plannedMegabytes = Double(plan.total) / 1e6
    if json { try printJSON(result) } else { print(line(result)) }
  }

  /// The tokens of the largest pass: rows up to the budget, or one row that is longer.
  private func largestPass(_ batches: [[Int]]) -> Int {
    batches.map { max($0.max() ?? 0, min(budget, $0.reduce(0, +))) }.max() ?? 0
  }

  private func line(_ result: Result) -> String {
    let lengths = source.spread > 0 ? "up to \(source.length)" : "\(source.length)"
    let rows = source.data ?? "\(source.rows) x \(lengths)"
    // What a step would be if it took no longer than its unavoidable work.
    let possible = zip(result.tokens, zip(result.flops, result.rates)).map {
      Double($0) * $1.1 / $1.0
    }
    return String(
      format:
        "%@, %@: %.0f tokens/s, %.0f%% of the roofline (%.2f TFLOP at %.0f GFLOP/s: %.0f "
        + "tokens/s), peak %.0f MB (planned %.0f MB)", rows, result.type, result.tokensPerSecond,
      result.shares.median * 100, result.flops.median / 1e12, result.rates.median / 1e9,
      possible.median, result.peakMegabytes, result.plannedMegabytes)
  }
}
