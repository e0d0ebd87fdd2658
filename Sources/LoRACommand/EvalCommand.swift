// `lora eval`: loss and perplexity of rows, and what the model's own answers to them are worth.

import ArgumentParser
import LoRA
import LoRAJSON
import LoRATraining

struct EvalCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval",
    abstract: "Loss and perplexity on rows; with --generate, exact match, valid JSON, a pattern.",
    discussion: """
      Rows are read a few at a time: a file of any size needs the same memory. json_valid is \
      reported where every expected answer is a JSON object or array.
      """)

  @OptionGroup var options: ModelOptions
  @OptionGroup var adapter: AdapterOption
  @OptionGroup var rows: RowsOptions

  @Flag(help: "Also answer each row's last turn greedily and compare with its text.")
  var generate = false

  @Option(help: "With --generate: a regular expression that answers should contain.")
  var regex: String?

  @Option(
    help: "New tokens of an answer at most (default: half again the longest expected answer).")
  var maxTokens: Int?

  @Option(help: "With --generate, show this many answers.")
  var samples = 0

  @Flag(
    help: "Print one object: rows, supervised_tokens, loss, perplexity, exact_match, json_valid, …")
  var json = false

  func validate() throws {
    if regex != nil, !generate {
      throw ValidationError("--regex looks at answers: give --generate")
    }
    if let maxTokens, maxTokens < 1 {
      throw ValidationError("--max-tokens is \(maxTokens): give 1 or more")
    }
    if samples < 0 { throw ValidationError("--samples is \(samples): give 0 or more") }
  }

  func run() throws {
    let pattern = try regex.map(AnswerPattern.init)
    let model = try options.load()
    try adapter.load(into: model)
    let file = try rows.file()
    if generate {
      // The first row tells whether there is anything to answer, before the work begins.
      _ = try GenerationTask.tasks(contentsOf: file, encoder: model.encoder, lines: [1])
    }
    var progress: ProgressLine?
    let result = try evaluate(
      model.network, contentsOf: file, encoder: model.encoder,
      maxLength: rows.maxLength(for: model)
    ) { done, total in
      if progress == nil { progress = ProgressLine(total: total) }
      progress?.show(done, "loss")
    }
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
      let scores = try answer(model, pattern, rows: result.rows)
      for (name, count, share) in scores.shares {
        object[name] = .number(share)
        let label = name.replacing("_", with: " ").padding(17)
        lines.append("\(label) \(Console.fixed(share * 100, 1))% (\(count) of \(scores.rows))")
      }
    }
    json
      ? Console.say(JSONValue.object(object).serialized(.compact))
      : Console.tell(lines.joined(separator: "\n"))
  }

  private func answer(
    _ model: LanguageModel, _ pattern: AnswerPattern?, rows total: Int
  ) throws -> AnswerScores {
    var progress = ProgressLine(total: total)
    defer { progress.clear() }
    var done = 0
    return try model.scoreAnswers(of: rows.file(), pattern: pattern, maxTokens: maxTokens) {
      task, answer in
      done += 1
      if !json, done <= samples {
        progress.clear()
        show(task, answer)
      }
      progress.show(done, "answers")
    }
  }

  private func show(_ task: GenerationTask, _ answer: String) {
    Console.tell(
      """
      line \(task.line)
        asked    \(task.question.oneLine)
        expected \(task.reference.oneLine)
        answer   \(answer.oneLine)
      """)
  }
}

extension String {
  /// On one line, cut where it is too long to be looked at.
  var oneLine: String {
    let line = split(whereSeparator: \.isNewline).joined(separator: " ⏎ ")
    return line.count <= 300 ? line : line.prefix(300) + "…"
  }

  fileprivate func padding(_ width: Int) -> String {
    self + String(repeating: " ", count: max(0, width - count))
  }
}
