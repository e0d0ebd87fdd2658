// What PEFT's own tests assert of LoRA, line by line with the tests that hold it here, and the tests
// of those lines that no other suite holds.
//
//  1 a fresh adapter is the base, init false is not   newAdapterLeavesTheLogits, initFalseIsNotTheBase
//  2 A's distribution, B = 0, an embedding reversed   firstValuesHaveTheirDistribution, anEmbeddingStarts…
//  3 scales by formula and pattern, set and unset     MatchingTests.alphas, aScaleIsSetAndTakenBack
//  4 three steps move every tensor, the base no bit   threeStepsMoveEveryTensor
//  5 gradients of the adapter alone, recomputed too   onlyTheFactorsAreTrainable, recomputationChangesNothing
//  6 the loss falls on a fixed batch                  threeStepsMoveEveryTensor, TrainerTests.theLossFalls
//  7 save → load, other name and seed                 savedAndLoadedItComputesTheSame, savedAndLoadedIsTheSame
//  8 merged = adapter = merge_and_unload, reloaded    MergingTests, MergedModelTests.computesTheSame
//  9 NaN, infinity and overflow are refused           MergingTests.whatDoesNotFitIsRefused
// 10 twice = once, sequence = batch, unmerged = base  theOrderOfMergingDoesNotMatter, unmergingBringsEvery…
// 11 disabled = base, merged too, restored on exit    disablingLeavesTheBase…, choicesOfAdaptersSeeThePaths
// 12 switching; two = their cat; −1 negates           activationChoosesWhatActs, twoActiveAreTheirSum
// 13 every way to combine, ranks, what is refused     CombiningTests
// 14 rows of a mixed batch are each alone             MixedBatchTests
// 15 removal leaves no trace, the next acts           removalLeavesNoTrace, whenTheActiveOneGoesTheNext…
// 16 matching                                         MatchingTests (PEFT's tables)
// 17 a choice of layers trains less, round trip       someLayersTrainLess
// 18 PiSSA and OLoRA start at the base, converted     VariantFileTests, VariantTrajectoryTests
// 19 DoRA: nothing at first, merged, names            VariantFileTests, MergingTests.variants
// 20 trained tokens, with a tied head                 MergedModelTests, HeadLossTests
// 21 types of adapter and base                        typesOfAdapterAndBase
// 22 configuration there and back, unknown keys       PEFTFileTests, HostileAdapterTests
// 23 files of either side are the other's             Scripts/conformance/matrix.py
//
// Not here: convolutions, embed_scale (Gemma), autocast.

import Foundation
import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

@Suite struct ChecklistTests {
  @Test func initFalseIsNotTheBase() throws {
    let model = try tinyModel()
    let base = try logits(model)
    try model.addAdapter("a", LoRAConfiguration(rank: 4, initialization: .uniformBoth), seed: 1)
    #expect(zip(try logits(model), base).contains { abs($0 - $1) > 1e-2 })
  }

  // MARK: First values

  /// The largest distance between the values' distribution and an expected one (Kolmogorov, Smirnov).
  private func distance(_ values: [Float], _ distribution: (Double) -> Double) -> Double {
    let sorted = values.sorted()
    let count = Double(sorted.count)
    return sorted.enumerated().reduce(0) { worst, entry in
      let expected = distribution(Double(entry.element))
      let (below, upTo) = (Double(entry.offset) / count, Double(entry.offset + 1) / count)
      return max(worst, abs(expected - below), abs(expected - upTo))
    }
  }

  private func normal(_ deviation: Double) -> (Double) -> Double {
    { 0.5 * erfc(-$0 / (deviation * 2.0.squareRoot())) }
  }

  private func uniform(_ bound: Double) -> (Double) -> Double {
    { min(max(0.5 + $0 / (2 * bound), 0), 1) }
  }

  /// 65,536 values of A, for three seeds: 1.95/√n is exceeded by one in a thousand true samples, and
  /// the wrong distribution of the same variance is three times as far away at least.
  @Test(arguments: [
    LoRAInitialization.kaimingUniform, .gaussian, .normal(deviation: 0.02), .uniformBoth,
  ])
  func firstValuesHaveTheirDistribution(initialization: LoRAInitialization) throws {
    let (inFeatures, rank) = (512, 128)
    let bound = 1 / Double(inFeatures).squareRoot()
    for seed: UInt64 in 1...3 {
      let layer = try LoRALinear(
        inFeatures, 512, configuration: .init(rank: rank, initialization: initialization),
        seed: seed)
      let pair = layer.pairs[0].pair
      let a = pair.a.value.elements
      let (expected, other) =
        switch initialization {
        case .gaussian: (normal(1 / 128), uniform(3.0.squareRoot() / 128))
        case .normal: (normal(0.02), uniform(3.0.squareRoot() * 0.02))
        default: (uniform(bound), normal(bound / 3.0.squareRoot()))
        }
      let limit = 1.95 / Double(a.count).squareRoot()
      #expect(distance(a, expected) < limit, "seed \(seed)")
      #expect(distance(a, other) > 3 * limit)
      // Neighbours know nothing of each other, in a row and in a column.
      for step in [1, inFeatures] {
        let products = zip(a, a.dropFirst(step)).map { Double($0) * Double($1) }
        let variance = a.reduce(0) { $0 + Double($1) * Double($1) } / Double(a.count)
        let correlation = products.reduce(0, +) / Double(products.count) / variance
        #expect(abs(correlation) < 5 / Double(a.count).squareRoot(), "step \(step)")
      }
      let b = pair.b.value.elements
      if initialization == .uniformBoth {
        #expect(distance(b, uniform(1 / Double(rank).squareRoot())) < limit)
      } else {
        #expect(b.allSatisfy { $0 == 0 })
      }
    }
  }

