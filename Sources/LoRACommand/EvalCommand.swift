// `lora eval`: loss and perplexity of rows, and whether greedy answers equal the rows' own.

import ArgumentParser
import LoRA
import LoRAJSON
import LoRATraining

struct EvalCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval", abstract: "Loss and perplexity on rows; exact match with --generate.")

  @OptionGroup var options: ModelOptions
  @OptionGroup var adapter: AdapterOption
  @OptionGroup var rows: RowsOptions

  @Flag(help: "Also answer each row's last turn greedily and compare with its text.")
  var generate = false

  @Option(help: "New tokens of an answer at most (default: the longest expected answer + 8).")
  var maxTokens: Int?

  @Option(help: "With --generate, show this many answers.")
  var samples = 0

  @Flag(help: "Print one object: rows, supervised_tokens, loss, perplexity, exact_match.")
  var json = false

  func run() throws {
    let model = try options.load()
    let dataset = try rows.load(for: model)
    let tasks =
      generate ? try GenerationTask.tasks(contentsOf: rows.data, encoder: model.encoder) : []
    try adapter.load(into: model)

    var progress = ProgressLine(total: dataset.examples.count)
    let result = evaluate(model.network, dataset.examples) { progress.show($0, "loss") }
    progress.clear()
    var object: JSONObject = [
      "rows": .integer(result.rows), "supervised_tokens": .integer(result.supervisedTokens),
      "loss": .number(result.loss), "perplexity": .number(result.perplexity),
    ]
    var lines = [
      "rows              \(Console.count(result.rows))",
      "supervised tokens \(Console.count(result.supervisedTokens))",
      "loss              \(Console.fixed(result.loss, 4))",
      "perplexity        \(Console.fixed(result.perplexity, 3))",
    ]
    if generate {
      let answers = try self.answers(model, tasks)
      let right = zip(tasks, answers).filter { $0.isAnswered(by: $1) }.count
      let share = tasks.isEmpty ? 0 : Double(right) / Double(tasks.count)
      object["exact_match"] = .number(share)
      lines.append(
        "exact match       \(Console.fixed(share * 100, 1))% (\(right) of \(tasks.count))")
      if !json { show(tasks, answers) }
    }
    Console.say(
      json ? JSONValue.object(object).serialized(.compact) : lines.joined(separator: "\n"))
  }

  /// The model's greedy answers, as text.
  private func answers(_ model: LanguageModel, _ tasks: [GenerationTask]) throws -> [String] {
    let tokenizer = model.encoder.tokenizer
    // An answer that is longer than every expected one is wrong, whatever comes after.
    let expected = tasks.map { tokenizer.encode($0.reference, addSpecialTokens: false).count }
    let limit = maxTokens ?? (expected.max() ?? 0) + 8
    let generator = Generator(
      model: model.network, stopTokens: tokenizer.endOfGenerationTokenIDs)
    var progress = ProgressLine(total: tasks.count)
    defer { progress.clear() }
    return try generator.generate(
      tasks.map(\.prompt), maxTokens: limit, onFinish: { progress.show($0, "answers") }
    ).map { tokenizer.decode($0.tokens, skipSpecialTokens: true) }
  }

  private func show(_ tasks: [GenerationTask], _ answers: [String]) {
    for (task, answer) in zip(tasks, answers).prefix(max(samples, 0)) {
      Console.say(
        """
        line \(task.line)
          asked    \(task.question.oneLine)
          expected \(task.reference.oneLine)
          answer   \(answer.oneLine)
        """)
    }
  }
}

extension String {
  /// On one line, cut where it is too long to be looked at.
  var oneLine: String {
    let line = split(whereSeparator: \.isNewline).joined(separator: " ⏎ ")
    return line.count <= 300 ? line : line.prefix(300) + "…"
  }
}
