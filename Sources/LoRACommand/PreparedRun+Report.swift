// What is told of a run when it has ended: facts, and answers with and without the adapter.

import Foundation
import LoRA
import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRATensor
import LoRAText
import LoRATraining

extension PreparedRun {
  /// The facts of the report.
  func runFacts(_ folder: RunFolder) throws -> [(name: String, value: String)] {
    let totals = try RunTotals(folder)
    return try trainingFacts(totals) + evaluationFacts(totals)
  }

  private func trainingFacts(_ totals: RunTotals) throws -> [(name: String, value: String)] {
    let total = trainer.totalSteps
    let adapter = model.adapters[Self.adapterName] ?? configuration.adapter
    var facts = [
      ("base model", configuration.model.nameOfPath),
      (
        "rows",
        "\(Console.count(report.rows)) (\(formatText)), \(Console.count(report.tokens, "token")), "
          + "\(Console.count(report.supervisedTokens)) with loss "
          + "(\(Console.fixed(100 * report.supervisedShare, 0))%)"
      ),
      (
        "row length",
        "shortest \(report.lengths.shortest), median \(report.lengths.median), 90% "
          + "\(report.lengths.p90), 99% \(report.lengths.p99), longest \(report.lengths.longest) "
          + "tokens"
      ),
      (
        "rank, alpha",
        "\(adapter.rank), " + String(format: "%g", adapter.alpha ?? Float(adapter.rank))
      ),
      (
        "adapted layers",
        "\(summary.modulePaths.count), \(Console.count(summary.trainableParameterCount)) parameters"
      ), ("steps", totals.steps == total ? "\(total)" : "\(totals.steps) of \(total)"),
      ("batch size", "\(configuration.batchSize)"),
      ("learning rate", "\(configuration.learningRate), \(configuration.schedule.rawValue)"),
    ]
    if let loss = totals.loss { facts.append(("last training loss", Console.fixed(loss, 4))) }
    facts += [
      ("precision, seed", "\(model.network.computeType.name), \(configuration.seed)"),
      (
        "time",
        "\(Console.time(totals.seconds)), \(Console.fixed(totals.tokensPerSecond, 0)) tokens/s"
      ),
      (
        "start-up",
        totals.startupSeconds.map { Console.fixed($0, 2) }.joined(separator: ", ")
          + " s before the first step"
      ), ("peak memory", "\(Console.fixed(max(totals.peakMegabytes, 0), 0)) MB"),
    ]
    return facts
  }

  private func evaluationFacts(_ totals: RunTotals) -> [(name: String, value: String)] {
    guard let last = totals.lastEvaluation, let loss = last["eval_loss"]?.numberValue else {
      return []
    }
    let rows = last["eval_rows"]?.integerValue ?? 0
    let step = last["step"]?.integerValue ?? 0
    let place = step == totals.steps ? "" : ", after step \(step)"
    var facts = [
      ("evaluation loss", "\(Console.fixed(loss, 4)) on \(Console.count(rows, "row"))" + place)
    ]
    let names = [
      ("eval_exact_match", "exact match"), ("eval_json_valid", "valid JSON"),
      ("eval_regex_match", "pattern matched"),
    ]
    let answers = last["eval_answers"]?.integerValue ?? 0
    for (key, name) in names {
      guard let share = last[key]?.numberValue else { continue }
      facts.append(
        (name, "\(Console.fixed(100 * share, 1))% of \(Console.count(answers, "answer"))"))
    }
    return facts
  }

  /// The report as HTML.
  func report(_ folder: RunFolder, ending: String, samples: [RunReport.Sample]) throws -> String {
    let settings = try String(contentsOfFile: folder.file(RunFolder.settingsName), encoding: .utf8)
    return RunReport(
      title: folder.path.nameOfPath, ending: ending, facts: try runFacts(folder),
      metrics: try RunTotals(folder).metrics, samples: samples,
      warnings: warnings.map(\.description), settings: settings
    ).html
  }

  /// The model card.
  func card(_ folder: RunFolder) throws -> String {
    let totals = try RunTotals(folder)
    // Of an interrupted run, the last evaluation may be that of an earlier step.
    let last = totals.lastEvaluation
    return ModelCard(
      run: configuration, facts: try trainingFacts(totals),
      evaluation: last?["step"]?.integerValue == totals.steps ? last : nil,
      base: (try? ModelSource(path: configuration.model))?.origin ?? ModelOrigin(),
      format: data.format
    ).text
  }

  /// Answers to a few rows, of the evaluation where there is one.
  func samples(_ count: Int) throws -> [RunReport.Sample] {
    guard (evalData?.format ?? data.format) != .text else { return [] }
    let lines = evalData?.lines(first: count) ?? data.examples.prefix(count).map(\.line)
    let tasks = try GenerationTask.tasks(
      contentsOf: evalData?.file ?? data.file, encoder: encoder, lines: Set(lines))
    let limit = model.network.configuration.contextLength
    let fitting = tasks.filter { $0.prompt.count + Self.answerLength <= limit }
    try model.network.setAdapterEnabled(Self.adapterName, false)
    let before = try answers(fitting)
    try model.network.setAdapterEnabled(Self.adapterName, true)
    let after = try answers(fitting)
    return fitting.indices.map {
      RunReport.Sample(
        question: fitting[$0].question, expected: fitting[$0].reference, before: before[$0],
        after: after[$0])
    }
  }

  private static let answerLength = 96

  private func answers(_ tasks: [GenerationTask]) throws -> [String] {
    return try model.generator().generate(tasks.map(\.prompt), maxTokens: Self.answerLength).map {
      $0.text + ($0.finishReason == .length ? " …" : "")
    }
  }
}
