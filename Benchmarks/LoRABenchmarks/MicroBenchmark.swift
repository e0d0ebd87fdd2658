// The parts of a training step by themselves, each against what bounds it on this machine.

import ArgumentParser
import Foundation
import LoRATensor

struct MicroBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "micro",
    abstract: "Parts of a step (SmolLM2-135M's sizes) against the rates of products and of memory.")

  @Option(help: "Tokens of a pass.") var rows = 512
  @Option(help: "The rank of the pairs.") var rank = 16
  @Option(help: "Timed rounds; the median counts.") var rounds = 9
  @Option(help: "auto, float32 or bfloat16.") var precision = Precision.auto
  @Option(help: "Only the parts whose name contains this.") var only: String?

  func run() {
    let type = precision.computeType
    let product = ProductLimit(type)
    let memory = MemoryLimit(bytes: 192e6)
    let rates = (0..<rounds + 3).map { _ in (product.measured(), memory.measured()) }.dropFirst(3)
    print(
      String(
        format: "%@, %d threads: square product %.0f GFLOP/s, y += a·x %.1f GB/s in memory",
        type.name, Engine.threadCount, rates.map(\.0).median / 1e9, rates.map(\.1).median / 1e9))
    print(column("part, \(rows) rows", 46) + "      ms       rate   of the limit")
    let parts = StepParts(rows: rows, rank: rank, type: type)
    for group in [parts.products, parts.lowRank, parts.others] {
      for part in group() where only.map(part.name.contains) ?? true {
        report(part, product: product)
      }
    }
    for layer in parts.layers() where only.map(layer.adapted.name.contains) ?? true {
      let plain = report(layer.plain, product: product)
      let adapted = report(layer.adapted, product: product)
      let flops = layer.adapted.work.amount / layer.plain.work.amount - 1
      print(
        String(
          format: "  its pairs take %.1f%% more time for %.1f%% more FLOP: %.1f times their share",
          (adapted / plain - 1) * 100, flops * 100, (adapted / plain - 1) / flops))
    }
  }

  /// Each round times the part and its limit right after: the machine's own speed drifts.
  ///
  /// - Returns: the part's time in units of its limit.
  @discardableResult
  private func report(_ part: Part, product: ProductLimit) -> Double {
    let limit: () -> Double
    switch part.work {
    case .flops: limit = product.measured
    case .bytes(let bytes): limit = MemoryLimit(bytes: bytes).measured
    }
    part.body()
    // Often enough that a call's own cost and the clock do not matter.
    let calls = max(1, Int(2e-3 / max(seconds(part.body), 1e-7)))
    var times: [Double] = []
    var shares: [Double] = []
    for round in 0..<rounds + 2 {
      let time = seconds { for _ in 0..<calls { part.body() } } / Double(calls)
      let share = part.work.amount / time / limit()
      guard round >= 2 else { continue }
      times.append(time)
      shares.append(share)
    }
    let rate = part.work.amount / times.median / 1e9
    print(
      column(part.name, 46)
        + String(
          format: "%8.3f %7.0f %@ %5.0f%% of %@", times.median * 1e3, rate, part.work.unit,
          shares.median * 100, part.work.limit))
    return part.work.amount / shares.median
  }

  private func column(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}

/// A part of a step, and the least that it must do.
struct Part {
  enum Work {
    case flops(Double)
    /// Bytes that must be read or written, each once.
    case bytes(Double)

    var amount: Double {
      switch self {
      case .flops(let amount), .bytes(let amount): amount
      }
    }
    var unit: String { if case .flops = self { "GFLOP/s" } else { "GB/s   " } }
    var limit: String { if case .flops = self { "the product" } else { "y += a·x" } }
  }

  let name: String
  let work: Work
  let body: () -> Void
}
