// The flags for the parts of a model that a run trains.

import ArgumentParser
import LoRAAdapters
import LoRAJSON

/// A pattern and its value, written as PATTERN=VALUE.
struct PatternValue<Value: LosslessStringConvertible & Sendable>: ExpressibleByArgument {
  let key: String
  let value: Value

  init?(argument: String) {
    guard let separator = argument.lastIndex(of: "="),
      let value = Value(String(argument[argument.index(after: separator)...]))
    else { return nil }
    key = String(argument[..<separator])
    self.value = value
  }
}

/// The parts of a model that are trained; each flag leaves the file's value or the default.
struct ModuleFlags: ParsableArguments {
  @Option(
    parsing: .singleValue,
    help: """
      all-linear, names of layers (q_proj,v_proj), or a regular expression over whole paths \
      ('.*\\.(q|v)_proj') (default: all-linear). Names may also be given one by one.
      """)
  var targetModules: [String] = []
  @Option(
    parsing: .singleValue,
    help: "Layers to leave out after all: names or a regular expression.")
  var excludeModules: [String] = []
  @Option(
    parsing: .singleValue, help: "Adapt only the layers with these numbers, from 0: 0,1,2.")
  var layersToTransform: [String] = []
  @Option(
    parsing: .singleValue,
    help: "Another rank for some layers, as PATTERN=RANK; may be given several times.")
  var rankPattern: [PatternValue<Int>] = []
  @Option(
    parsing: .singleValue,
    help: "Another alpha for some layers, as PATTERN=ALPHA; may be given several times.")
  var alphaPattern: [PatternValue<Float>] = []
  @Option(help: "The model's biases to train: none, all or lora_only (default: none).")
  var bias: BiasTraining?
  @Option(
    parsing: .singleValue, help: "Modules to train whole, beside the pairs: norm,lm_head.")
  var modulesToSave: [String] = []
  @Option(
    parsing: .singleValue,
    help: "Tokens whose embeddings are trained, by number: 49150,49151.")
  var trainableTokens: [String] = []

  func apply(to modules: inout ModuleSettings) throws {
    if let targets = try Self.names(targetModules, "--target-modules") {
      modules.targets = TargetModules(text: targets)
    }
    if let excluded = try Self.names(excludeModules, "--exclude-modules") {
      modules.excluded = ModuleNames(text: excluded)
    }
    if !layersToTransform.isEmpty {
      modules.layers = try layersToTransform.flatMap {
        try Self.numbers($0, "--layers-to-transform")
      }
    }
    if !rankPattern.isEmpty {
      modules.rankPattern = ModulePatterns(rankPattern.map { ($0.key, $0.value) })
    }
    if !alphaPattern.isEmpty {
      modules.alphaPattern = ModulePatterns(alphaPattern.map { ($0.key, $0.value) })
    }
    if let bias { modules.bias = bias }
    if !modulesToSave.isEmpty { modules.modulesToSave = modulesToSave.flatMap(\.commaSeparated) }
    if !trainableTokens.isEmpty {
      modules.trainableTokens = try trainableTokens.flatMap {
        try Self.numbers($0, "--trainable-tokens")
      }
    }
  }

  /// Whether a flag is given that `--init-adapter` answers too.
  var isGiven: Bool {
    bias != nil || !rankPattern.isEmpty || !alphaPattern.isEmpty
      || ![targetModules, excludeModules, layersToTransform, modulesToSave, trainableTokens]
        .allSatisfy(\.isEmpty)
  }

  /// Several values as the one text that names with commas are; nil: none is given.
  private static func names(_ values: [String], _ flag: String) throws -> String? {
    guard values.count > 1 else { return values.first }
    let alone = values.first {
      if case .pattern = ModuleNames(text: $0) { return true }
      return $0 == "all-linear"
    }
    if let alone {
      throw ValidationError(
        "\(flag) is given \(values.count) times, one of them \(alone.shortened), which stands "
          + "alone: give names only, or one regular expression with | in it")
    }
    return values.joined(separator: ",")
  }

  private static func numbers(_ text: String, _ flag: String) throws -> [Int] {
    try text.commaSeparated.map { part in
      guard let number = Int(part), number >= 0 else {
        throw ValidationError(
          "\(flag) is \(text): give whole numbers with commas between them, like 0,1,2")
      }
      return number
    }
  }
}
