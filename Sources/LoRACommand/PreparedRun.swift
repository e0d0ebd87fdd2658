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
  let evalData: Dataset?
  let report: DataReport
  let model: LanguageModel
  let summary: AdapterSummary
  let trainer: Trainer
  private let hash: FileHash

  /// Reads everything.
  ///
  /// - Parameter adapter: the folder of an adapter to go on with, instead of the configured one.
  /// - Throws: the first error; what is quick to read and likely to be wrong comes first.
  init(_ configuration: RunConfiguration, adapter: String? = nil) throws {
    self.configuration = configuration
    try ModelOptions.setThreads(configuration.threads)
    let source = try ModelSource(path: configuration.model)
    hash = FileHash(try source.weightFiles())
    encoder = try source.encoder()
    let context = try source.configuration().contextLength
    let encoder = encoder
    func dataset(_ path: String) throws -> Dataset {
      try Dataset(
        contentsOf: path, encoder: encoder,
        maxLength: configuration.maxLength ?? context, truncation: configuration.truncation)
    }
    let rows = try dataset(configuration.data)
    if let share = configuration.evalSplit {
      let parts = try rows.split(evaluationShare: share)
      (data, evalData) = (parts.training, parts.evaluation)
    } else {
      (data, evalData) = (rows, try configuration.evalData.map(dataset))
    }
    report = DataReport(data, evaluation: evalData)
    model = try LanguageModel(source: source, encoder: encoder, precision: configuration.precision)
    if let path = adapter ?? configuration.initAdapter {
      summary = try model.loadAdapter(
        Self.adapterName, from: URL(fileURLWithPath: path), isTrainable: true
      ).summary
    } else {
      summary = try model.addAdapter(
        Self.adapterName, configuration.adapter, seed: configuration.training.seed)
    }
    trainer = try Trainer(model, data: data, options: configuration.training)
  }

  /// What decides the result, with hashes.
  func facts() throws -> RunFacts {
    try RunFacts(
      base: hash, data: configuration.data, template: encoder.chatTemplate?.source,
      precision: model.network.computeType.name)
  }

  /// What may be wrong, of the rows, the adapter and the settings.
  var warnings: [String] {
    report.warnings + summary.warnings
      + configuration.advice(
        steps: trainer.totalSteps, supervisedTokens: report.supervisedTokens,
        trainableParameters: summary.trainableParameterCount,
        context: model.network.configuration.contextLength)
  }

  /// The few lines that a run begins with.
  func describe() {
    let network = model.network
    let adapter = model.adapters[Self.adapterName] ?? configuration.adapter
    let share = Console.fixed(100 * report.supervisedShare, 0)
    Console.say(
      """
      \(data.file): \(Console.count(report.rows)) rows (\(data.format.rawValue)), \
      \(Console.count(report.tokens)) tokens, \(Console.count(report.supervisedTokens)) with loss \
      (\(share)%), longest \(Console.count(report.lengths.longest))
      \(configuration.model): \(Console.short(network.parameterCount)) parameters, \
      \(network.configuration.layerCount) layers, \(network.computeType.name) on \
      \(Engine.threadCount) threads (oneDNN \(Engine.oneDNNVersion), \(Engine.instructionSet))
      adapter: rank \(adapter.rank), scale \(adapter.scale), \(summary.modulePaths.count) layers, \
      \(Console.short(summary.trainableParameterCount)) trainable parameters
      \(Console.count(trainer.totalSteps)) steps of \(configuration.batchSize) rows
      """)
    if let evalData {
      Console.say("evaluation: \(Console.count(evalData.examples.count)) rows of \(evalData.file)")
    }
  }
}

extension RunConfiguration {
  /// What experience says against the settings, with what to change.
  ///
  /// Sources: Thinking Machines, "LoRA Without Regret" (2025); Biderman et al. 2024 (2405.09673);
  /// Kalajdzievski 2023 (2312.03732).
  func advice(
    steps: Int, supervisedTokens: Int, trainableParameters: Int, context: Int
  ) -> [String] {
    var advice: [String] = []
    func warn(_ condition: Bool, _ text: String) { if condition { advice.append(text) } }
    let scale = adapter.scale
    warn(
      learningRate > 2e-3,
      "the learning rate \(learningRate) is high for LoRA: runs often diverge above 2e-3; try 1e-3")
    warn(
      learningRate < 5e-5,
      "the learning rate \(learningRate) is one for full fine-tuning; LoRA needs about ten times "
        + "as much: try 2e-4")
    warn(
      initAdapter == nil && scale > 8,
      "alpha/rank is \(scale): a scale this large makes steps large; lower --alpha")
    warn(
      initAdapter == nil && scale < 0.25,
      "alpha/rank is \(scale): a scale this small slows learning; raise --alpha")
    warn(
      batchSize > 64,
      "a batch of \(batchSize) rows: LoRA learns less from large batches; 8 to 32 are usual")
    warn(
      steps < 20,
      "only \(steps) step\(steps == 1 ? "" : "s"): raise --epochs or lower --batch-size; some tens are needed"
    )
    warn(
      warmupRatio > 0.2, "warm-up takes \(Int(warmupRatio * 100))% of the run; 3% to 10% are usual")
    warn(
      supervisedTokens > 0 && trainableParameters / supervisedTokens > 2000,
      "the adapter has \(trainableParameters / max(supervisedTokens, 1)) parameters for each token "
        + "with loss: it can learn the rows by heart; lower --rank or add rows")
    warn(
      maxLength.map { $0 > context } ?? false,
      "--max-length \(maxLength ?? 0) is more than the model's context of \(context) tokens")
    warn(
      epochs > 3 && evalData == nil,
      "\(epochs) epochs without --eval-data: nothing will show when the model starts to learn rows "
        + "by heart")
    return advice
  }
}
