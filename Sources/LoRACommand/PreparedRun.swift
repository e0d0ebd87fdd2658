// Everything that a run needs, read and checked: what `train` starts from and `check` looks at.

import Foundation
import LoRA
import LoRAAdapters
import LoRAModels
import LoRATensor
import LoRAText
import LoRATraining

/// The data, the model with its adapter, and the trainer of a run.
struct PreparedRun {
  static let adapterName = "default"

  let configuration: RunConfiguration
  let encoder: TextEncoder
  let data: Dataset
  let evalData: EvaluationRows?
  let report: DataReport
  let model: LanguageModel
  let summary: AdapterSummary
  let trainer: Trainer
  let memory: MemoryChoice
  /// Whether the day of the configuration is in the rows, so that it is learnt.
  let learnsDate: Bool
  private let hash: FileHash

  /// Reads everything.
  ///
  /// - Parameter adapter: the folder of an adapter to go on with, instead of the configured one.
  /// - Throws: the first error; what is quick to read and likely to be wrong comes first.
  init(_ configuration: RunConfiguration, adapter: String? = nil) throws {
    try ModelOptions.setThreads(configuration.threads)
    let source = try ModelSource(path: configuration.model)
    hash = FileHash(try source.weightFiles())
    var configuration = configuration
    var undated = try source.encoder().with(templateVariables: configuration.templateVariables)
    if undated.chatTemplate?.asksForDate == true {
      configuration.templateDate = configuration.templateDate ?? .today
      undated = undated.dated(configuration.templateDate)
    }
    self.configuration = configuration
    encoder = undated
    let context = try source.configuration().contextLength
    let encoder = encoder
    let file = try StandardInput.path(configuration.data)
    let (longest, truncation) = (configuration.maxLength ?? context, configuration.truncation)
    if let share = configuration.evalSplit {
      (data, evalData) = try Dataset.split(
        file, encoder: encoder, maxLength: longest, truncation: truncation,
        evaluationShare: share)
    } else {
      let rows = try Dataset(
        contentsOf: file, encoder: encoder, maxLength: longest, truncation: truncation)
      data = rows
      evalData = try configuration.evalData.map {
        try EvaluationRows(
          contentsOf: StandardInput.path($0), encoder: encoder, maxLength: longest,
          truncation: truncation, training: rows)
      }
    }
    learnsDate = try encoder.writesDate(intoRowsOf: data.file)
    report = DataReport(data, evaluation: evalData, bos: encoder.tokenizer.bosTokenID)
    // Weights stay mapped until it is decided where they will be, which is before the adapter is
    // made: some adapters begin from the weights.
    model = try LanguageModel(
      source: source, encoder: encoder, precision: configuration.precision, asStored: true)
    let pass = data.largestPass(of: configuration.training)
    let budget = configuration.memoryBudget?.bytes
    let weights = try MemoryChoice(
      model.network, passTokens: pass.tokens, supervisedTokens: pass.supervised, budget: budget,
      weights: configuration.baseWeights.weights, rank: configuration.rank
    ).weights
    if weights == .resident {
      model.network.makeWeightsResident()
      source.releasePages()
    }
    if let adapter, configuration.initAdapter == nil {
      summary = try model.resumeAdapter(
        Self.adapterName, from: URL(fileURLWithPath: adapter), configuration.adapter
      ).summary
    } else if let path = adapter ?? configuration.initAdapter {
      summary = try model.loadAdapter(
        Self.adapterName, from: URL(fileURLWithPath: path), isTrainable: true
      ).summary
    } else {
      summary = try model.addAdapter(
        Self.adapterName, configuration.adapter, seed: configuration.training.seed)
    }
    memory = try MemoryChoice(
      model.network, passTokens: pass.tokens, supervisedTokens: pass.supervised, budget: budget,
      weights: weights)
    model.network.recomputation = memory.recomputation
    trainer = try Trainer(model, data: data, options: configuration.training)
  }

  /// What decides the result, with hashes.
  func facts() throws -> RunFacts {
    try RunFacts(
      base: hash, data: data.file,
      evalData: configuration.evalData == nil ? nil : evalData?.file,
      template: encoder.chatTemplate?.source,
      precision: model.network.computeType.name)
  }
}
