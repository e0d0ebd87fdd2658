// A batch of which every sequence has an adapter of its own: each gets, bit for bit, what it gets when
// the whole batch has its adapter, and what it gets alone.
// See Docs/decisions/0001-rows-of-a-mixed-batch.md.

import Foundation
import LoRA
import LoRAAdapters
import LoRAGeneration
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import LoRATraining
import Testing

@Suite struct MixedBatchTests {
  /// Adapters of every kind that can be chosen by the sequence, by their names.
  private static let kinds: [(name: String, configuration: LoRAConfiguration)] = {
    func kind(
      _ rank: Int, _ targets: [String]? = nil,
      _ change: (inout LoRAConfiguration) -> Void = { _ in }
    ) -> LoRAConfiguration {
      var configuration = LoRAConfiguration(rank: rank, alpha: 6)
      if let targets { configuration.targets = .names(targets) }
      change(&configuration)
      return configuration
    }
    return [
      ("plain", kind(3)), ("wide", kind(8, ["q_proj", "v_proj", "o_proj", "up_proj"])),
      ("rslora", kind(4, ["q_proj", "down_proj"]) { $0.isRankStabilized = true }),
      ("dora", kind(3) { $0.usesDoRA = true }),
      ("dora-some", kind(2, ["k_proj", "down_proj"]) { $0.usesDoRA = true }),
      ("bias", kind(2) { $0.hasBiasOfB = true }),
      ("head", kind(4, ["lm_head", "q_proj"])), ("embedding", kind(2, ["embed_tokens", "v_proj"])),
      ("dora-embedding", kind(2, ["embed_tokens", "v_proj"]) { $0.usesDoRA = true }),
      ("tokens", kind(2, ["q_proj"]) { $0.trainedTokens = [TrainedTokens([3, 7, 12])] }),
    ]
  }()

  /// Adds adapters and fills all that training would change.
  private func add(_ names: [String], to model: Llama, deviation: Float) throws {
    for (index, kind) in Self.kinds.enumerated() where names.contains(kind.name) {
      try model.addAdapter(kind.name, kind.configuration, seed: UInt64(index))
      try model.trainAdapters([kind.name])
      var random = Random(seed: UInt64(100 + index))
      for (_, parameter) in model.trainableParameters {
        let noise = random.normal(parameter.value.shape, deviation: deviation)
        parameter.load(parameter.value + noise)
      }
    }
    model.freeze()
  }

  private func sequences(_ lengths: [Int], vocabulary: Int) -> [[Int32]] {
    var random = Random(seed: 5)
    // The trained tokens come in every one.
    return lengths.map { length in
      (0..<length).map { place in
        place % 3 == 1 ? [3, 7, 12][place % 2] : Int32(random.index(below: vocabulary))
      }
    }
  }

  /// The logits of each sequence.
  private func logits(
    _ model: Llama, _ sequences: [[Int32]], _ adapters: [String?]
  ) -> [[Float]] {
    let packing = Packing(lengths: sequences.map(\.count))
    let choice = AdapterRows(adapters: adapters, starts: packing.starts)
    let all = PassContext.with({ $0.adapters = choice }) {
      model.logits(model.hiddenStates(sequences.flatMap { $0 }, packing: packing))
    }
    return sequences.indices.map { index in
      all.rows(Int(packing.starts[index])..<Int(packing.starts[index + 1])).elements
    }
  }

  /// Not `==`: the testing library would look for the shortest edit of one list into the other.
  private func expectSame(_ actual: [Float], _ expected: [Float], _ name: String) {
    expectClose(actual: actual, expected: expected, atol: 0, rtol: 0, name: name)
  }