  /// The other way round: A is 0 and B is drawn from N(0, 1).
  @Test func anEmbeddingStartsTheOtherWayRound() throws {
    let model = try tinyModel()
    let configuration = LoRAConfiguration(rank: 64, targets: .names(["embed_tokens"]))
    try model.addAdapter("a", configuration, seed: 1)
    let pair = try #require(model.adapterPairs("a").first?.pair)
    #expect(pair.a.value.elements.allSatisfy { $0 == 0 })
    let b = pair.b.value.elements
    #expect(b.count == 16 * 64)
    #expect(distance(b, normal(1)) < 1.95 / Double(b.count).squareRoot())
  }

  // MARK: Scale

  @Test func aScaleIsSetAndTakenBack() throws {
    let model = try tinyModel()
    let base = try logits(model)
    var configuration = LoRAConfiguration(rank: 4, alpha: 6, isRankStabilized: true)
    configuration.rankPattern = ["v_proj": 9]
    configuration.alphaPattern = ["down_proj": 5]
    try model.addAdapter("a", configuration, seed: 1)
    fill(model, "a", seed: 2)
    let pairs = model.adapterPairs("a")
    for (path, pair) in pairs {
      let expected: Float =
        path.hasSuffix("v_proj") ? 2 : path.hasSuffix("down_proj") ? 2.5 : 3
      #expect(pair.scale == expected, "\(path)")
    }
    let (scales, adapted) = (pairs.map(\.pair.scale), try logits(model))
    for (_, pair) in pairs { pair.scale *= 3 }
    #expect(zip(try logits(model), adapted).contains { abs($0 - $1) > 1e-2 })
    for (_, pair) in pairs { pair.scale = 0 }
    #expect(try logits(model) == base)
    for ((_, pair), scale) in zip(pairs, scales) { pair.scale = scale }
    #expect(try logits(model).map(\.bitPattern) == adapted.map(\.bitPattern))
  }

  // MARK: Training

  /// Plain gradient descent over everything that an adapter may train.
  private static let trained =
    VariantFileTests.variants.map { (name: $0.testDescription, configuration: $0.configuration) }
    + TrainedPartsTests.kinds.map { kind in
      var configuration = LoRAConfiguration(rank: 2, alpha: 4, targets: .names(["q_proj"]))
      kind.change(&configuration)
      return (kind.name, configuration)
    }

  @Test(arguments: trained.indices) func threeStepsMoveEveryTensor(index: Int) throws {
    let (name, configuration) = Self.trained[index]
    let model = try tinyModel()
    try model.addAdapter("a", configuration, seed: 1)
    let frozen = model.namedParameters.filter { !$0.parameter.isTrainable }
    let (trained, before) = (model.trainableParameters, frozen.map(\.parameter.value.elements))
    let start = trained.map(\.parameter.value.elements)
    let tokens: [Int32] = [1, 5, 17, 39, 0, 5, 28]
    var losses: [Float] = []
    for _ in 0..<3 {
      let (loss, gradients) = valueAndGradient(of: trained.map(\.parameter)) {
        let hidden = model.hiddenStates(tokens, packing: Packing(lengths: [tokens.count]))
        return logitCrossEntropy(
          model.logits(hidden), targets: tokens.dropFirst() + [2], scale: 1 / Float(tokens.count)
        ).loss
      }
      losses.append(loss.item)
      for (entry, gradient) in zip(trained, gradients) {
        entry.parameter.load(entry.parameter.value - gradient * Tensor(0.2))
      }
    }
    #expect(losses[2] < losses[0], "\(name): \(losses)")
    for (entry, old) in zip(trained, start) {
      let moved = zip(entry.parameter.value.elements, old).map { abs($0 - $1) }.max() ?? 0
      #expect(moved > 1e-4, "\(name): \(entry.path) moved by \(moved)")
    }
    for (entry, old) in zip(frozen, before) {
      #expect(entry.parameter.value.elements == old, "\(name): \(entry.path)")
    }
  }

