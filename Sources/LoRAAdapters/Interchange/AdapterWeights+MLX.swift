// Reads and writes adapters as mlx-lm has them: a = Aᵀ, b = Bᵀ, and one scale instead of alpha.
//
// Source: mlx_lm/tuner of https://github.com/ml-explore/mlx-lm, version 0.32.

import LoRAFormats
import LoRAJSON
import LoRATensor

/// The names in mlx-lm's folder.
enum MLXAdapter {
  static let tensorsName = "adapters.safetensors"
  static let endings: [(ending: String, part: PairPart)] = [
    (".lora_a", .a), (".lora_b", .b), (".m", .magnitude),
  ]
}

extension AdapterWeights {
  /// Reads the folder of an adapter that mlx-lm or mlx-swift-lm wrote.
  init(mlx directory: String) throws {
    let settings = try MLXSettings(AdapterFile.path(directory, AdapterFile.configurationName))
    let file = try SafeTensorsFile(contentsOf: AdapterFile.path(directory, MLXAdapter.tensorsName))
    var pairs = PairCollector(source: file.path)
    for info in file.tensors {
      guard
        let (ending, part) = MLXAdapter.endings.first(where: { info.name.hasSuffix($0.ending) }),
        info.name.utf8.count > ending.utf8.count
      else {
        throw AdapterError(
          file: file.path,
          message: "the tensor \(info.name.shortened) is no factor of a low-rank pair",
          hint: "names end in .lora_a and .lora_b; other weights were trained as a whole")
      }
      let path = String(info.name.dropLast(ending.count))
      let isEmbedding = path.isSelected(by: "embed_tokens")
      try pairs.add(info.name, path, part, isEmbedding: isEmbedding) {
        let tensor = try Tensor.factor(info.name, in: file)
        guard !isEmbedding || part != .magnitude else {
          throw AdapterError(
            file: file.path,
            message: "the tensor \(info.name.shortened) is DoRA's magnitude of each token, where "
              + "PEFT has one of each dimension", hint: "fuse the adapter with mlx_lm.fuse")
        }
        guard part != .magnitude, tensor.shape.rank == 2 else { return tensor }
        let rank = part == .a ? tensor.shape[1] : tensor.shape[0]
        guard rank == settings.rank else {
          throw AdapterError(
            file: file.path,
            message: "the tensor \(info.name.shortened) has the shape \(tensor.shape), the "
              + "configuration's rank is \(settings.rank)",
            hint: tensor.shape.dimensions.contains(settings.rank)
              ? "the factor is transposed: mlx's a is (in, r) and its b (r, out)"
              : "rank in lora_parameters must be that of the tensors")
        }
        return tensor.transposedAsStored()
      }
    }
    let modules = try pairs.modules { path, _ in settings.scale }
    for module in modules where (module.magnitude != nil) != settings.isDoRA {
      throw AdapterError(
        file: file.path,
        message: "fine_tune_type is \"\(settings.isDoRA ? "dora" : "lora")\", but the pair of "
          + "\(module.path.shortened) has \(settings.isDoRA ? "no" : "a") DoRA magnitude",
        hint: "the files of two adapters are mixed")
    }
    self.init(modules: modules, form: .mlx, source: file.path)
    dropout = settings.dropout
    baseModel = settings.baseModel
    baseIdentity = file.metadata[AdapterFile.baseIdentityKey]
  }

  /// The adapter as mlx-lm's folder, ready to be written, and what was folded for it.
  ///
  /// - Parameters:
  ///   - layout: the modules of the base, where it is known.
  ///   - dtype: the type of the numbers; nil: the types that they have.
  func mlx(
    layout: LlamaLayout?, dtype: DType? = nil
  ) throws -> (writer: SafeTensorsWriter, settings: JSONObject, report: FoldingReport) {
    try refuse(
      beyond: [.magnitude], target: "MLX", because: "mlx-lm refuses all but lora_a, lora_b and m",
      hint: Self.mergeHint)
    let withLengths = modules.filter { $0.magnitude != nil }.count
    guard withLengths == 0 || withLengths == modules.count else {
      throw failure(
        "\(withLengths) of the \(modules.count) pairs are DoRA's, which MLX's files cannot hold",
        "merge the adapter into its model with lora merge instead")
    }
    if let module = modules.first(where: { $0.isEmbedding && $0.magnitude != nil }) {
      throw failure(
        "\(module.path) has DoRA's magnitude of each dimension, where MLX has one of each token",
        Self.mergeHint)
    }
    // mlx-lm's tied head is its embedding with the pair, PEFT's is the embedding without.
    try refuseTied(layout) { module in
      module.isEmbedding
        ? "mlx-lm would change the head with it as well"
        : "mlx-lm has no such layer and refuses the adapter"
    }
    var adapter = self
    var report = FoldingReport()
    let scale = adapter.mostCommon(\.scale) ?? 1
    try adapter.fold(&report) { _ in scale }
    adapter.pad(toRank: largestRank, &report)
    try adapter.round(to: dtype, &report)
    var writer = SafeTensorsWriter(metadata: metadata)
    for module in adapter.modules {
      writer.add(module.path + ".lora_a", StoredTensor(module.a.transposedAsStored()))
      writer.add(module.path + ".lora_b", StoredTensor(module.b.transposedAsStored()))
      if let magnitude = module.magnitude {
        writer.add(module.path + ".m", StoredTensor(magnitude))
      }
    }
    let (layers, keys) = adapter.mlxSelection(layerCount: layout?.layerCount)
    var settings: JSONObject = [
      "fine_tune_type": withLengths > 0 ? "dora" : "lora",
      "lora_parameters": [
        // mlx-lm's layers refuse a dropout of 1.
        "dropout": .number(dropout == 1 ? 0 : Double(dropout.description) ?? Double(dropout)),
        "keys": .array(keys.map(JSONValue.string)), "rank": .integer(adapter.largestRank),
        "scale": .number(scale),
      ],
      "num_layers": .integer(layers),
    ]
    if let baseModel { settings["model"] = .string(baseModel) }
    return (writer, settings, report)
  }

