// `lora check`: what a run would do, before it does it.

import ArgumentParser
import Foundation
import LoRA
import LoRAJSON
import LoRATraining

struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Looks at rows, settings, memory and time of a run; trains nothing.",
    discussion: "Takes the flags of train. Errors end with a non-zero exit code, warnings do not.")

  @OptionGroup var flags: RunFlags
  @Option(help: "Rows to show as the model sees them.")
  var samples = 2
  @Flag(help: "Print one JSON object.")
  var json = false

  func validate() throws {
    if samples < 0 { throw ValidationError("--samples is \(samples): give 0 or more") }
  }

  func run() throws {
    let (configuration, _) = try flags.configuration(needsOutput: false)
    let run = try PreparedRun(configuration)
    if !json { run.describe(samples: samples, limit: 4000) }
    let probe = try RunProbe(run)
    let warnings =
      run.warnings + [probe.memoryFinding, flags.outputFinding(configuration)].compactMap { $0 }
    json ? printObject(run, probe, warnings) : printText(run, probe, warnings)
  }

  private func printText(_ run: PreparedRun, _ probe: RunProbe, _ warnings: [Finding]) {
    for verdict in run.verdicts where verdict.hint.isEmpty {
      let name = verdict.setting.replacing("_", with: " ") + " " + verdict.value
      Console.tell("\(name): \(verdict.text)")
    }
    Console.tell(
      "expected: \(Console.fixed(probe.megabytes, 0)) MB of memory, \(Console.time(probe.seconds)) "
        + "at \(Console.fixed(probe.tokensPerSecond, 0)) tokens/s (from a few steps of it)")
    for finding in warnings { Console.tell("warning: \(finding)") }
    Console.tell(
      warnings.isEmpty
        ? "nothing is wrong" : warnings.count.counted("warning"))
  }

  private func printObject(_ run: PreparedRun, _ probe: RunProbe, _ warnings: [Finding]) {
    let report = run.report
    var roles = JSONObject()
    for (role, count) in run.data.messageCounts { roles[role] = .integer(count) }
    var unused = JSONObject()
    for (key, rows) in run.data.unusedKeys { unused[key] = .integer(rows) }
    let tokenizer = run.encoder.tokenizer
    Console.say(
      JSONValue.object([
        "rows": .integer(report.rows), "format": .string(run.data.format.rawValue),
        "messages_by_role": .object(roles),
        "unused_keys": .object(unused),
        "evaluation_rows": run.evalData.map { .integer($0.count) } ?? .null,
        "tokens": .integer(report.tokens), "supervised_tokens": .integer(report.supervisedTokens),
        "supervised_share": .number(report.supervisedShare),
        "lengths": .object([
          "min": .integer(report.lengths.shortest), "p50": .integer(report.lengths.median),
          "p90": .integer(report.lengths.p90), "p99": .integer(report.lengths.p99),
          "max": .integer(report.lengths.longest),
        ]),
        "dropped": .integer(run.data.droppedLines.count),
        "truncated": .integer(run.data.truncatedLines.count),
        "rows_with_stop_token": .integer(report.rowsWithStop),
        "stop_token": report.lastTokens.first.flatMap { tokenizer.token($0.token) }
          .map(JSONValue.string) ?? .null,
        "trainable_parameters": .integer(run.summary.trainableParameterCount),
        "steps": .integer(run.trainer.totalSteps),
        "warmup_steps": .integer(run.trainer.warmupSteps),
        "expected_memory_mb": .number(probe.megabytes.rounded()),
        "expected_seconds": .number(probe.seconds.rounded()),
        "tokens_per_second": .number(probe.tokensPerSecond.rounded()),
        "verdicts": .array(run.verdicts.map(\.json)),
        "warnings": .array(warnings.map(\.json)),
        "samples": .array(
          run.data.examples.prefix(samples).map { example in
            .object([
              "line": .integer(example.line),
              "marked": .string(RowMarking.text(example, tokenizer)),
            ])
          }),
      ]).serialized(.indented(2)))
  }
}

extension RunFlags {
  /// A warning where the folder that is named is one that `lora train` refuses.
  fileprivate func outputFinding(_ configuration: RunConfiguration) -> Finding? {
    guard !configuration.output.isEmpty else { return nil }
    do {
      _ = try RunFolder(configuration.output, .new)
      return nil
    } catch let error as OutputFileError {
      return Finding(
        "output", "lora train will refuse \(error.file): \(error.message)", hint: error.hint)
    } catch {
      return Finding("output", "\(error)")
    }
  }
}

extension SettingVerdict {
  fileprivate var json: JSONValue {
    .object([
      "setting": .string(setting), "value": .string(value), "fine": .bool(hint.isEmpty),
      "text": .string(text), "hint": .string(hint),
    ])
  }
}
