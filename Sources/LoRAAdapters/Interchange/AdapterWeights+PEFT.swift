// Reads a PEFT folder as numbers: pairs, DoRA's lengths, and what else is in the file.

import Foundation
import LoRAFormats
import LoRAJSON
import LoRANN
import LoRATensor

extension AdapterWeights {
  /// Reads the folder of an adapter that PEFT or this project wrote.
  ///
  /// What `loadAdapter` refuses beside a model is refused here by the same words, as far as it can be
  /// told without one.
  /// - Parameter layout: the modules of the base, where it is known: then none of them may be missing.
  init(peft directory: String, layout: LlamaLayout? = nil) throws {
    try AdapterFile.checkFolder(directory)
    var warnings: [String] = []
    let configuration = try PEFTConfiguration.read(
      AdapterFile.path(directory, AdapterFile.configurationName), warnings: &warnings)
    guard !configuration.initialization.movesBase else {
      throw AdapterError(
        file: AdapterFile.path(directory, AdapterFile.configurationName),
        message: "init_lora_weights is \"pissa\" or \"olora\": what the adapter changes depends on "
          + "the base's weights",
        hint: "lora merge, eval and generate read it beside its model; for a plain adapter save it "
          + "with PEFT's save_pretrained(…, path_initial_model_for_weight_conversion=…)")
    }
    let file = try SafeTensorsFile(contentsOf: AdapterFile.path(directory, AdapterFile.tensorsName))
    var contents = try ConfiguredTensors(configuration, file: file, layout: layout)
    do {
      try contents.check()
    } catch let error as AdapterError where error.file == nil {
      // A pattern that does not come to an end.
      throw error.about(AdapterFile.path(directory, AdapterFile.configurationName))
    }
    var pairs = PairCollector(source: file.path)
    for (name, path, part, isEmbedding) in contents.parts {
      try pairs.add(name, path, part, isEmbedding: isEmbedding) {
        try Tensor.factor(name, in: file)
      }
    }
    let patterns = try ConfigurationPatterns(configuration)
    let modules = try pairs.modules { path, rank in
      var pair = try patterns.pair(path)
      // A tied head's factors are the embedding's, its scale is its own.
      if path.isSelected(by: "lm_head"), try patterns.tiesTargets() { return pair.exactScale }
      // As ModuleMap.adoptRanks: keys that overlap are in PEFT's files in another order.
      if rank != pair.rank, try patterns.overlap(in: [path]),
        let own = try patterns.pair(path, ofRank: rank)
      {
        pair = own
      }
      guard rank == pair.rank else {
        throw AdapterError(
          file: file.path,
          message: "the pair of \(path) has rank \(rank), the configuration says \(pair.rank)",
          hint: "r and rank_pattern in \(AdapterFile.configurationName) must be the tensors' rank")
      }
      return pair.exactScale
    }
    self.init(modules: modules, form: .peft, source: file.path)
    extras = contents.extras
    self.warnings = warnings + contents.warnings
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
