// A training run of the command, from the first check to the saved adapter.

import ArgumentParser
import Foundation
import LoRA
import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRATensor
import LoRAText
import LoRATraining

/// Checks everything that can be wrong, trains, and saves.
final class TrainingRun {
  private let configuration: RunConfiguration
  private let folder: RunFolder
  private let isResumed: Bool
  /// What the run that the configuration comes from recorded.
  private let earlier: [String: String]
  private static let adapterName = "default"

  init(
    _ configuration: RunConfiguration, overwrite: Bool, resume: Bool = false,
    recorded: [String: String] = [:]
  ) throws {
    var configuration = configuration
    configuration.alpha = configuration.alpha ?? Double(2 * configuration.rank)
    self.configuration = configuration
    isResumed = resume
    earlier = recorded
    folder = try RunFolder(configuration.output, overwrite: overwrite || resume)
  }

  func run() throws {
    try ModelOptions.setThreads(configuration.threads)
    // What is quick to read and likely to be wrong comes first: the rows, then the weights.
    let source = try ModelSource(path: configuration.model)
    let hash = FileHash(try source.weightFiles())
    let encoder = try source.encoder()
    let context = try source.configuration().contextLength
    let data = try dataset(configuration.data, encoder: encoder, context: context)
    describe(data)
    let evalData = try configuration.evalData.map {
      try dataset($0, encoder: encoder, context: context)
    }
    if let evalData { describe(evalData) }

    let model = try LanguageModel(
      source: source, encoder: encoder, precision: configuration.precision)
    let checkpoint = isResumed ? try newestCheckpoint() : nil
    let summary = try addAdapter(to: model, checkpoint: checkpoint)
    let trainer = try Trainer(model, data: data, options: configuration.training)
    let record = try RunFacts(
      base: hash, data: configuration.data, template: encoder.chatTemplate?.source,
      precision: model.network.computeType.name)
    for warning in record.differences(from: earlier) { Console.warn(warning) }
    if let checkpoint {
      try trainer.restoreState(
        from: checkpoint + "/" + CheckpointFolder.stateName,
        settings: configuration.decidingSettings + record.deciding)
    }
    describe(model, summary, trainer)
    guard trainer.completedSteps < trainer.totalSteps || !isResumed else {
      return Console.say("the run is complete: nothing to resume")
    }

    try folder.prepare(keepingRun: isResumed)
    try AtomicFile.write(
      configuration.resolvedYAML(recorded: record.all), to: folder.file("config.resolved.yaml"))
    try train(model, trainer, evalData, record)
  }

  private func newestCheckpoint() throws -> String {
    guard let step = folder.checkpoints.steps.last else {
      throw OutputFileError(
        file: folder.path, message: "there is no checkpoint to resume from",
        hint: "train without --resume; --save-steps or an interrupt make checkpoints")
    }
    Console.say("resuming from step \(step)")
    return folder.checkpoints.folder(step)
  }

  private func dataset(_ path: String, encoder: TextEncoder, context: Int) throws -> Dataset {
    if let maximum = configuration.maxLength, maximum > context {
      Console.warn("--max-length \(maximum) is more than the model's context of \(context) tokens")
    }
    return try Dataset(
      contentsOf: path, encoder: encoder, maxLength: configuration.maxLength ?? context,
      truncation: configuration.truncation)
  }

  private func addAdapter(
    to model: LanguageModel, checkpoint: String?
  ) throws -> AdapterSummary {
    let summary: AdapterSummary
    if let path = checkpoint ?? configuration.initAdapter {
      summary = try model.loadAdapter(
        Self.adapterName, from: URL(fileURLWithPath: path), isTrainable: true
      ).summary
    } else {
      summary = try model.addAdapter(
        Self.adapterName, configuration.adapter, seed: configuration.training.seed)
    }
    for warning in summary.warnings { Console.warn(warning) }
    return summary
  }

  private func train(
    _ model: LanguageModel, _ trainer: Trainer, _ evalData: Dataset?, _ record: RunFacts
  ) throws {
    let metrics = try MetricsFile(
      folder.file("metrics.jsonl"), keepingSteps: trainer.completedSteps)
    let interruption = Interruption()
    let total = trainer.totalSteps
    let logSteps = configuration.logSteps ?? max(1, total / 20)
    var progress = ProgressLine(total: total, quietSeconds: .infinity)
    var lastEvaluation: Evaluation?

    let run = try trainer.fit { report in
      var figures = report.json
      let text = report.line
      if report.step % logSteps == 0 || report.step == total {
        progress.clear()
        Console.say("step \(report.step)/\(total)  \(text)")
      }
      progress.show(report.step, text)
      let isLast = report.step == total || interruption.isRequested
      if let evalData, isLast || report.step % (configuration.evalSteps ?? .max) == 0 {
        let evaluation = evaluate(model.network, evalData.examples)
        lastEvaluation = evaluation
        progress.clear()
        Console.say("step \(report.step)/\(total)  \(evaluation.line)")
        for (key, value) in evaluation.json { figures[key] = value }
      }
      try metrics.write(figures)
      let isInterrupted = interruption.isRequested && report.step < total
      if report.step % (configuration.saveSteps ?? .max) == 0 || isInterrupted {
        try saveCheckpoint(model, trainer, record)
      }
      return !interruption.isRequested
    }
    progress.clear()
    try save(model, run, lastEvaluation, total: total)
    if run.steps < total {
      Console.error(
        "interrupted after step \(run.steps) of \(total); the adapter so far is in \(folder.path)\n"
          + "go on with the same command and --resume\n")
      throw ExitCode(130)
    }
  }