  /// - Parameter tolerance: of a row alone, where the processor's kernels depend on the rows.
  private func check(
    _ model: Llama, _ sequences: [[Int32]], _ adapters: [String?], tolerance: Float
  ) throws {
    let mixed = logits(model, sequences, adapters)
    let base = logits(model, sequences, sequences.map { _ in nil })
    for name in Set(adapters) {
      let own = name == nil ? base : logits(model, sequences, sequences.map { _ in name })
      for (index, adapter) in adapters.enumerated() where adapter == name {
        expectSame(mixed[index], own[index], "\(name ?? "none"), sequence \(index)")
        let isChanged = mixed[index] != base[index]
        #expect(isChanged == (name != nil), "\(name ?? "none") has its effect")
      }
    }
    for (index, (sequence, adapter)) in zip(sequences, adapters).enumerated() {
      let place = "\(adapter ?? "none") alone, sequence \(index)"
      // Where not even the base's rows have the same bits alone, an adapter's cannot.
      let isExact =
        Engine.instructionSet == "x86-64-v4" && logits(model, [sequence], [nil])[0] == base[index]
      // Alone, as it is used: activated.
      try model.activateAdapters(adapter.map { [$0] } ?? [])
      let alone = model.logits(
        model.hiddenStates(sequence, packing: Packing(lengths: [sequence.count])))
      if isExact {
        expectSame(mixed[index], alone.elements, place)
      } else {
        expectClose(
          actual: mixed[index], expected: alone.elements, atol: tolerance, rtol: 0, name: place)
      }
    }
  }

  @Test(arguments: ["tied-f32", "biased-f32", "sharded-bf16"], [DType.float32, .bfloat16])
  func everyKind(base: String, type: DType) throws {
    let model = try ModelSource(path: Fixture.path("folder/" + base)).network(computeType: type)
    try add(Self.kinds.map(\.name), to: model, deviation: 0.2)
    let adapters: [String?] = [
      "plain", nil, "dora", "tokens", "wide", "bias", "plain", "head", "dora-some", "embedding",
      "rslora", nil, "bias", "tokens", "head",
    ]
    let sequences = sequences(
      [4, 1, 7, 3, 2, 70, 1, 5, 3, 6, 2, 9, 4, 5, 3],
      vocabulary: model.configuration.vocabularySize)
    try check(model, sequences, adapters, tolerance: type == .float32 ? 2e-5 : 0.1)
  }

  @Test func scoringEqualsTheBatchOfOneAdapter() throws {
    let model = try ModelSource(path: Fixture.path("folder/tied-f32")).network(
      computeType: .float32)
    try add(Self.kinds.map(\.name), to: model, deviation: 0.2)
    let adapters: [String?] = [
      "head", "dora", nil, "tokens", "plain", "embedding", "bias", "dora-embedding",
    ]
    let sequences = sequences([5, 9, 4, 6, 1, 7, 8, 6], vocabulary: 269)
    let mixed = try logProbabilities(model, sequences: sequences, adapters: adapters)
    #expect(mixed.map(\.count) == sequences.map { $0.count - 1 })
    for (index, adapter) in adapters.enumerated() {
      let own = try logProbabilities(
        model, sequences: sequences, adapters: adapters.map { _ in adapter })
      expectSame(mixed[index], own[index], adapter ?? "none")
      try model.activateAdapters(adapter.map { [$0] } ?? [])
      let alone = try logProbabilities(model, sequences: [sequences[index]])
      expectClose(
        actual: mixed[index], expected: alone[0], atol: 2e-5, rtol: 0,
        name: "\(adapter ?? "none") alone")
    }
  }

