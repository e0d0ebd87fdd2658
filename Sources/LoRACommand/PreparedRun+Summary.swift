// What a run would do, for people: the first lines of `lora train`, and of `lora check`.

import LoRA
import LoRAJSON
import LoRAModels
import LoRATensor
import LoRATraining

extension PreparedRun {
  /// The rows, the model, the adapter, the steps, and rows as the model sees them.
  ///
  /// - Parameters:
  ///   - samples: rows to show.
  ///   - limit: characters of a row that are shown.
  func describe(samples: Int, limit: Int) {
    let network = model.network
    let adapter = model.adapters[Self.adapterName] ?? configuration.adapter
    let lengths = report.lengths
    Console.tell(
      """
      \(data.file): \(Console.count(report.rows, "row")) (\(formatText)), \
      \(Console.count(report.tokens, "token")), \(Console.count(report.supervisedTokens)) with loss \
      (\(Console.fixed(100 * report.supervisedShare, 0))%)
      row length in tokens: shortest \(lengths.shortest), median \(lengths.median), 90% \
      \(lengths.p90), 99% \(lengths.p99), longest \(lengths.longest)
      \(stopText)
      """)
    if !data.unusedKeys.isEmpty {
      let keys = data.unusedKeys.map {
        "\($0.key) (\(Console.count($0.rows)) row\($0.rows == 1 ? "" : "s"))"
      }
      Console.tell("not used: " + keys.listed(atMost: 12))
    }
    if let evalData {
      Console.tell("evaluation: \(Console.count(evalData.count, "row")) of \(evalData.file)")
    }
    Console.tell(
      """
      \(configuration.model): \(Console.short(network.parameterCount)) parameters, \
      \(network.configuration.layerCount.counted("layer")), \(network.computeType.name) on \
      \(Engine.threadCount.counted("thread")) (oneDNN \(Engine.oneDNNVersion), \(Engine.instructionSet))
      adapter: rank \(adapter.rank), scale \(adapter.scale), \(summary.modulePaths.count.counted("layer")), \
      \(Console.short(summary.trainableParameterCount)) trainable parameters for \
      \(Console.short(report.supervisedTokens)) tokens with loss
      \(Console.count(trainer.totalSteps, "step")) of \(configuration.batchSize.counted("row")), \
      \(trainer.warmupSteps) of them warm-up
      \(memory.description)
      """)
    for example in data.examples.prefix(max(samples, 0)) {
      Console.tell("\nline \(example.line), what carries loss \(RowMarking.legend):")
      RowMarking.show(example, encoder.tokenizer, limit: limit)
    }
    if samples > 0 { Console.tell("") }
  }

  /// messages: 2 system, 480 user, 480 assistant
  var formatText: String {
    let roles = data.messageCounts.map { "\(Console.count($0.count)) \($0.role)" }
    return data.format.rawValue + (roles.isEmpty ? "" : ": " + roles.joined(separator: ", "))
  }

  /// Whether the model learns to stop: the token that rows end in, and whose it is.
  private var stopText: String {
    let tokenizer = encoder.tokenizer
    guard let (token, rows) = report.lastTokens.first, report.rowsWithStop > 0 else {
      return "stop: no row ends in a token that stops the model"
    }
    let owner =
      switch token {
      case tokenizer.eosTokenID: "the model's end of text"
      case tokenizer.eotTokenID: "the model's end of a turn"
      default:
        tokenizer.endOfGenerationTokenIDs.contains(token)
          ? "one of the model's stop tokens" : "not a stop token of the model"
      }
    let spelling = tokenizer.token(token) ?? "?"
    let all =
      report.rowsWithStop == report.rows
      ? "every row ends" : rows == 1 ? "1 row ends" : "\(rows) rows end"
    return "stop: \(all) in \(spelling), \(owner), and carries loss there"
  }

  /// What may be wrong, of the rows, the adapter and the settings.
  var warnings: [Finding] {
    report.warnings + dateFindings + summary.warnings.map { Finding("adapter", $0) }
      + verdicts.compactMap(\.finding)
  }

  private var dateFindings: [Finding] {
    guard learnsDate, let date = configuration.templateDate else { return [] }
    return [
      Finding(
        "template_date", file: data.file,
        "the chat template writes today's date into the rows: all are learnt with \(date)",
        hint: "a model asked on another day sees another; --template-date sets it")
    ]
  }

  /// What experience says of the settings.
  var verdicts: [SettingVerdict] {
    configuration.verdicts(
      RunSizes(
        steps: trainer.totalSteps, supervisedTokens: report.supervisedTokens,
        trainableParameters: summary.trainableParameterCount,
        context: model.network.configuration.contextLength,
        hiddenWidth: model.network.configuration.hiddenSize, hasEvaluation: evalData != nil,
        modulePaths: summary.modulePaths))
  }
}
