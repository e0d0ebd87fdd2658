// Pairs of the embedding or the head of a base that has one tensor for both: PEFT adapts one side of it,
// other programs both or none.

extension AdapterWeights {
  /// The pair of the embedding or of the head that changes one side of a tensor that is both; nil
  /// also where the base is known to have two. An unknown base counts as tied.
  private func tiedModule(_ layout: LlamaLayout?) -> Module? {
    guard layout?.tiesEmbeddings ?? true else { return nil }
    return modules.first { $0.isEmbedding || $0.path == "lm_head" }
  }

  private static func place(_ module: Module, _ layout: LlamaLayout?) -> String {
    "the adapter has a pair for \(module.path), "
      + (layout == nil
        ? "and where the base's head is its embedding, " : "but the base's head is its embedding: ")
  }

  /// - Parameter reason: what the other program would do with the pair.
  /// - Throws: `AdapterError` where there is such a pair.
  func refuseTied(_ layout: LlamaLayout?, because reason: (Module) -> String) throws {
    guard let module = tiedModule(layout) else { return }
    throw failure(
      Self.place(module, layout) + reason(module),
      layout == nil ? "give --model to show that the base's head is its own" : Self.mergeHint)
  }

  /// What a portable folder cannot say to all of its readers, for people.
  func tiedWarnings(_ layout: LlamaLayout?) -> [String] {
    guard let module = tiedModule(layout) else { return [] }
    return [
      Self.place(module, layout)
        + "llama.cpp cannot run what its converter makes of it; PEFT and vLLM keep the two apart"
    ]
  }
}
