// The flags of a training run, shared by `lora train` and `lora check`.

import ArgumentParser
import Foundation
import LoRATensor
import LoRATraining

/// Settings as flags; one that is not given leaves the file's value or the default.
struct RunFlags: ParsableArguments {
  @Option(help: "A YAML file of settings; flags win over it. Its keys are the flags with _ for -.")
  var config: String?
  @Option(help: "The model: a GGUF file, or a folder with safetensors and tokenizer.json.")
  var model: String?
  @Option(help: "The rows to train on; - is stdin.")
  var data: String?
  @Option(help: "The folder for the adapter; it must not hold files unless --overwrite is given.")
  var output: String?
  @Option(help: "Rows to evaluate on, at the end and every --eval-steps.")
  var evalData: String?
  @Option(help: "Instead: split this share of the rows off, by their content, like 0.05.")
  var evalSplit: Double?
  @Option(help: "The rank r of each low-rank pair (default: 16).")
  var rank: Int?
  @Option(help: "The pairs are scaled by alpha/rank (default: 32).")
  var alpha: Double?
  @Option(help: "The share of A's input that is dropped in training (default: 0).")
  var dropout: Double?
  @OptionGroup var template: TemplateFlags
  @OptionGroup var modules: ModuleFlags
  @OptionGroup var variants: VariantFlags
  @Option(help: "Go on from the adapter in this folder, with its rank, alpha and layers.")
  var initAdapter: String?

  @Option(help: "The peak learning rate (default: 2e-4).")
  var learningRate: Double?
  @Option(help: "Its course after the warm-up (default: linear).")
  var lrSchedule: LearningRateSchedule?
  @Option(help: "The share of the steps in which it rises (default: 0.03).")
  var warmupRatio: Double?
  @Option(help: "The steps in which it rises, instead of --warmup-ratio.")
  var warmupSteps: Int?
  @Option(help: "AdamW's decoupled decay (default: 0.01).")
  var weightDecay: Double?
  @Option(help: "Gradients are scaled down to this norm; 0: never (default: 1).")
  var maxGradNorm: Double?
  @Option(help: "Passes over the rows, like 3 or 0.5 (default: 1).")
  var epochs: Double?
  @Option(help: "Optimizer steps, instead of --epochs.")
  var maxSteps: Int?
  @Option(help: "Rows of an optimizer step (default: 16).")
  var batchSize: Int?
  @Option(help: "The longest row in tokens (default: the model's context).")
  var maxLength: Int?
  @Option(help: "What happens to longer rows (default: error).")
  var truncation: Truncation?
  @Option(help: "The seed of the order, of A and of dropout (default: 42).")
  var seed: Int?
  @Flag(help: "Keep the order of the file.")
  var noShuffle = false

  @Option(help: "The type of the large products; auto: bfloat16 where the processor has it.")
  var precision: Precision?
  @Option(help: "Threads (default: the processors this process may use).")
  var threads: Int?
  @Option(
    help:
      "What the run may take, like 600MB: less is kept and more computed twice; the adapter is the same (default: 85% of this machine's memory)."
  )
  var memoryBudget: ByteSize?
  @Option(help: "mapped: weights stay in the file as stored; resident: converted once in memory.")
  var baseWeights: BaseWeightsChoice?
  @Option(help: "Save the adapter every so many steps, in checkpoints/.")
  var saveSteps: Int?
  @Option(
    help:
      "Save one, which gives way to the next, when none was for so many minutes; 0: never (default: 10)."
  )
  var saveMinutes: Double?
  @Option(help: "Keep this many checkpoints (default: all).")
  var saveTotalLimit: Int?
  @Option(help: "Evaluate every so many steps.")
  var evalSteps: Int?
  @Option(help: "Stop when this many evaluations in a row brought nothing better.")
  var earlyStoppingPatience: Int?
  @Flag(
    help: "Also answer rows greedily at each evaluation: exact match, valid JSON, --eval-regex.")
  var evalGenerate = false
  @Option(help: "How many of the rows are answered then (default: 64).")
  var evalGenerateRows: Int?
  @Option(help: "A regular expression that answers should contain; ^…$ is the whole answer.")
  var evalRegex: String?
  @Option(
    help: "Rows answered for the report at the end, with and without the adapter (default: 3).")
  var reportAnswers: Int?
  @Option(help: "Print a line every so many steps (default: about 20 lines in all).")
  var logSteps: Int?

