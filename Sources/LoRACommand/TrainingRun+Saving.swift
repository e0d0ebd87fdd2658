// What a run saves: checkpoints on its way, the adapter at its end, what is good where it fails.

import Foundation
import LoRA
import LoRAFormats
import LoRAJSON
import LoRATraining

extension TrainingRun {
  /// Whether --save-steps asks for a checkpoint of a step.
  func isSaved(_ step: Int) -> Bool { step % (configuration.saveSteps ?? .max) == 0 }

  /// Whether so much work lies behind the newest checkpoint that it should not be lost.
  var isCheckpointDue: Bool {
    let minutes = configuration.saveMinutes
    return minutes > 0 && lastCheckpoint.duration(to: .now).inSeconds >= minutes * 60
  }

  func saveCheckpoint(_ prepared: PreparedRun, _ record: RunFacts) throws {
    let trainer = prepared.trainer
    let step = trainer.completedSteps
    try folder.checkpoints.save(
      step, isTemporary: !isSaved(step), keeping: configuration.saveTotalLimit
    ) { path in
      try prepared.model.saveAdapter(
        PreparedRun.adapterName, to: URL(fileURLWithPath: path, isDirectory: true))
      try trainer.saveState(
        to: path + "/" + CheckpointFolder.stateName,
        settings: prepared.configuration.decidingSettings + record.deciding, note: history.note)
    }
    lastCheckpoint = .now
  }

  /// Keeps what is good of a run that cannot go on: the state before the step that failed.
  func ended(
    by error: TrainingError, _ prepared: PreparedRun, _ record: RunFacts
  ) throws -> any Error {
    let step = prepared.trainer.completedSteps
    var kept = folder.checkpoints.steps.last
    if step > 0, prepared.trainer.isFinite {
      try saveCheckpoint(prepared, record)
      kept = step
    }
    try AtomicFile.write(
      try prepared.report(folder, ending: "ended by an error: " + error.message, samples: []),
      to: folder.file("report.html"))
    guard let kept else { return error }
    return TrainingError(
      message: error.message,
      hint: error.hint + "\nthe adapter of step \(kept), all of it numbers, is in "
        + "\(folder.checkpoints.folder(kept)): --init-adapter goes on from it")
  }

  /// Keeps what can be kept of a run whose files cannot be written: a checkpoint of the last step, or
  /// else the adapter alone, which is a third of it, unless that of an earlier run is there.
  func ended(
    by error: OutputFileError, _ prepared: PreparedRun, _ record: RunFacts
  ) -> OutputFileError {
    let step = prepared.trainer.completedSteps
    var kept: [String] = []
    if folder.checkpoints.steps.last != step {
      do {
        try saveCheckpoint(prepared, record)
      } catch {
        if !folder.hasAdapter,
          (try? prepared.model.saveAdapter(PreparedRun.adapterName, to: folder.url)) != nil
        {
          kept.append("the adapter of step \(step) is in \(folder.path)")
        }
      }
    }
    if let last = folder.checkpoints.steps.last {
      kept.append("the same command with --resume goes on from step \(last)")
    }
    return OutputFileError(
      file: error.file, message: error.message,
      hint: ([error.hint] + kept).joined(separator: "\n"))
  }

  func save(_ prepared: PreparedRun, ending: String) throws {
    let model = prepared.model
    try model.saveAdapter(PreparedRun.adapterName, to: folder.url)
    try AtomicFile.write(try prepared.card(folder), to: folder.file("README.md"))
    let totals = try RunTotals(folder)
    Console.tell(
      """
      \(totals.steps.counted("step")) in \(Console.time(totals.seconds)), \
      \(Console.fixed(totals.tokensPerSecond, 0)) tokens/s, peak memory \
      \(Console.fixed(peakResidentMegabytes(), 0)) MB
      adapter: \(folder.path)
      """)
    // The adapter is safe by now: answers for people to look at may take some seconds.
    let count = configuration.reportAnswers
    if count > 0 {
      Console.tell("answering \(count.counted("row")) for the report (--report-answers 0: none) …")
    }
    let samples = Result { count > 0 ? try prepared.samples(count) : [] }
    try AtomicFile.write(
      try prepared.report(folder, ending: ending, samples: try samples.get()),
      to: folder.file("report.html"))
    Console.tell("report:  \(folder.file("report.html"))")
  }
}
