// The flags for the parts of a model that a run trains.

import ArgumentParser
import LoRAAdapters

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
    help: """
      all-linear, names of layers (q_proj,v_proj), or a regular expression over whole paths \
      ('.*\\.(q|v)_proj') (default: all-linear).
      """)
  var targetModules: String?
  @Option(help: "Layers to leave out after all: names or a regular expression.")
  var excludeModules: String?
  @Option(help: "Adapt only the layers with these numbers, from 0: 0,1,2.")
  var layersToTransform: String?
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
  @Option(help: "Modules to train whole, beside the pairs: norm,lm_head.")
  var modulesToSave: String?
  @Option(help: "Tokens whose embeddings are trained, by number: 49150,49151.")
  var trainableTokens: String?

  func apply(to modules: inout ModuleSettings) throws {
    if let targetModules { modules.targets = TargetModules(text: targetModules) }
    if let excludeModules { modules.excluded = ModuleNames(text: excludeModules) }
    if let layersToTransform {
      modules.layers = try Self.numbers(layersToTransform, "--layers-to-transform")
    }
    if !rankPattern.isEmpty {
      modules.rankPattern = ModulePatterns(rankPattern.map { ($0.key, $0.value) })
    }
    if !alphaPattern.isEmpty {
      modules.alphaPattern = ModulePatterns(alphaPattern.map { ($0.key, $0.value) })
    }
    if let bias { modules.bias = bias }
    if let modulesToSave { modules.modulesToSave = modulesToSave.commaSeparated }
    if let trainableTokens {
      modules.trainableTokens = try Self.numbers(trainableTokens, "--trainable-tokens")
    }
  }

  /// Whether a flag is given that `--init-adapter` answers too.
  var isGiven: Bool {
    targetModules != nil || excludeModules != nil || layersToTransform != nil || bias != nil
      || !rankPattern.isEmpty || !alphaPattern.isEmpty || modulesToSave != nil
      || trainableTokens != nil
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
