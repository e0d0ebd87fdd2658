// An adapter out of two models with layers too large for all singular values.

import LoRAAdapters
import LoRANN
import LoRATensor
import Testing

struct LargeExtractionTests {
  private final class Network: Module {
    var layer: any LinearLayer

    init(_ weight: Tensor) { layer = Linear(weight: weight) }

    var children: [ModuleChild] { [ModuleChild("layer", in: self, \.layer)] }
  }

  /// Above 1024 the largest directions are found by iteration: as good as LAPACK's of all.
  @Test func iterationIsAsGoodAsTheFullDecomposition() throws {
    var random = Random(seed: 3)
    let base = random.normal([1040, 1030])
    // Directions that fall off, as those of a difference do.
    let fall = Tensor((0..<1030).map { 0.1 / Float(1 + $0) }, shape: [1030])
    let difference = random.normal([1040, 1030]) * fall
    let result = try AdapterExtraction(
      base: Network(base), tuned: Network(base + difference), rank: 8)
    let squares = try difference.singularValueDecomposition().s.map { Double($0) * Double($0) }
    let best = squares.prefix(8).reduce(0, +) / squares.reduce(0, +)
    #expect(result.explained > best - 1e-4 && result.explained < best + 1e-4)
    let module = try #require(result.adapter.modules.first)
    #expect(module.rank == 8 && module.path == "layer")
    // What is left is what the best leaves: B·A is that approximation, not one of its norm.
    let rest = (difference - module.b.matmul(module.a) * Tensor(Float(module.scale))).elements
    let left = rest.reduce(0.0) { $0 + Double($1) * Double($1) } / squares.reduce(0, +)
    #expect(abs(left - (1 - best)) < 1e-4)
  }
}
