// What a training run is made of, with the command's defaults.

import ArgumentParser
import LoRA
import LoRAAdapters
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor
import LoRAText
import LoRATraining

/// Where the base's weights are while a run works.
enum BaseWeightsChoice: String, CaseIterable, ExpressibleByArgument {
  case auto, mapped, resident

  /// nil: whichever fits, the faster one first.
  var weights: BaseWeights? { BaseWeights(rawValue: rawValue) }
}

/// Everything that decides a training run.
struct RunConfiguration {
  var model = ""
  var data = ""
  var output = ""
  var evalData: String?
  var evalSplit: Double?
  /// What the chat template gets beside the messages.
  var templateVariables = JSONObject()
  var rank = 16
  /// Not bound to the rank: with it fixed, a good learning rate stays good when the rank changes.
  var alpha = 32.0
  var dropout = 0.0
  var modules = ModuleSettings()
  var variants = VariantSettings()
  var initAdapter: String?
  var learningRate = 2e-4
  var schedule = LearningRateSchedule.linear
  var warmupRatio = 0.03
  var warmupSteps: Int?
  var weightDecay = 0.01
  var maxGradNorm = 1.0
  var epochs = 1.0
  var maxSteps: Int?
  var batchSize = 16
  var maxLength: Int?
  var truncation = Truncation.error
  /// nil: the day of the first start, where the template asks for one.
  var templateDate: TemplateDate?
  var seed = 42
  var shuffle = true
  var precision = Precision.auto
  var threads: Int?
  var memoryBudget: ByteSize?
  var baseWeights = BaseWeightsChoice.auto
  var saveSteps: Int?
  var saveMinutes = 10.0
  var saveTotalLimit: Int?
  var evalSteps: Int?
  var earlyStoppingPatience: Int?
  var evalGenerate = false
  var evalGenerateRows = 64
  var evalRegex: String?
  var reportAnswers = 3
  var logSteps: Int?

  var adapter: LoRAConfiguration {
    var configuration = LoRAConfiguration(
      rank: rank, alpha: Float(alpha), dropout: Float(dropout), baseModel: model)
    modules.apply(to: &configuration)
    variants.apply(to: &configuration)
    return configuration
  }

  var training: TrainingOptions {
    var options = TrainingOptions()
    options.learningRate = learningRate
    options.schedule = schedule
    options.warmupRatio = warmupRatio
    options.warmupSteps = warmupSteps
    options.loraPlusRatio = variants.loraPlusRatio.map(Float.init)
    options.weightDecay = Float(weightDecay)
    options.maxGradNorm = Float(maxGradNorm)
    options.epochs = epochs
    options.maxSteps = maxSteps
    options.batchSize = batchSize
    options.seed = UInt64(bitPattern: Int64(seed))
    options.shuffle = shuffle
    return options
  }

  /// What is not given, and must be.
  func missing(needsOutput: Bool) -> [any Error] {
    [("model", model), ("data", data), ("output", needsOutput ? output : "none")]
      .filter { $0.1.isEmpty }.map {
        ValidationError("give --\($0.0), or \($0.0) in the file of --config")
      }
  }

  /// Whether a model, data or an output folder is given at all.
  var namesAnyFile: Bool { ![model, data, output].allSatisfy(\.isEmpty) }

  /// What is wrong with what is given, of what can be checked before a file is opened.
  var problems: [any Error] {
    var problems: [any Error] = []
    func require(_ condition: Bool, _ problem: @autoclosure () -> String) {
      if !condition { problems.append(ValidationError(problem())) }
    }
    func collect(_ check: () throws -> Void) {
      do { try check() } catch { problems.append(error) }
    }
    if initAdapter == nil {
      var adapter = adapter
      // It names one mistake at a time: what it named is set right for the next.
      if rank < 1 {
        collect(adapter.validate)
        adapter.rank = 16
      }
      if !(0..<1).contains(dropout) {
        collect(adapter.validate)
        adapter.dropout = 0
      }
      collect(adapter.validate)
    }
    problems += training.problems
    for (name, value) in [
      ("max-length", maxLength), ("save-steps", saveSteps), ("eval-steps", evalSteps),
      ("log-steps", logSteps), ("save-total-limit", saveTotalLimit),
      ("early-stopping-patience", earlyStoppingPatience),
      ("eval-generate-rows", evalGenerateRows),
    ] {
      require(value ?? 1 >= 1, "--\(name) is \(value ?? 0): give 1 or more")
    }
    require(
      saveTotalLimit == nil || saveSteps != nil,
      "--save-total-limit counts the checkpoints of --save-steps: give --save-steps")
    require(reportAnswers >= 0, "--report-answers is \(reportAnswers): give 0 or more")
    require(
      data != "-" || evalData != "-",
      "--data and --eval-data are both -: standard input can be one of them")
    require(
      saveMinutes >= 0 && saveMinutes.isFinite,
      "--save-minutes is \(saveMinutes): give 0 (never) or more")
    require(
      evalData == nil || evalSplit == nil, "eval_data and eval_split exclude each other")
    if let evalSplit {
      require(
        evalSplit > 0 && evalSplit < 1,
        "--eval-split is \(evalSplit): give a share between 0 and 1, like 0.05")
    }
    let evaluates = evalData != nil || evalSplit != nil
    require(
      evalSteps == nil || evaluates,
      "--eval-steps needs rows to evaluate on: give --eval-data or --eval-split")
    require(
      !evalGenerate || evaluates,
      "--eval-generate needs rows to answer: give --eval-data or --eval-split")
    require(
      earlyStoppingPatience == nil || evalSteps != nil,
      "--early-stopping-patience counts evaluations: give --eval-steps")
    require(evalRegex == nil || evalGenerate, "--eval-regex looks at answers: give --eval-generate")
    collect { _ = try evalRegex.map(AnswerPattern.init) }
    return problems
  }
}
