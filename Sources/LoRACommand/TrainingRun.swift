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
  private var history = EvaluationHistory()

  init(
    _ configuration: RunConfiguration, overwrite: Bool, resume: Bool = false,
    recorded: [String: String] = [:]
  ) throws {
    self.configuration = configuration
    isResumed = resume
    earlier = recorded
    folder = try RunFolder(configuration.output, overwrite: overwrite || resume)
  }

  func run() throws {
    let checkpoint = isResumed ? try newestCheckpoint() : nil
    let prepared = try PreparedRun(configuration, adapter: checkpoint)
    let record = try prepared.facts()
    for warning in record.differences(from: earlier) { Console.warn(warning) }
    let trainer = prepared.trainer
    if let checkpoint {
      let note = try trainer.restoreState(
        from: checkpoint + "/" + CheckpointFolder.stateName,
        settings: configuration.decidingSettings + record.deciding)
      history = EvaluationHistory(note: note)
    }
    prepared.describe()
    for warning in prepared.warnings { Console.warn(warning) }
    guard trainer.completedSteps < trainer.totalSteps || !isResumed else {
      return Console.say("the run is complete: nothing to resume")
    }

    try folder.prepare(keepingRun: isResumed)
    try AtomicFile.write(
      configuration.resolvedYAML(recorded: record.all), to: folder.file("config.resolved.yaml"))
    try train(prepared, record)
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

  private func train(_ prepared: PreparedRun, _ record: RunFacts) throws {
    let (model, trainer, evalData) = (prepared.model, prepared.trainer, prepared.evalData)
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
      if let evalData,
        report.step == total || report.step % (configuration.evalSteps ?? .max) == 0
      {
        let evaluation = evaluate(model.network, evalData.examples)
        lastEvaluation = evaluation
        progress.clear()
        Console.say("step \(report.step)/\(total)  \(evaluation.line)")
        for (key, value) in evaluation.json { figures[key] = value }
        if history.add(evaluation.loss, step: report.step), configuration.evalSteps != nil {
          try model.saveAdapter(
            PreparedRun.adapterName, to: folder.url.appendingPathComponent("best"))
        }
      }
      try metrics.write(figures)
      let isInterrupted = interruption.isRequested && report.step < total
      if report.step % (configuration.saveSteps ?? .max) == 0 || isInterrupted {
        try saveCheckpoint(model, trainer, record)
      }
      return !interruption.isRequested && !isExhausted
    }
    progress.clear()
    try save(prepared, run, lastEvaluation, total: total)
    if configuration.evalSteps != nil {
      Console.say(
        "best evaluation: loss \(Console.fixed(history.bestLoss, 4)) at step \(history.bestStep), "
          + "in \(folder.file("best"))")
    }
    if run.steps < total, isExhausted, !interruption.isRequested {
      Console.say(
        "stopped early after step \(run.steps) of \(total): \(history.sinceBest) evaluations "
          + "brought nothing better")
    } else if run.steps < total {
      Console.error(
        "interrupted after step \(run.steps) of \(total); the adapter so far is in \(folder.path)\n"
          + "go on with the same command and --resume\n")
      throw ExitCode(130)
    }
  }

  /// Whether so many evaluations brought nothing better that the run should end.
  private var isExhausted: Bool {
    configuration.earlyStoppingPatience.map { history.sinceBest >= $0 } ?? false
  }

  private func saveCheckpoint(
    _ model: LanguageModel, _ trainer: Trainer, _ record: RunFacts
  ) throws {
    try folder.checkpoints.save(
      trainer.completedSteps, keeping: configuration.saveTotalLimit
    ) { path in
      try model.saveAdapter(
        PreparedRun.adapterName, to: URL(fileURLWithPath: path, isDirectory: true))
      try trainer.saveState(
        to: path + "/" + CheckpointFolder.stateName,
        settings: configuration.decidingSettings + record.deciding, note: history.note)
    }
  }

  private func save(
    _ prepared: PreparedRun, _ run: TrainingSummary, _ evaluation: Evaluation?, total: Int
  ) throws {
    let model = prepared.model
    try model.saveAdapter(PreparedRun.adapterName, to: folder.url)
    let facts = prepared.runFacts(run, evaluation, total: total)
    try AtomicFile.write(
      ModelCard(run: configuration, facts: facts).text, to: folder.file("README.md"))
    Console.say(
      """
      \(run.steps) steps in \(Console.time(run.seconds)), \
      \(Console.fixed(run.tokensPerSecond, 0)) tokens/s, peak memory \
      \(Console.fixed(peakResidentMegabytes(), 0)) MB
      adapter: \(folder.path)
      """)
    // The adapter is safe by now: answers for people to look at may take some seconds.
    try AtomicFile.write(
      try prepared.report(facts: facts, folder: folder), to: folder.file("report.html"))
    Console.say("report:  \(folder.file("report.html"))")
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
