// Reads and writes adapters as llama.cpp has them: one GGUF file with one alpha.
//
// Source: src/llama-adapter.cpp and convert_lora_to_gguf.py of https://github.com/ggml-org/llama.cpp.

import LoRAFormats
import LoRAJSON
import LoRATensor

/// The keys of a GGUF adapter.
private enum Key {
  static let architecture = "general.architecture"
  static let type = "general.type"
  static let name = "general.name"
  static let baseCount = "general.base_model.count"
  static let baseName = "general.base_model.0.name"
  static let adapterType = "adapter.type"
  static let alpha = "adapter.lora.alpha"
  static let invocation = "adapter.alora.invocation_tokens"
}

extension AdapterWeights {
  /// Reads a GGUF adapter.
  ///
  /// llama.cpp's scale is alpha/r with the rank of each pair, and 1 where alpha is 0 or missing.
  init(gguf path: String, layout: LlamaLayout?) throws {
    let file = try GGUFFile(contentsOf: path)
    try Self.checkMetadata(file)
    let alpha = try file.float(Key.alpha) ?? 0
    guard alpha.isFinite else {
      throw AdapterError(
        file: path, message: "\(Key.alpha) is \(alpha)", hint: "convert the adapter again")
    }
    var pairs = PairCollector(source: path)
    for info in file.tensors {
      let (base, part) = try Self.parse(info.name, in: path)
      guard let modulePath = LlamaLayout.path(ggufName: base) else {
        throw AdapterError(
          file: path,
          message: "the tensor \(info.name) adapts \(base), which a Llama does not have",
          hint: "only adapters of the llama family are read")
      }
      let isEmbedding = base == "token_embd"
      try pairs.add(info.name, modulePath, part, isEmbedding: isEmbedding) {
        var tensor = Tensor(try file.bytes(of: info.name))
        if tensor.dtype.isQuantized { tensor = tensor.converted(to: .float32) }
        guard tensor.dtype != .int32 else {
          throw AdapterError(
            file: path, message: "the tensor \(info.name) holds whole numbers",
            hint: "convert the adapter again")
        }
        tensor = try tensor.checkedFinite(info.name, path)
        guard tensor.shape.rank == 2 else { return tensor }
        return isEmbedding && part == .a ? tensor.transposedAsStored() : tensor
      }
    }
    let modules = try pairs.modules { _, rank in alpha == 0 ? 1 : alpha / Double(rank) }
    self.init(modules: modules, form: .gguf, source: path)
    baseModel = try file.string(Key.baseName)
    guard let layout else {
      hasGGUFRowOrder = true
      return
    }
    // Before the rows move: heads that do not divide them are another model's.
    try layout.check(self)
    for index in self.modules.indices {
      guard let heads = layout.site(path: self.modules[index].path)?.rotaryHeads else { continue }
      self.modules[index].b = self.modules[index].b.inHalfRotationOrder(heads: heads)
    }
  }

  private static func checkMetadata(_ file: GGUFFile) throws {
    func expect(_ key: String, _ expected: String, _ hint: String) throws {
      let value = try file.string(key)
      guard value != expected else { return }
      throw AdapterError(
        file: file.path,
        message: value.map { "\(key) is \"\($0.shortened)\", expected \"\(expected)\"" }
          ?? "metadata key \(key) is missing", hint: hint)
    }
    try expect(
      Key.type, "adapter", "this GGUF file is a model or something else, not an adapter")
    try expect(Key.adapterType, "lora", "only LoRA adapters are read")
    try expect(
      Key.architecture, LlamaLayout.architecture,
      "only adapters of the llama family (Llama, SmolLM, TinyLlama, Mistral) are read")
    guard file.type(of: Key.invocation) == nil else {
      throw AdapterError(
        file: file.path, message: "\(Key.invocation): activated LoRA (aLoRA) is not supported",
        hint: "use it with llama.cpp")
    }
  }

  /// `blk.0.attn_q.weight.lora_a` → (`blk.0.attn_q`, A).
  private static func parse(_ name: String, in path: String) throws -> (base: String, PairPart) {
    for (ending, part) in [(".weight.lora_a", PairPart.a), (".weight.lora_b", .b)]
    where name.hasSuffix(ending) {
      return (String(name.dropLast(ending.count)), part)
    }
    throw AdapterError(
      file: path,
      message: "the tensor \(name.shortened) is no factor of a low-rank pair",
      hint: name.hasSuffix("_norm.weight")
        ? "it is a trained norm, which llama.cpp reads past; nothing here can hold it"
        : "names end in .weight.lora_a and .weight.lora_b")
  }

  /// The adapter as a GGUF file for llama.cpp, ready to be written, and what was folded for it.
  ///
  /// - Parameter dtype: the type of the numbers; nil: the types that they have.
  func gguf(
    layout: LlamaLayout, dtype: DType? = nil
  ) throws -> (writer: GGUFWriter, report: FoldingReport) {
    try refuse(
      beyond: [], target: "GGUF", because: "llama.cpp reads A and B of pairs alone",
      hint: Self.mergeHint)
    try layout.check(self)
    try refuseTied(layout) { module in
      module.isEmbedding
        ? "llama.cpp would take it for the head's as well"
        : "llama.cpp has no tensor to put it on"
    }
    var adapter = self
    var report = FoldingReport()
    // One alpha for the file, as the float it is stored as; every pair's scale is alpha/r.
    let alpha = Float(adapter.mostCommon { Double(Float($0.scale * Double($0.rank))) } ?? 1)
    try adapter.fold(&report) { module in
      Float(module.scale * Double(module.rank)) == alpha
        ? module.scale : Double(alpha) / Double(module.rank)
    }
    try adapter.round(to: dtype, &report)
    var writer = GGUFWriter()
    writer.set(Key.architecture, .string(LlamaLayout.architecture))
    writer.set(Key.type, .string("adapter"))
    if let baseModel {
      writer.set(Key.baseCount, .uint32(1))
      writer.set(Key.baseName, .string(baseModel))
    }
    writer.set("general.quantization_version", .uint32(2))
    writer.set(Key.adapterType, .string("lora"))
    writer.set(Key.alpha, .float32(alpha))
    for module in adapter.modules {
      guard let site = layout.site(path: module.path), let name = LlamaLayout.ggufName(module.path)
      else { continue }
      let b = site.rotaryHeads.map { module.b.inNeighbourRotationOrder(heads: $0) } ?? module.b
      let a = module.isEmbedding ? module.a.transposedAsStored() : module.a
      writer.add("\(name).weight.lora_a", StoredTensor(a))
      writer.add("\(name).weight.lora_b", StoredTensor(b))
    }
    return (writer, report)
  }
}
