// A training run of the command, from the first check to the saved adapter.

import ArgumentParser
import Foundation
import LoRA
import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRATraining

/// Checks everything that can be wrong, trains, and saves.
final class TrainingRun {
  let configuration: RunConfiguration
  let folder: RunFolder
  private let isResumed: Bool
  /// What the run that the configuration comes from recorded.
  private let earlier: [String: String]
  var history = EvaluationHistory()
  private var course = LossCourse()
  /// When the newest checkpoint was written, or the first step began.
  var lastCheckpoint = ContinuousClock.now

  init(
    _ configuration: RunConfiguration, overwrite: Bool, resume: Bool = false,
    recorded: [String: String] = [:]
  ) throws {
    var configuration = configuration
    isResumed = resume
    earlier = recorded
    folder = try RunFolder(configuration.output, resume ? .resume : overwrite ? .overwrite : .new)
    // The day of its first start, and not of this one, is what its rows were learnt with.
    if resume, configuration.templateDate == nil {
      configuration.templateDate = Self.recorded(in: folder).run.templateDate
    }
    self.configuration = configuration
  }

  func run() throws {
    let checkpoint = isResumed ? try newestCheckpoint() : nil
    let prepared = try PreparedRun(configuration, adapter: checkpoint)
    try prepared.checkAnswersCanBeScored()
    let record = try prepared.facts()
    // A resumed run that is made of something else is refused below.
    let differences =
      isResumed
      ? record.environmentDifferences(from: Self.recorded(in: folder).facts)
      : record.differences(from: earlier)
    for warning in differences { Console.warn(warning) }
    let trainer = prepared.trainer
    if let checkpoint {
      let note = try trainer.restoreState(
        from: checkpoint + "/" + CheckpointFolder.stateName,
        settings: prepared.configuration.decidingSettings + record.deciding)
      history = EvaluationHistory(note: note)
    }
    guard !isResumed || !isOver(trainer) || !folder.isFinished else {
      return Console.tell(
        "the run is complete: nothing to resume; --init-adapter \(folder.path) with a new --output "
          + "trains its adapter further")
    }
    prepared.describe(samples: isResumed ? 0 : 2, limit: 800)
    for warning in prepared.warnings { Console.warn(warning.description) }

    try folder.prepare(keepingRun: isResumed)
    // A process killed between a checkpoint's rename and this left one too many.
    if isResumed { folder.checkpoints.prune(keeping: configuration.saveTotalLimit) }
    try checkSpace(prepared)
    try AtomicFile.write(
      prepared.configuration.resolvedYAML(recorded: record.all),
      to: folder.file(RunFolder.settingsName))
    try train(prepared, record)
  }

  private func checkSpace(_ prepared: PreparedRun) throws {
    let (total, every) = (prepared.trainer.totalSteps, configuration.saveSteps ?? .max)
    let checkpoints = total / every
    try folder.checkSpace(
      adapterBytes: prepared.summary.trainableParameterCount * 4,
      checkpoints: min(checkpoints, configuration.saveTotalLimit ?? checkpoints),
      keepsBest: configuration.evalSteps != nil)
  }

  /// What the run that is resumed was made of, and what it recorded.
  private static func recorded(
    in folder: RunFolder
  ) -> (run: RunConfiguration, facts: [String: String]) {
    let path = folder.file(RunFolder.settingsName)
    var run = RunConfiguration()
    let facts = try? run.apply(yaml: String(contentsOfFile: path, encoding: .utf8), file: path)
    return (run, facts ?? [:])
  }

  /// The newest checkpoint; nil where a run was ended before its first, which is then begun again.
  private func newestCheckpoint() throws -> String? {
    if let step = folder.checkpoints.steps.last {
      Console.tell("resuming from step \(step)")
      return folder.checkpoints.folder(step)
    }
    guard !folder.hasAdapter else {
      throw OutputFileError(
        file: folder.path, message: "the folder holds an adapter, and no checkpoint to resume from",
        hint: "--init-adapter begins a new run from the adapter")
    }
    Console.tell("there is no checkpoint in \(folder.path) yet: beginning with step 1")
    return nil
  }