  @Test(arguments: [1, 3, 16]) func generationFollowsEachPromptsAdapter(batchSize: Int) throws {
    let model = try ModelSource(path: Fixture.path("folder/tied-f32")).network(
      computeType: .float32, asStored: true)
    try add(Self.kinds.map(\.name), to: model, deviation: 0.3)
    let adapters = Self.kinds.map { Optional($0.name) } + [nil]
    let prompts = sequences([3, 1, 7, 5, 2, 4, 6, 3, 5, 4, 6], vocabulary: 269)
    let generator = Generator(model: model, stopTokens: [], batchSize: batchSize)
    let mixed = try generator.generate(prompts, adapters: adapters, maxTokens: 8).map(\.tokens)
    let base = try generator.generate(
      prompts, adapters: prompts.map { _ in nil }, maxTokens: 8
    ).map(\.tokens)
    #expect(zip(mixed, base).filter { $0 != $1 }.count >= 5, "the adapters do something")
    #expect(mixed.last == base.last)
    for (index, adapter) in adapters.enumerated() {
      try model.activateAdapters(adapter.map { [$0] } ?? [])
      let alone = try generator.generate([prompts[index]], maxTokens: 8)[0].tokens
      #expect(mixed[index] == alone, "\(adapter ?? "none")")
    }
  }

  @Test func choicesThatCannotBe() throws {
    let model = try ModelSource(path: Fixture.path("folder/tied-f32")).network(
      computeType: .float32)
    try add(["plain"], to: model, deviation: 0.2)
    func message(_ adapters: [String?]) -> String {
      do {
        _ = try logProbabilities(model, sequences: [[1, 2], [3]], adapters: adapters)
        return "nothing was thrown"
      } catch {
        return String(describing: error)
      }
    }
    #expect(
      message(["plain"])
        == "1 adapters are chosen for 2 sequences\nhint: give one for each, nil for none")
    #expect(
      message(["plain", "x"]) == "the model has no adapter \"x\"\nhint: it has \"plain\"")
    var whole = LoRAConfiguration(rank: 1, targets: .names(["q_proj"]))
    whole.modulesToSave = ["model.norm"]
    try model.addAdapter("whole", whole, seed: 1)
    #expect(
      message(["plain", nil])
        == "the adapter \"whole\" has parameters of the model trained whole (modules_to_save or "
        + "biases): adapters cannot be chosen by the sequence beside it\nhint: take it out of the "
        + "model, or run the sequences one after the other")
  }

  /// A quantised base, all its sizes real.
  @Suite(.enabled(if: demoModelPath() != nil, "the demo model is not there: run make test"))
  struct OnSmolLM2 {
    private let tests = MixedBatchTests()

    @Test(arguments: [DType.float32, .bfloat16]) func quantisedBase(type: DType) throws {
      let path = try #require(demoModelPath())
      let model = try ModelSource(path: path).network(computeType: type, asStored: true)
      try tests.add(["wide", "dora-some", "bias", "tokens"], to: model, deviation: 0.01)
      let sequences = tests.sequences([13, 9, 6, 8], vocabulary: 49_152)
      try tests.check(
        model, sequences, ["dora-some", "wide", nil, "bias"],
        tolerance: type == .float32 ? 1e-3 : 0.5)
      try tests.check(
        model, sequences, ["tokens", "bias", "tokens", "wide"],
        tolerance: type == .float32 ? 1e-3 : 0.5)
    }

    @Test func eachConversationIsAnsweredByItsAdapter() throws {
      let model = try LanguageModel(
        path: #require(demoModelPath()), precision: .float32, asStored: true)
      for (name, configuration) in MixedBatchTests.kinds where ["wide", "dora-some"].contains(name)
      {
        model.adapters[name] = configuration
      }
      try tests.add(["wide", "dora-some"], to: model.network, deviation: 0.06)
      let conversations = ["Name a colour.", "What is 2 + 3?", "Name a colour."].map {
        [(role: "user", content: $0)]
      }
      let adapters: [String?] = ["wide", "dora-some", nil]
      let answers = try model.respond(
        toEach: conversations, adapters: adapters, options: .init(maxTokens: 12))
      for (index, adapter) in adapters.enumerated() {
        try model.activateAdapters(adapter.map { [$0] } ?? [])
        let alone = try model.respond(
          to: conversations[index], options: .init(maxTokens: 12))
        #expect(answers[index] == alone, "\(adapter ?? "none")")
      }
      #expect(answers[0] != answers[2])
    }
  }
}
