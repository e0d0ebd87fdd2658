// Reads a PEFT folder as numbers: pairs, DoRA's lengths, and what else is in the file.

import Foundation
import LoRAFormats
import LoRAJSON
import LoRANN
import LoRATensor

extension AdapterWeights {
  /// Reads the folder of an adapter that PEFT or this project wrote.
  init(peft directory: String) throws {
    try AdapterFile.checkFolder(directory)
    let configuration = try PEFTConfiguration.read(
      AdapterFile.path(directory, AdapterFile.configurationName))
    guard !configuration.initialization.movesBase else {
      throw AdapterError(
        file: AdapterFile.path(directory, AdapterFile.configurationName),
        message: "init_lora_weights is \"pissa\" or \"olora\": what the adapter changes depends on "
          + "the base's weights",
        hint: "lora merge, eval and generate read it beside its model; for a plain adapter save it "
          + "with PEFT's save_pretrained(…, path_initial_model_for_weight_conversion=…)")
    }
    let file = try SafeTensorsFile(contentsOf: AdapterFile.path(directory, AdapterFile.tensorsName))
    var pairs = PairCollector(source: file.path)
    var extras: [Extra] = []
    for info in file.tensors {
      switch try PEFTTensor(info.name, in: file.path) {
      case .part(let path, let part, let isEmbedding):
        try pairs.add(info.name, path, part, isEmbedding: isEmbedding) {
          try Tensor.factor(info.name, in: file)
        }
      case .extra(let role):
        extras.append(Extra(name: info.name, role: role, count: info.shape.count))
      }
    }
    let patterns = try ConfigurationPatterns(configuration)
    let modules = try pairs.modules { path, rank in
      let pair = try patterns.pair(path)
      guard rank == pair.rank else {
        throw AdapterError(
          file: file.path,
          message: "the pair of \(path) has rank \(rank), the configuration says \(pair.rank)",
          hint: "r and rank_pattern in \(AdapterFile.configurationName) must be the tensors' rank")
      }
      return pair.exactScale
    }
    self.init(modules: modules, form: .peft, source: file.path)
    self.extras = extras
    self.configuration = configuration
    dropout = configuration.dropout
    baseModel = configuration.baseModel
    baseIdentity = file.metadata[AdapterFile.baseIdentityKey]
  }
}

extension LoRALinearConfiguration {
  /// alpha/r or alpha/√r in double precision.
  fileprivate var exactScale: Double {
    guard let alpha else { return 1 }
    return Double(alpha) / (isRankStabilized ? Double(rank).squareRoot() : Double(rank))
  }
}

/// What a tensor of PEFT's file is, by its name.
enum PEFTTensor {
  case part(path: String, PairPart, isEmbedding: Bool)
  case extra(role: String)

  static let baseCopy = "a copy of a base weight"
  private static let extras: [(ending: String, role: String)] = [
    (".token_adapter.trainable_tokens_delta", "trained tokens"),
    (".base_layer.weight", baseCopy),
    (".bias", "a trained bias"),
    (".weight", "a fully trained module (modules_to_save)"),
  ]

  /// - Throws: `AdapterError` for a name that PEFT does not write.
  init(_ name: String, in file: String) throws {
    if let (path, factor) = AdapterFile.parse(name) {
      let isEmbedding = name.contains(".lora_embedding_")
      switch factor {
      case .a: self = .part(path: path, .a, isEmbedding: isEmbedding)
      case .b: self = .part(path: path, .b, isEmbedding: isEmbedding)
      case .magnitude: self = .part(path: path, .magnitude, isEmbedding: false)
      case .bias: self = .extra(role: "a bias of B (lora_bias)")
      }
    } else if name.hasPrefix(AdapterFile.prefix), !name.contains(".lora_"),
      let (_, role) = Self.extras.first(where: { name.hasSuffix($0.ending) })
    {
      self = .extra(role: role)
    } else {
      throw AdapterError(
        file: file, message: "the tensor \(name.shortened) \(AdapterFile.refusal(of: name))",
        hint: "save the adapter with PEFT's save_pretrained")
    }
  }
}