  private func train(_ prepared: PreparedRun, _ record: RunFacts) throws {
    let trainer = prepared.trainer
    let missed = try missesEvaluation(prepared) ? evaluate(prepared) : [:]
    let log = try RunLog(folder, keepingSteps: trainer.completedSteps, completing: missed)
    let interruption = Interruption()
    lastCheckpoint = .now
    let total = trainer.totalSteps
    let logSteps = configuration.logSteps ?? max(1, total / 20)
    var progress = ProgressLine(
      total: total, from: trainer.completedSteps, quietSeconds: .infinity)
    var startup = secondsSinceProcessStart()
    if let startup, !isOver(trainer) {
      Console.tell("the first step begins \(Console.fixed(startup, 2)) s after the start")
    }
    if isEvaluatedBefore(prepared) {
      progress.note(0, "evaluating …")
      var figures: JSONObject = ["step": .integer(0)]
      for (key, value) in try evaluate(prepared, progress) { figures[key] = value }
      try log.write(figures)
    }
    progress.note(trainer.completedSteps, "first step …")

    func afterStep(_ report: StepReport) throws -> Bool {
      var figures = report.json
      if let seconds = startup {
        figures["startup_seconds"] = .number((seconds * 100).rounded() / 100)
        startup = nil
      }
      if report.step % logSteps == 0 || report.step == total {
        progress.clear()
        Console.tell("step \(report.step)/\(total)  \(report.line)")
      }
      progress.show(
        report.step, "loss \(Console.fixed(report.loss, 4))",
        "\(Console.fixed(report.tokensPerSecond, 0)) tok/s", "\(Int(residentMegabytes())) MB",
        "lr \(String(format: "%.2e", report.learningRate))")
      if let warning = course.add(report) {
        progress.clear()
        Console.warn(warning)
      }
      if isEvaluated(after: report.step, of: prepared) {
        progress.note(report.step, "evaluating …")
        do {
          for (key, value) in try evaluate(prepared, progress) { figures[key] = value }
        } catch {
          progress.clear()
          // The file of rows was changed meanwhile: what was learned is not lost with it, and the run
          // that goes on evaluates first.
          try log.write(figures)
          try saveCheckpoint(prepared, record)
          throw error
        }
      }
      try log.write(figures)
      let isToBeKept = interruption.isRequested || isCheckpointDue
      if isSaved(report.step) || (isToBeKept && report.step < total) {
        try saveCheckpoint(prepared, record)
      }
      return !interruption.isRequested && !isExhausted
    }

    if !isOver(trainer) {
      do {
        try trainer.fit(onStep: afterStep)
      } catch let error as TrainingError {
        progress.clear()
        throw try ended(by: error, prepared, record)
      } catch let error as OutputFileError {
        progress.clear()
        throw ended(by: error, prepared, record)
      }
    }
    progress.clear()
    do {
      try save(prepared, ending: ending(interruption, trainer))
    } catch let error as OutputFileError {
      throw ended(by: error, prepared, record)
    }
    // It was for a run that does not get here.
    if isOver(trainer) { folder.checkpoints.removeTemporary() }
    sayBest()
    if interruption.isRequested, trainer.completedSteps < total {
      Console.complain(
        "interrupted after step \(trainer.completedSteps) of \(total); the adapter so far is in "
          + "\(folder.path)\ngo on with the same command and --resume\n")
      throw ExitCode(interruption.exitCode)
    }
    if trainer.completedSteps < total { Console.tell(ending(interruption, trainer)) }
  }

  /// How the run ended.
  private func ending(_ interruption: Interruption, _ trainer: Trainer) -> String {
    let (steps, total) = (trainer.completedSteps, trainer.totalSteps)
    if steps == total { return "finished: \(total.counted("step"))" }
    guard interruption.isRequested else {
      return
        "stopped early after step \(steps) of \(total): \(history.sinceBest.counted("evaluation")) "
        + "brought nothing better"
    }
    return "interrupted by \(interruption.name) after step \(steps) of \(total); the same command "
      + "with --resume goes on"
  }

  /// Whether so many evaluations brought nothing better that the run should end.
  private var isExhausted: Bool {
    configuration.earlyStoppingPatience.map { history.sinceBest >= $0 } ?? false
  }

  private func isOver(_ trainer: Trainer) -> Bool {
    trainer.completedSteps >= trainer.totalSteps || isExhausted
  }
}

extension StepReport {
  /// The figures for people.
  fileprivate var line: String {
    "loss \(Console.fixed(loss, 4))  lr \(String(format: "%.2e", learningRate))  "
      + "norm \(Console.fixed(gradNorm, 3))  \(Console.fixed(tokensPerSecond, 0)) tok/s"
  }
}