  @Test func someLayersTrainLess() throws {
    var configuration = LoRAConfiguration(rank: 2, alpha: 4, targets: .names(["q_proj", "v_proj"]))
    let all = try tinyModel().addAdapter("a", configuration, seed: 1).parameterCount
    configuration.layers = LayerSelection([0])
    let model = try tinyModel()
    #expect(try model.addAdapter("a", configuration, seed: 1).parameterCount == all / 2)
    fill(model, "a", seed: 2)
    let folder = try TemporaryFolder()
    try model.saveAdapter("a", configuration, to: folder.path)
    let other = try tinyModel()
    let loaded = try other.loadAdapter("b", from: folder.path)
    #expect(loaded.configuration == configuration && loaded.summary.parameterCount == all / 2)
    #expect(try logits(other).map(\.bitPattern) == logits(model).map(\.bitPattern))
  }

  // MARK: Several

  @Test func twoActiveAreTheirSum() throws {
    let folder = try TemporaryFolder()
    let (a, b) = (
      try AdapterWeights(Fixture.path("merging/a")), try AdapterWeights(Fixture.path("merging/b"))
    )
    func combined(_ adapters: [(AdapterWeights, Double)], _ name: String) throws -> String {
      try FileManager.default.createDirectory(
        atPath: folder.file(name), withIntermediateDirectories: true)
      try AdapterWeights.combining(adapters, CombinationOptions(method: .cat)).write(
        to: folder.file(name))
      return folder.file(name)
    }
    func output(_ paths: [String]) throws -> [Float] {
      let model = try tinyModel()
      for (index, path) in paths.enumerated() { try model.loadAdapter("x\(index)", from: path) }
      return try logits(model)
    }
    let two = try output([Fixture.path("merging/a"), Fixture.path("merging/b")])
    expectClose(
      actual: try output([combined([(a, 1), (b, 1)], "sum")]), expected: two, atol: 1e-5, rtol: 1e-5
    )
    let negated = try combined([(a, -1)], "negated")
    expectClose(
      actual: try output([Fixture.path("merging/a"), negated]), expected: try output([]),
      atol: 1e-5, rtol: 1e-5)
  }

  // MARK: Types

  /// A folder with the tensors of another in a type, and whether their rounding is the last.
  private func folder(
    _ source: String, _ weights: String, as dtype: DType, in folder: TemporaryFolder, _ name: String
  ) throws -> String {
    let target = folder.file(name)
    try FileManager.default.copyItem(atPath: source, toPath: target)
    let file = try SafeTensorsFile(contentsOf: source + "/" + weights)
    var writer = SafeTensorsWriter()
    for tensor in file.tensors {
      let wide = Tensor(try file.bytes(of: tensor.name)).converted(to: .float32)
      writer.add(tensor.name, StoredTensor(wide.converted(to: dtype)))
    }
    try writer.write(to: target + "/" + weights)
    return target
  }

  /// Whatever the files' types: the factors are float32 and the numbers those of the file; the logits
  /// are those of the same numbers in float32; merged, the weights have the base's type.
  @Test(
    arguments: [DType.float32, .float16, .bfloat16], [DType.float32, .float16, .bfloat16])
  func typesOfAdapterAndBase(adapterType: DType, baseType: DType) throws {
    let folder = try TemporaryFolder()
    let (weights, factors) = ("model.safetensors", "adapter_model.safetensors")
    let base = try self.folder(
      Fixture.path("merging/base-bf16"), weights, as: baseType, in: folder, "base")
    let wideBase = try self.folder(base, weights, as: .float32, in: folder, "wide-base")
    let adapter = try self.folder(
      Fixture.path("merging/a"), factors, as: adapterType, in: folder, "adapter")
    let wideAdapter = try self.folder(adapter, factors, as: .float32, in: folder, "wide-adapter")
    func model(_ base: String, _ adapter: String, asStored: Bool = false) throws -> Llama {
      let model = try Llama(
        folder: ModelFolder(contentsOf: base), computeType: .float32, asStored: asStored)
      #expect(try model.loadAdapter("a", from: adapter).summary.warnings == [])
      return model
    }
    let expected = try logits(model(wideBase, wideAdapter))
    for asStored in [false, true] {
      let actual = try model(base, adapter, asStored: asStored)
      let file = try SafeTensorsFile(contentsOf: adapter + "/" + factors)
      for (path, pair) in actual.adapterPairs("a") {
        #expect(pair.a.value.dtype == .float32 && pair.b.value.dtype == .float32)
        let stored = Tensor(try file.bytes(of: "base_model.model.\(path).lora_B.weight"))
        #expect(pair.b.value.elements == stored.converted(to: .float32).elements)
      }
      expectClose(actual: try logits(actual), expected: expected, atol: 1e-5, rtol: 1e-5)
      guard asStored else { continue }
      try actual.mergeAdapters()
      let layers = actual.namedModules.compactMap { $0.child.module as? LoRALinear }
      #expect(layers.allSatisfy { $0.merged?.weight.dtype == baseType })
      let rounding: Float = baseType == .float32 ? 1e-4 : baseType == .float16 ? 0.05 : 0.4
      expectClose(actual: try logits(actual), expected: expected, atol: rounding, rtol: 0)
    }
  }
}
