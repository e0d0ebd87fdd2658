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
}
