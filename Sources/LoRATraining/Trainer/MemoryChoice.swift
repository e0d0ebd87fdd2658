// What a run keeps, computes twice and leaves in the file, so that it fits the memory it may take.

import Foundation
public import LoRAModels

/// The fastest way of working that fits a budget. What is computed twice changes no bit of the
/// adapter; where the weights are changes none of plain pairs (DoRA, PiSSA and OLoRA begin from the
/// weights themselves, which are rounded once more when they are resident in bfloat16).
public struct MemoryChoice: Sendable, CustomStringConvertible {
  /// Where the base's weights are.
  public let weights: BaseWeights
  /// What is computed twice.
  public let recomputation: Recomputation
  /// What that needs.
  package let plan: MemoryPlan

  /// The first of the ways, the fastest first, that fits. Weights that stay in the file cost nothing
  /// where they are packed for each product anyway (measured: Docs/performance.md), so they are
  /// resident only where that is asked for.
  ///
  /// - Parameters:
  ///   - model: with its adapter.
  ///   - passTokens: the tokens of the run's largest pass.
  ///   - supervisedTokens: the most of a pass that carry loss; nil: all.
  ///   - budget: bytes; nil: 85% of the machine's memory.
  ///   - weights: where the weights must be; nil: in the file.
  ///   - rank: of the pairs, where the adapter is not there yet.
  /// - Throws: `TrainingError` with the least that the run needs.
  package init(
    _ model: Llama, passTokens: Int, supervisedTokens: Int? = nil, budget: Int?,
    weights: BaseWeights?, rank: Int? = nil
  ) throws {
    let limit = budget ?? Int(Double(ProcessInfo.processInfo.physicalMemory) * 0.85)
    let sizes = MemorySizes(
      model, passTokens: passTokens, supervisedTokens: supervisedTokens, rank: rank)
    let place = weights ?? .mapped
    let ways = Recomputation.allCases.map { ($0, sizes.plan(place, $0)) }
    guard let (again, plan) = ways.first(where: { $0.1.total <= limit }) else {
      let least = ways.map(\.1.total).min() ?? 0
      throw TrainingError(
        message: "the run needs at least \(Self.megabytes(least)) MB, and may take "
          + (budget == nil
            ? "\(Self.megabytes(limit)) MB (85% of this machine's memory)"
            : "\(Self.megabytes(limit)) MB (--memory-budget)"),
        hint: "raise --memory-budget, lower --max-length or --rank, or use a smaller model")
    }
    (self.weights, recomputation, self.plan) = (place, again, plan)
  }

  private static func megabytes(_ bytes: Int) -> Int {
    Int((Double(bytes) / 1e6).rounded(.up))
  }

  /// The plan in one line, and what was chosen.
  public var description: String {
    func size(_ bytes: Int) -> String { "\(Self.megabytes(bytes))" }
    let kept =
      switch recomputation {
      case .nothing: "nothing is computed twice"
      case .mlp: "the MLPs are computed twice"
      case .layers: "all layers are computed twice"
      }
    return "memory: \(size(plan.total)) MB planned (weights \(size(plan.base)) "
      + "\(weights.rawValue), adapter \(size(plan.adapter)), kept \(size(plan.activations)), "
      + "buffers \(size(plan.work)), program \(size(plan.program))); \(kept)"
  }
}
