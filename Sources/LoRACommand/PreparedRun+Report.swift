// What is told of a run when it has ended: facts, and answers with and without the adapter.

import Foundation
import LoRA
import LoRAAdapters
import LoRAJSON
import LoRAModels
import LoRATensor
import LoRAText
import LoRATraining

extension PreparedRun {
  /// The facts of the model card and of the report.
  func runFacts(
    _ run: TrainingSummary, _ evaluation: Evaluation?, total: Int
  ) -> [(name: String, value: String)] {
    let adapter = model.adapters[Self.adapterName] ?? configuration.adapter
    var facts = [
      ("base model", (configuration.model as NSString).lastPathComponent),
      (
        "rows",
        "\(Console.count(report.rows)) (\(data.format.rawValue)), \(Console.count(report.tokens)) "
          + "tokens, \(Console.count(report.supervisedTokens)) with loss"
      ),
      ("rank, alpha", "\(adapter.rank), \(adapter.alpha ?? Float(adapter.rank))"),
      (
        "adapted layers",
        "\(summary.modulePaths.count), \(Console.count(summary.trainableParameterCount)) parameters"
      ), ("steps", run.steps == total ? "\(total)" : "\(run.steps) of \(total)"),
      ("batch size", "\(configuration.batchSize)"),
      ("learning rate", "\(configuration.learningRate), \(configuration.schedule.rawValue)"),
      ("last training loss", Console.fixed(run.loss, 4)),
    ]
    if let evaluation {
      facts.append(
        (
          "evaluation loss",
          "\(Console.fixed(evaluation.loss, 4)) on \(Console.count(evaluation.rows)) rows"
        ))
    }
    facts += [
      ("precision, seed", "\(model.network.computeType.name), \(configuration.seed)"),
      (
        "time", "\(Console.time(run.seconds)), \(Console.fixed(run.tokensPerSecond, 0)) tokens/s"
      ), ("peak memory", "\(Console.fixed(peakResidentMegabytes(), 0)) MB"),
    ]
    return facts
  }

  /// The report as HTML.
  func report(facts: [(name: String, value: String)], folder: RunFolder) throws -> String {
    let lines = try String(contentsOfFile: folder.file("metrics.jsonl"), encoding: .utf8)
    let settings = try String(contentsOfFile: folder.file("config.resolved.yaml"), encoding: .utf8)
    return RunReport(
      title: (folder.path as NSString).lastPathComponent, facts: facts,
      metrics: lines.split(separator: "\n").compactMap {
        try? JSONValue(parsing: String($0)).objectValue
      }, samples: try samples(3), settings: settings
    ).html
  }

  /// Answers to a few rows, of the evaluation where there is one.
  private func samples(_ count: Int) throws -> [RunReport.Sample] {
    let source = evalData ?? data
    guard source.format != .text else { return [] }
    let lines = Set(source.examples.prefix(count).map(\.line))
    let tasks = try GenerationTask.tasks(
      contentsOf: source.file, encoder: encoder, lines: lines)
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
    let tokenizer = encoder.tokenizer
    let generator = Generator(model: model.network, stopTokens: tokenizer.endOfGenerationTokenIDs)
    return try generator.generate(tasks.map(\.prompt), maxTokens: Self.answerLength).map {
      tokenizer.decode($0.tokens, skipSpecialTokens: true)
        + ($0.finishReason == .length ? " …" : "")
    }
  }
}
