// The textbook layer as its user meets it.

import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

struct LoRALinearTests {
  /// A new layer computes exactly what its base computes, for any leading shape.
  @Test(arguments: [[5], [3, 5], [2, 3, 5], [1, 1, 5], [0, 5]] as [Shape], [true, false])
  func newLayerIsItsBase(shape: Shape, bias: Bool) throws {
    let layer = try LoRALinear(
      5, 7, configuration: .init(rank: 3, alpha: 6, dropout: 0.5), bias: bias)
    let x = Tensor.randomNormal(shape, seed: 8)
    let y = layer(x)
    #expect(y.shape == shape.replacingLast(with: 7))
    #expect(y.elements == layer.base(x).elements)
  }

  @Test func onlyAAndBAreTrainable() throws {
    let layer = try LoRALinear(5, 7, configuration: .init(rank: 3))
    #expect(
      layer.trainableParameters.map(\.path) == ["lora_A.default.weight", "lora_B.default.weight"])
    #expect(
      layer.namedParameters.map(\.path) == [
        "lora_A.default.weight", "lora_B.default.weight", "base_layer.weight", "base_layer.bias",
      ])
  }

  /// A ~ N(0, 0.02²) by default: mean and deviation of 65,536 numbers lie within 5 standard errors.
  @Test func initialisationIsTheTextbooks() throws {
    let layer = try LoRALinear(1024, 8, configuration: .init(rank: 64))
    let a = layer.pairs[0].pair.a.value.elements.map(Double.init)
    let mean = a.reduce(0, +) / Double(a.count)
    let variance = a.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(a.count)
    let meanError = 0.02 / 256.0
    let deviationError = 0.02 / (2 * 65536.0).squareRoot()
    #expect(abs(mean) < 5 * meanError)
    #expect(abs(variance.squareRoot() - 0.02) < 5 * deviationError)
    #expect(layer.pairs[0].pair.b.value.elements.allSatisfy { $0 == 0 })
    #expect(layer.pairs[0].pair.scale == 1)
  }

  /// In training inputs of A are dropped (others scaled by 1/(1-p)): under `valueAndGradient`, or
  /// where the pass says so; in evaluation none is.
  @Test func dropoutActsOnTheLowRankPathInTraining() throws {
    let layer = try LoRALinear(400, 3, configuration: .init(rank: 1, dropout: 0.25), bias: false)
    let pair = layer.pairs[0].pair
    pair.a.load(.full([1, 400], 1))
    pair.b.load(.full([3, 1], 1))
    let x = Tensor.full([64, 400], 1)
    let base = layer.base(x).elements
    func lowRank() -> [Float] { zip(layer(x).elements, base).map { $0 - $1 } }
    let whole = [Float](repeating: 400, count: 192)
    expectClose(actual: lowRank(), expected: whole, atol: 1e-2, rtol: 0)
    let sums = PassContext.training(lowRank)
    // Each sum is (kept of 400)·4/3: mean 400, deviation √(400·0.25·0.75)·4/3 = 11.5.
    #expect(Set(sums).count > 10)
    let mean = sums.reduce(0, +) / 192
    #expect(abs(mean - 400) < 5 * 11.5 / 8)
    #expect(sums.allSatisfy { abs($0 - 400) < 6 * 11.5 })
    // The next call draws another mask.
    #expect(PassContext.training(lowRank) != sums)
    var recorded: [Float] = []
    _ = valueAndGradient(of: [pair.b]) {
      recorded = lowRank()
      expectClose(
        actual: PassContext.evaluating(lowRank), expected: whole, atol: 1e-2, rtol: 0)
      return layer(x).sum()
    }
    #expect(Set(recorded).count > 10)
  }

  @Test(arguments: [
    (LoRALinearConfiguration(rank: 0), "rank is 0, but a low-rank path needs at least 1"),
    (LoRALinearConfiguration(rank: -3), "rank is -3, but a low-rank path needs at least 1"),
    (LoRALinearConfiguration(rank: 4, dropout: 1), "dropout is 1.0, which is not in [0, 1)"),
    (LoRALinearConfiguration(rank: 4, dropout: -0.1), "dropout is -0.1, which is not in [0, 1)"),
    (LoRALinearConfiguration(rank: 4, dropout: .nan), "dropout is nan, which is not in [0, 1)"),
    (LoRALinearConfiguration(rank: 4, alpha: .infinity), "alpha is inf"),
  ])
  func configurationsThatCannotBe(configuration: LoRALinearConfiguration, message: String) throws {
    let error = #expect(throws: LoRAConfigurationError.self) {
      try LoRALinear(5, 7, configuration: configuration)
    }
    #expect(error?.message == message)
  }

  @Test func aRankThatSavesNothingIsWarnedOf() {
    #expect(LoRALinearConfiguration(rank: 5).warnings(inFeatures: 5, outFeatures: 7).isEmpty)
    let expected =
      "rank 6 is larger than the layer's smaller side (5 → 7): a product of such factors cannot "
      + "have more rank than 5"
    let warnings = LoRALinearConfiguration(rank: 6).warnings(inFeatures: 5, outFeatures: 7)
    #expect(warnings == [expected])
  }

  /// A few hundred steps of AdamW fit a target that the base cannot reach.
  @Test func itLearns() throws {
    let layer = try LoRALinear(16, 8, configuration: .init(rank: 4), bias: false, seed: 2)
    var random = Random(seed: 11)
    let x = random.normal([64, 16])
    let delta = random.normal([16, 2]).matmul(random.normal([2, 8]))
    let target = layer.base(x) + x.matmul(delta)
    let parameters = layer.trainableParameters.map(\.parameter)
    let optimizer = AdamW(parameters, learningRate: 0.05, weightDecay: 0)
    var losses: [Float] = []
    for _ in 0..<300 {
      let (loss, gradients) = valueAndGradient(of: parameters) {
        let difference = layer(x) - target
        return (difference * difference).mean()
      }
      optimizer.step(gradients)
      losses.append(loss.item)
    }
    #expect(losses[299] < losses[0] * 1e-3, "loss went from \(losses[0]) to \(losses[299])")
  }
}

struct SeedTests {
  /// Layers that are made without a seed differ: two equal ones would learn the same thing.
  @Test func layersWithoutASeedDiffer() throws {
    let first = Linear(8, 8)
    let second = Linear(8, 8)
    #expect(first.weight.value.elements != second.weight.value.elements)
    #expect(Tensor.randomNormal([8]).elements != Tensor.randomNormal([8]).elements)
    let same = Linear(8, 8, seed: 3)
    #expect(same.weight.value.elements == Linear(8, 8, seed: 3).weight.value.elements)
    let configuration = LoRALinearConfiguration(rank: 2)
    let layer = try LoRALinear(8, 8, configuration: configuration)
    let other = try LoRALinear(8, 8, configuration: configuration)
    #expect(layer.pairs[0].pair.a.value.elements != other.pairs[0].pair.a.value.elements)
  }
}
