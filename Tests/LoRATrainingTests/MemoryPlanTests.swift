// What a run is planned to need, and the way of working chosen from it.

import LoRAAdapters
import LoRAFormats
import LoRAModels
import LoRATensor
import LoRATestSupport
import LoRATraining
import Testing

struct MemoryPlanTests {
  private func model() throws -> Llama {
    let model = try Llama(
      gguf: GGUFFile(contentsOf: Fixture.path("adapters/base.gguf")), computeType: .bfloat16,
      asStored: true)
    try model.addAdapter("x", LoRAConfiguration(rank: 3, alpha: 6), seed: 7)
    return model
  }

  private func plan(_ weights: BaseWeights, _ again: Recomputation, tokens: Int) throws -> Int {
    MemorySizes(try model(), passTokens: tokens).plan(weights, again).total
  }

  @Test func whatIsComputedTwiceIsNotKept() throws {
    for weights in BaseWeights.allCases {
      let totals = try [Recomputation.nothing, .mlp, .layers].map {
        try plan(weights, $0, tokens: 4096)
      }
      #expect(totals == totals.sorted(by: >) && Set(totals).count == 3)
    }
  }

  @Test func whatDoRAKeepsIsPlanned() throws {
    let totals = try [(false, 0), (true, 0), (true, 0.1)].map { (usesDoRA: Bool, dropout: Float) in
      let model = try Llama(
        gguf: GGUFFile(contentsOf: Fixture.path("adapters/base.gguf")), computeType: .bfloat16,
        asStored: true)
      var configuration = LoRAConfiguration(rank: 3, alpha: 6, dropout: dropout)
      configuration.usesDoRA = usesDoRA
      try model.addAdapter("x", configuration, seed: 7)
      return MemorySizes(model, passTokens: 4096).plan(.mapped, .nothing).total
    }
    #expect(totals[0] < totals[1] && totals[1] < totals[2])
  }

  @Test func memoryGrowsLinearlyWithTheLength() throws {
    let totals = try [8192, 16384, 24576].map { try plan(.resident, .nothing, tokens: $0) }
    #expect(totals[1] - totals[0] == totals[2] - totals[1])
  }

  @Test(arguments: [(BaseWeights.mapped, Recomputation.layers), (.resident, .mlp)])
  func theFirstWayThatFitsIsTaken(weights: BaseWeights, recomputation: Recomputation) throws {
    let choice = try MemoryChoice(
      model(), passTokens: 4096, budget: plan(weights, recomputation, tokens: 4096),
      weights: weights)
    #expect(choice.weights == weights && choice.recomputation == recomputation)
    let free = try MemoryChoice(model(), passTokens: 64, budget: nil, weights: nil)
    #expect(free.weights == .mapped && free.recomputation == .nothing)
  }

  @Test func aBudgetThatNothingFitsIsAnError() throws {
    let error = #expect(throws: TrainingError.self) {
      try MemoryChoice(model(), passTokens: 32, budget: 50_000_000, weights: nil)
    }
    #expect(
      error?.description == """
        the run needs at least 87 MB, and may take 50 MB (--memory-budget)
        hint: raise --memory-budget, lower --max-length or --rank, or use a smaller model
        """)
  }
}