  private func saveCheckpoint(
    _ model: LanguageModel, _ trainer: Trainer, _ record: RunFacts
  ) throws {
    try folder.checkpoints.save(
      trainer.completedSteps, keeping: configuration.saveTotalLimit
    ) { path in
      try model.saveAdapter(Self.adapterName, to: URL(fileURLWithPath: path, isDirectory: true))
      try trainer.saveState(
        to: path + "/" + CheckpointFolder.stateName,
        settings: configuration.decidingSettings + record.deciding)
    }
  }

  private func save(
    _ model: LanguageModel, _ run: TrainingSummary, _ evaluation: Evaluation?, total: Int
  ) throws {
    try model.saveAdapter(Self.adapterName, to: folder.url)
    let adapter = model.adapters[Self.adapterName] ?? configuration.adapter
    var facts = [
      ("base model", "`\((configuration.model as NSString).lastPathComponent)`"),
      ("rank, alpha", "\(adapter.rank), \(adapter.alpha ?? Float(adapter.rank))"),
      ("steps", run.steps == total ? "\(total)" : "\(run.steps) of \(total) (interrupted)"),
      ("batch size", "\(configuration.batchSize)"),
      ("learning rate", "\(configuration.learningRate), \(configuration.schedule.rawValue)"),
      ("last training loss", Console.fixed(run.loss, 4)),
      ("precision", model.network.computeType.name), ("seed", "\(configuration.seed)"),
    ]
    if let evaluation {
      facts.append(
        ("evaluation loss", "\(Console.fixed(evaluation.loss, 4)) on \(evaluation.rows) rows"))
    }
    try AtomicFile.write(
      ModelCard(run: configuration, facts: facts).text, to: folder.file("README.md"))
    Console.say(
      """
      \(run.steps) steps in \(Console.time(run.seconds)), \
      \(Console.fixed(run.tokensPerSecond, 0)) tokens/s, peak memory \
      \(Console.fixed(peakResidentMegabytes(), 0)) MB
      adapter: \(folder.path)
      """)
  }
}

extension TrainingRun {
  private func describe(_ data: Dataset) {
    let lengths = data.examples.map(\.tokens.count)
    let tokens = lengths.reduce(0, +)
    let supervised = data.examples.reduce(0) { $0 + $1.supervisedCount }
    Console.say(
      "\(data.file): \(Console.count(lengths.count)) rows (\(data.format.rawValue)), "
        + "\(Console.count(tokens)) tokens, \(Console.count(supervised)) with loss "
        + "(\(Console.fixed(100 * Double(supervised) / Double(max(tokens, 1)), 0))%), "
        + "longest \(Console.count(lengths.max() ?? 0))")
    if !data.droppedLines.isEmpty {
      Console.warn("\(data.file): \(data.droppedLines.count) rows were dropped: too long")
    }
    if !data.truncatedLines.isEmpty {
      Console.warn("\(data.file): \(data.truncatedLines.count) rows were truncated")
    }
    let endless = data.examples.filter { !$0.endsWithStop }
    if let first = endless.first {
      Console.warn(
        "\(data.file):\(first.line): \(endless.count) rows do not end in a supervised stop token: "
          + "the model will not learn from them where to stop")
    }
  }

  private func describe(_ model: LanguageModel, _ summary: AdapterSummary, _ trainer: Trainer) {
    let network = model.network
    let adapter = model.adapters[Self.adapterName] ?? configuration.adapter
    Console.say(
      """
      \(configuration.model): \(Console.short(network.parameterCount)) parameters, \
      \(network.configuration.layerCount) layers, \(network.computeType.name) on \
      \(Engine.threadCount) threads (oneDNN \(Engine.oneDNNVersion), \(Engine.instructionSet))
      adapter: rank \(adapter.rank), scale \(adapter.scale), \(summary.modulePaths.count) layers, \
      \(Console.short(summary.trainableParameterCount)) trainable parameters
      \(Console.count(trainer.totalSteps)) steps of \(configuration.batchSize) rows
      """)
  }
}

extension StepReport {
  /// The figures for people.
  fileprivate var line: String {
    "loss \(Console.fixed(loss, 4))  lr \(String(format: "%.2e", learningRate))  "
      + "norm \(Console.fixed(gradNorm, 3))  \(Console.fixed(tokensPerSecond, 0)) tok/s"
  }
}

extension Evaluation {
  fileprivate var line: String {
    "eval loss \(Console.fixed(loss, 4))  perplexity \(Console.fixed(perplexity, 3))"
  }

  fileprivate var json: JSONObject {
    [
      "eval_loss": .number(loss), "eval_perplexity": .number(perplexity),
      "eval_rows": .integer(rows), "eval_supervised_tokens": .integer(supervisedTokens),
    ]
  }
}
