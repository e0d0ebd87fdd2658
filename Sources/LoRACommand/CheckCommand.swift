// `lora check`: what a run would do, before it does it.

import ArgumentParser
import Foundation
import LoRA
import LoRAJSON
import LoRATensor
import LoRAText
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

  func run() throws {
    var flags = flags
    flags.output = flags.output ?? "unused"
    let (configuration, _) = try flags.configuration()
    let run = try PreparedRun(configuration)
    let probe = try Probe(run)
    json ? printObject(run, probe) : printText(run, probe)
  }

  private func printText(_ run: PreparedRun, _ probe: Probe) {
    let lengths = run.report.lengths
    run.describe()
    Console.say(
      """
      row length in tokens: shortest \(lengths.shortest), median \(lengths.median), 90% \
      \(lengths.p90), 99% \(lengths.p99), longest \(lengths.longest)
      warm-up: \(run.warmupSteps) steps; learning rate \(run.configuration.learningRate), \
      \(run.configuration.schedule.rawValue)
      expected: \(Console.fixed(probe.megabytes, 0)) MB of memory, \
      \(Console.time(probe.seconds)) at \(Console.fixed(probe.tokensPerSecond, 0)) tokens/s \
      (measured on the longest rows)
      """)
    for example in run.data.examples.prefix(max(samples, 0)) {
      Console.say("\nline \(example.line), what carries loss \(Marking.legend):")
      Console.say(Marking.text(example, run.encoder.tokenizer))
    }
    Console.say("")
    for warning in run.warnings { Console.say("warning: \(warning)") }
    Console.say(run.warnings.isEmpty ? "nothing is wrong" : "\(run.warnings.count) warnings")
  }

  private func printObject(_ run: PreparedRun, _ probe: Probe) {
    let report = run.report
    Console.say(
      JSONValue.object([
        "rows": .integer(report.rows), "format": .string(run.data.format.rawValue),
        "tokens": .integer(report.tokens), "supervised_tokens": .integer(report.supervisedTokens),
        "supervised_share": .number(report.supervisedShare),
        "lengths": .object([
          "min": .integer(report.lengths.shortest), "p50": .integer(report.lengths.median),
          "p90": .integer(report.lengths.p90), "p99": .integer(report.lengths.p99),
          "max": .integer(report.lengths.longest),
        ]),
        "dropped": .integer(run.data.droppedLines.count),
        "truncated": .integer(run.data.truncatedLines.count),
        "trainable_parameters": .integer(run.summary.trainableParameterCount),
        "steps": .integer(run.trainer.totalSteps), "warmup_steps": .integer(run.warmupSteps),
        "expected_memory_mb": .number(probe.megabytes.rounded()),
        "expected_seconds": .number(probe.seconds.rounded()),
        "tokens_per_second": .number(probe.tokensPerSecond.rounded()),
        "warnings": .array(run.warnings.map(JSONValue.string)),
      ]).serialized(.indented(2)))
  }
}

extension PreparedRun {
  var warmupSteps: Int {
    Int((Double(trainer.totalSteps) * configuration.warmupRatio).rounded(.up))
  }
}

/// Two steps on the longest rows: they need the most memory, and their speed is the run's.
private struct Probe {
  let megabytes: Double
  let tokensPerSecond: Double
  let seconds: Double

  init(_ run: PreparedRun) throws {
    let examples = run.data.examples
    let longest = examples.indices.sorted {
      examples[$0].tokens.count > examples[$1].tokens.count
    }.prefix(run.configuration.batchSize)
    var report: StepReport?
    for step in 0..<2 {
      report = try run.trainer.run(
        step: step, indices: Array(longest), learningRate: 1e-6, epoch: 0)
    }
    tokensPerSecond = report?.tokensPerSecond ?? 0
    megabytes = peakResidentMegabytes()
    let steps = Double(run.trainer.totalSteps)
    let rows = Double(min(run.configuration.batchSize, examples.count))
    let tokens = Double(run.report.tokens) / Double(max(run.report.rows, 1)) * rows * steps
    seconds = tokensPerSecond > 0 ? tokens / tokensPerSecond : .infinity
  }
}

/// A row's text with what carries loss marked: in colour on a terminal, in brackets elsewhere.
private enum Marking {
  private static let isColoured = isatty(1) != 0
  static let legend = isColoured ? "in green" : "in ⟦ ⟧"

  static func text(_ example: Example, _ tokenizer: Tokenizer) -> String {
    var text = ""
    var part: [Int32] = []
    var isSupervised = false
    func close() {
      let piece = tokenizer.decode(part)
      let (open, end) = isColoured ? ("\u{1B}[32m", "\u{1B}[0m") : ("⟦", "⟧")
      text += isSupervised && !part.isEmpty ? open + piece + end : piece
      part = []
    }
    for (token, supervised) in zip(example.tokens, example.mask) {
      if supervised != isSupervised {
        close()
        isSupervised = supervised
      }
      part.append(token)
    }
    close()
    return text.count <= 4000 ? text : text.prefix(4000) + "…"
  }
}
