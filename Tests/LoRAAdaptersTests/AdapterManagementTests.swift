// Several adapters on one model: what acts, what is trained, and what is left when one goes.

import LoRAAdapters
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

@Suite struct AdapterManagementTests {
  /// The tiny model with three adapters of different kinds, filled as training would.
  private func model(_ names: [String] = ["a", "b", "c"]) throws -> Llama {
    let model = try tinyModel()
    for (index, name) in names.enumerated() {
      var configuration = LoRAConfiguration(rank: 2 + index, alpha: 4)
      if index == 1 { configuration.targets = .names(["q_proj", "down_proj"]) }
      if index == 2 { configuration.hasBiasOfB = true }
      try model.addAdapter(name, configuration, seed: 1)
      fill(model, name, seed: UInt64(index + 1))
    }
    return model
  }

  /// The logits with one adapter that is alone in the model.
  private func alone(_ index: Int) throws -> [Float] {
    let model = try self.model()
    for (other, name) in ["a", "b", "c"].enumerated() where other != index {
      try model.removeAdapter(name)
    }
    try model.activateAdapters([["a", "b", "c"][index]])
    return try logits(model)
  }

  @Test func activationChoosesWhatActs() throws {
    let model = try self.model()
    #expect(model.adapterNames == ["a", "b", "c"])
    #expect(model.activeAdapterNames == ["a", "b", "c"])
    let base = try logits(tinyModel())
    for (index, name) in ["a", "b", "c"].enumerated() {
      try model.activateAdapters([name])
      #expect(model.activeAdapterNames == [name])
      let own = try logits(model)
      #expect(own == (try alone(index)), "\(name) with others in the model but not active")
      #expect(own != base)
    }
    try model.activateAdapters([])
    #expect(try logits(model) == base)
    #expect(model.activeAdapterNames == [])
  }

  @Test func disablingLeavesTheBaseAndComesBack() throws {
    let model = try self.model()
    try model.activateAdapters(["a", "c"])
    let base = try logits(tinyModel())
    let adapted = try logits(model)
    #expect(try model.withoutAdapters { try logits(model) } == base)
    #expect(try logits(model) == adapted)
    model.setAdaptersEnabled(false)
    #expect(!model.areAdaptersEnabled && model.activeAdapterNames == ["a", "c"])
    #expect(try logits(model) == base)
    // A layer that is adapted only now is off like the others.
    try model.addAdapter("d", LoRAConfiguration(rank: 1, initialization: .uniformBoth), seed: 3)
    #expect(try logits(model) == base)
    #expect(try model.withoutAdapters { try logits(model) } == base)
    try model.removeAdapter("d")
    model.setAdaptersEnabled(true)
    #expect(try logits(model) == adapted)
  }