  /// num_layers and keys: names within a layer where the last layers of the stack are adapted alike,
  /// which is all that mlx-swift-lm knows, else whole paths.
  private func mlxSelection(layerCount: Int?) -> (layers: Int, keys: [String]) {
    var kinds: [Int: Set<String>] = [:]
    var outside: [String] = []
    for module in modules {
      if let (layer, rest) = module.path.placeInStack {
        kinds[layer, default: []].insert(rest)
      } else {
        outside.append(module.path)
      }
    }
    guard let last = kinds.keys.max(), let first = kinds.keys.min(), let names = kinds[last] else {
      return (0, outside)
    }
    let reachesTheEnd = layerCount.map { last == $0 - 1 } ?? (first == 0 && coversTheStack)
    let isUniform =
      (first...last).allSatisfy { kinds[$0] == names } && reachesTheEnd
    guard isUniform else { return (last + 1, modules.map(\.path)) }
    return (last - first + 1, names.sorted { $0.precedesInStack($1) } + outside)
  }

  /// Whether the configuration chose no layers, so that all of the model's are adapted.
  private var coversTheStack: Bool {
    guard let configuration, configuration.layers == nil, configuration.excluded == nil else {
      return false
    }
    guard case .names(let names) = configuration.targets else { return true }
    return !names.contains { $0.contains("layers.") }
  }
}

/// What mlx-lm's adapter_config.json says about the adapter; the rest of it is about the training.
private struct MLXSettings {
  let rank: Int
  let scale: Double
  let dropout: Float
  let isDoRA: Bool
  let baseModel: String?

  init(_ path: String) throws {
    let file = try MappedFile(path: path)
    func failure(_ message: String, _ hint: String) -> AdapterError {
      AdapterError(file: path, message: message, hint: hint)
    }
    let value: JSONValue
    do {
      value = try JSONValue(parsing: file.bytes)
    } catch let error as JSONError {
      throw failure("line \(error.line), column \(error.column): \(error.message)", error.hint)
    }
    guard let object = value.objectValue else {
      throw failure("this is \(value.kind), not an object", "mlx-lm writes one JSON object")
    }
    let kind = object["fine_tune_type"] ?? "lora"
    guard kind == "lora" || kind == "dora" else {
      throw failure(
        "fine_tune_type is \(kind.serialized(.python).shortened), expected \"lora\" or \"dora\"",
        "weights that were trained as a whole are no adapter")
    }
    isDoRA = kind == "dora"
    guard let parameters = object["lora_parameters"]?.objectValue else {
      throw failure(
        "the key lora_parameters is missing or no object",
        object["peft_type"] == nil
          ? "mlx-lm writes rank, scale and dropout there"
          : "this is PEFT's configuration beside MLX's tensors: keep them in folders of their own")
    }
    guard let rank = parameters["rank"]?.integerValue, rank >= 1 else {
      throw failure("lora_parameters has no rank of at least 1", "mlx-lm writes it")
    }
    guard let scale = parameters["scale"]?.numberValue, scale.isFinite else {
      throw failure(
        "lora_parameters has no scale",
        parameters["alpha"] == nil
          ? "mlx-lm writes it" : "it has alpha, which mlx-lm does not read: write scale")
    }
    let dropout = parameters["dropout"]?.numberValue ?? 0
    guard dropout >= 0, dropout < 1 else {
      throw failure("dropout is \(dropout), which is not in [0, 1)", "correct it")
    }
    self.rank = rank
    self.scale = scale
    self.dropout = Float(dropout)
    baseModel = object["model"]?.stringValue
  }
}