  /// Flags that cannot be given together.
  private var conflicts: [ValidationError] {
    let conflicts = [
      (epochs != nil && maxSteps != nil, "--epochs and --max-steps exclude each other"),
      (
        warmupRatio != nil && warmupSteps != nil,
        "--warmup-ratio and --warmup-steps exclude each other"
      ),
      (
        initAdapter != nil
          && (rank != nil || alpha != nil || modules.isGiven || variants.isGiven),
        "--init-adapter brings its own rank, alpha and layers: leave out --rank, --alpha, --init, "
          + "--use-dora, --target-modules and their relatives"
      ),
    ]
    return conflicts.filter(\.0).map { ValidationError($0.1) }
  }

  /// The defaults, with the file's settings over them, with the flags over those.
  ///
  /// - Parameter needsOutput: whether a folder to write to must be named.
  /// - Returns: the settings, checked, and what an earlier run recorded in the file.
  func configuration(
    needsOutput: Bool = true
  ) throws -> (run: RunConfiguration, recorded: [String: String]) {
    var run = RunConfiguration()
    var recorded: [String: String] = [:]
    var fileError: ConfigurationError?
    var problems: [any Error] = conflicts
    do {
      if let config {
        recorded = try run.apply(yaml: try Self.text(of: config), file: config)
      }
    } catch let error as ConfigurationError where error.isOfKeys {
      fileError = error
    }
    apply(to: &run)
    do { try modules.apply(to: &run.modules) } catch { problems.append(error) }
    variants.apply(to: &run.variants)
    if let variables = template.variables { run.templateVariables = variables }
    // Where all of it is missing it was to come from the file, whose keys are not understood.
    if fileError == nil || run.namesAnyFile { problems += run.missing(needsOutput: needsOutput) }
    problems += run.problems
    if var fileError {
      fileError.others = problems.map { "\($0)" }
      throw fileError
    }
    guard problems.count <= 1 else {
      throw ValidationError(problems.map { "\($0)" }.joined(separator: "\n"))
    }
    if let problem = problems.first { throw problem }
    return (run, recorded)
  }

  private static func text(of path: String) throws -> String {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw ConfigurationError(
        file: path, problems: [": the file cannot be read\nhint: check the path"])
    }
    guard let text = String(validating: data, as: UTF8.self) else {
      throw ConfigurationError(
        file: path, problems: [": the text is not UTF-8\nhint: convert it with iconv"])
    }
    // Editors on other systems begin a file with a byte order mark, which is none of a key.
    return text.hasPrefix("\u{FEFF}") ? String(text.unicodeScalars.dropFirst()) : text
  }

  /// Takes over the flags that were given.
  private func apply(to run: inout RunConfiguration) {
    func set<Value>(_ path: WritableKeyPath<RunConfiguration, Value>, _ value: Value?) {
      if let value { run[keyPath: path] = value }
    }
    func set<Value>(_ path: WritableKeyPath<RunConfiguration, Value?>, _ value: Value?) {
      if let value { run[keyPath: path] = value }
    }
    set(\.model, model)
    set(\.data, data)
    set(\.output, output)
    if evalSplit != nil { run.evalData = nil }
    if evalData != nil { run.evalSplit = nil }
    set(\.evalData, evalData)
    set(\.evalSplit, evalSplit)
    set(\.rank, rank)
    set(\.alpha, alpha)
    set(\.dropout, dropout)
    set(\.initAdapter, initAdapter)
    set(\.learningRate, learningRate)
    set(\.schedule, lrSchedule)
    if warmupRatio != nil { run.warmupSteps = nil }
    set(\.warmupRatio, warmupRatio)
    set(\.warmupSteps, warmupSteps)
    set(\.weightDecay, weightDecay)
    set(\.maxGradNorm, maxGradNorm)
    if epochs != nil { run.maxSteps = nil }
    set(\.epochs, epochs)
    set(\.maxSteps, maxSteps)
    set(\.batchSize, batchSize)
    set(\.maxLength, maxLength)
    set(\.truncation, truncation)
    set(\.templateDate, template.templateDate)
    set(\.seed, seed)
    if noShuffle { run.shuffle = false }
    set(\.precision, precision)
    set(\.threads, threads)
    set(\.memoryBudget, memoryBudget)
    set(\.baseWeights, baseWeights)
    set(\.saveSteps, saveSteps)
    set(\.saveMinutes, saveMinutes)
    set(\.saveTotalLimit, saveTotalLimit)
    set(\.evalSteps, evalSteps)
    set(\.earlyStoppingPatience, earlyStoppingPatience)
    if evalGenerate { run.evalGenerate = true }
    set(\.evalGenerateRows, evalGenerateRows)
    set(\.evalRegex, evalRegex)
    set(\.reportAnswers, reportAnswers)
    set(\.logSteps, logSteps)
  }
}