  @Test func removalLeavesNoTrace() throws {
    let model = try self.model()
    try model.removeAdapter("a")
    #expect(model.adapterNames == ["b", "c"] && model.activeAdapterNames == ["b", "c"])
    #expect(!model.namedParameters.contains { $0.path.contains(".a.") })
    try model.removeAdapter("c")
    // Only q_proj and down_proj have a pair left; the others are the plain layers again.
    #expect(
      model.namedModules.filter { $0.child.module is LoRALinear }.map(\.path)
        == allPaths.filter { $0.hasSuffix("q_proj") || $0.hasSuffix("down_proj") })
    try model.removeAdapter("b")
    #expect(model.adapterNames == [] && model.activeAdapterNames == [])
    #expect(
      model.namedParameters.map(\.path) == (try tinyModel()).namedParameters.map(\.path))
    #expect(try logits(model) == (try logits(tinyModel())))
    // And a name is free again.
    try model.addAdapter("a", LoRAConfiguration(rank: 2), seed: 1)
  }

  @Test func whenTheActiveOneGoesTheNextByNameActs() throws {
    let model = try self.model(["z", "b", "c"])
    try model.activateAdapters(["z"])
    try model.removeAdapter("z")
    #expect(model.activeAdapterNames == ["b"])
    // One that was not active goes without a change.
    try model.removeAdapter("c")
    #expect(model.activeAdapterNames == ["b"])
  }

  @Test func renamingKeepsEverythingElse() throws {
    let model = try self.model()
    try model.activateAdapters(["a", "b"])
    try model.trainAdapters(["b"])
    let before = try logits(model)
    try model.renameAdapter("b", to: "events")
    #expect(model.adapterNames == ["a", "events", "c"])
    #expect(model.activeAdapterNames == ["a", "events"])
    #expect(try logits(model) == before)
    #expect(model.trainableParameters.allSatisfy { $0.path.contains(".events.") })
    try model.renameAdapter("events", to: "events")
    #expect(model.adapterNames == ["a", "events", "c"])
  }

  @Test func oneIsTrainedWhileOthersActFrozen() throws {
    let model = try self.model()
    try model.trainAdapters(["b"])
    #expect(model.activeAdapterNames == ["a", "b", "c"])
    #expect(
      model.trainableParameters.map(\.path)
        == model.namedParameters.map(\.path).filter { $0.contains(".b.") })
    try model.trainAdapters(["a", "c"])
    #expect(!model.trainableParameters.contains { $0.path.contains(".b.") })
    let biases = model.trainableParameters.filter { $0.path.hasSuffix("lora_B.c.bias") }
    #expect(biases.count == allPaths.count)
  }

  @Test func mistakesNameTheAdaptersThereAre() throws {
    let model = try self.model()
    let unknown = "the model has no adapter \"x\"\nhint: it has \"a\", \"b\", \"c\""
    #expect(message { try model.activateAdapters(["a", "x"]) } == unknown)
    #expect(message { try model.removeAdapter("x") } == unknown)
    #expect(message { try model.renameAdapter("x", to: "y") } == unknown)
    #expect(message { try model.trainAdapters(["x"]) } == unknown)
    #expect(
      message { try model.renameAdapter("a", to: "b") }
        == "the model has an adapter \"b\" already\nhint: choose another name")
    #expect(
      message { try model.renameAdapter("a", to: "a.b") }
        == "\"a.b\" cannot be the name of an adapter\n"
        + "hint: a name is part of the parameters' paths: not empty, and without a dot")
    try model.activateAdapters(["a", "c"])
    #expect(
      message { try model.trainAdapters(["b"]) }
        == "the adapter \"b\" is not active, so it would not learn\n"
        + "hint: activate it first; active are \"a\", \"c\"")
    // Nothing of that changed anything.
    #expect(model.adapterNames == ["a", "b", "c"] && model.activeAdapterNames == ["a", "c"])
  }

  /// A batch of which each sequence has adapters of its own gives each what it gets when the whole
  /// batch has its adapter: plain adapters to the bit, beside biases of B and DoRA up to the order of
  /// some additions. How many rows a batch has decides that order too, hence alone within 2e-6.
  @Test(arguments: [false, true])
  func mixedBatchEqualsEachAlone(hasVariants: Bool) throws {
    let model = try self.model(hasVariants ? ["a", "b", "c"] : ["a", "b"])
    var configuration = LoRAConfiguration(rank: 3, alpha: 6)
    configuration.usesDoRA = hasVariants
    try model.addAdapter("d", configuration, seed: 5)
    fill(model, "d", seed: 9)
    let sequences: [[Int32]] = [
      [1, 5, 9, 3], [7], [2, 2, 30, 11, 4, 8, 15], [39, 1, 12], [6, 6],
    ]
    let adapters = ["b", nil, hasVariants ? "c" : "b", "a", "d"]
    func hidden(_ sequences: [[Int32]], _ adapters: [String?]) -> Tensor {
      let packing = Packing(lengths: sequences.map(\.count))
      let choice = AdapterRows(adapters: adapters, starts: packing.starts)
      return AdapterRows.$current.withValue(choice) {
        model.hiddenStates(sequences.flatMap { $0 }, packing: packing)
      }
    }
    let mixed = hidden(sequences, adapters)
    var start = 0
    for (sequence, adapter) in zip(sequences, adapters) {
      let rows = start..<start + sequence.count
      start += sequence.count
      try model.activateAdapters(adapter.map { [$0] } ?? [])
      let alone = model.hiddenStates(sequence, packing: Packing(lengths: [sequence.count]))
      let name = adapter ?? "none"
      expectClose(
        actual: mixed.rows(rows).elements,
        expected: hidden(sequences, sequences.map { _ in adapter }).rows(rows).elements,
        atol: hasVariants ? 2e-6 : 0, rtol: hasVariants ? 1e-6 : 0, name: "\(rows) with \(name)")
      expectClose(
        actual: mixed.rows(rows).elements, expected: alone.elements, atol: 2e-6, rtol: 1e-6,
        name: "\(rows) with \(name) alone")
      expectClose(
        actual: hidden([sequence], [adapter]).elements, expected: alone.elements, atol: 0, rtol: 0,
        name: "\(name) alone")
    }
    // Unchosen adapters do not matter, whether they are active or not.
    try model.activateAdapters(["a", "b"])
    expectClose(
      actual: hidden(sequences, adapters).elements, expected: mixed.elements, atol: 0, rtol: 0)
  }
}
