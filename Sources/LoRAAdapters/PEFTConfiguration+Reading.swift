// Reads adapter_config.json strictly: what is not computed is refused by name; a key that is unknown and
// off is said.

import LoRAFormats
import LoRAJSON
import LoRANN

extension PEFTConfiguration {
  /// The configuration in the file.
  ///
  /// - Throws: `ModelFileError` where the file cannot be read, `AdapterError` where it says something
  ///   that this version does not know or do.
  package static func read(_ path: String) throws -> LoRAConfiguration {
    var warnings: [String] = []
    return try read(path, warnings: &warnings)
  }

  /// - Parameter warnings: receives what the file says that means nothing.
  package static func read(
    _ path: String, warnings: inout [String]
  ) throws -> LoRAConfiguration {
    let file = try MappedFile(path: path)
    do {
      let value: JSONValue
      do {
        value = try withExtendedLifetime(file) { try JSONValue(parsing: file.bytes) }
      } catch let error as JSONError {
        throw AdapterError(
          message: "line \(error.line), column \(error.column): \(error.message)", hint: error.hint)
      }
      guard let object = value.objectValue else {
        throw AdapterError(
          message: "this is \(value.kind), not an object",
          hint: "an adapter_config.json of PEFT is one JSON object")
      }
      return try configuration(object, &warnings)
    } catch let error as AdapterError {
      throw error.about(path)
    }
  }

  private static func configuration(
    _ object: JSONObject, _ warnings: inout [String]
  ) throws -> LoRAConfiguration {
    try checkKind(object)
    warnings += try checkKeys(object)
    let initialization = try Self.initialization(object["init_lora_weights"] ?? true)
    let fields = PEFTFields(object)
    var configuration = LoRAConfiguration(
      rank: try fields.rank("r"),
      alpha: try fields.number("lora_alpha", "PEFT's scale is lora_alpha / r"),
      dropout: object["lora_dropout"] == nil
        ? 0 : try fields.number("lora_dropout", "0.0 is no dropout"),
      targets: try fields.targets("target_modules"),
      baseModel: try fields.string("base_model_name_or_path", "it names the model and may be null"),
      isRankStabilized: try fields.bool("use_rslora"))
    if let initialization { configuration.initialization = initialization }
    configuration.usesDoRA = try fields.bool("use_dora")
    configuration.hasBiasOfB = try fields.bool("lora_bias")
    configuration.excluded = try fields.moduleNames("exclude_modules")
    configuration.layers = try fields.layers()
    configuration.rankPattern = try fields.ranks("rank_pattern")
    configuration.alphaPattern = try fields.alphas("alpha_pattern")
    configuration.biases = try fields.biases("bias")
    configuration.modulesToSave = try fields.strings("modules_to_save") ?? []
    if object["ensure_weight_tying"] != .null {
      configuration.ensuresWeightTying = try fields.bool("ensure_weight_tying")
    }
    configuration.trainedTokens = try fields.trainedTokens("trainable_token_indices")
    do {
      try configuration.validateAsStored()
    } catch let error as LoRAConfigurationError {
      throw AdapterError(message: error.message, hint: error.hint)
    }
    return configuration
  }

  private static func checkKind(_ object: JSONObject) throws {
    guard let kind = object["peft_type"] else {
      throw AdapterError(
        message: "the key peft_type is missing",
        hint: "an adapter_config.json of a LoRA adapter has \"peft_type\": \"LORA\"")
    }
    guard kind == "LORA" else {
      throw wrong(
        "peft_type", kind, "\"LORA\"",
        "other methods of PEFT are not supported; PEFT's convert_to_lora may convert it")
    }
    if let task = object["task_type"], task != .null, task != "CAUSAL_LM" {
      throw wrong(
        "task_type", task, "\"CAUSAL_LM\" or null",
        "only adapters of language models are supported")
    }
  }

  /// What unknown keys say, each of which is off: later versions of PEFT write keys of their own.
  private static func checkKeys(_ object: JSONObject) throws -> [String] {
    let known = Set(allKeys)
    var warnings: [String] = []
    for (key, value) in object where !known.contains(key) {
      let near = key.nearest(in: allKeys).map { "did you mean \"\($0)\"?" }
      guard isOff(value, .null) else {
        throw AdapterError(
          message: "the key \"\(key.shortened)\" is unknown",
          hint: near
            ?? "PEFT \(version) has no such key: remove it if the adapter does not depend on it")
      }
      warnings.append(
        "\(AdapterFile.configurationName): the key \"\(key.shortened)\" is unknown and ignored, since it is "
          + text(value) + (near.map { "; \($0)" } ?? ""))
    }
    for (key, value, feature) in neutral + [unwritten] {
      guard let given = object[key], !isOff(given, value) else { continue }
      throw AdapterError(
        message: "\(key) is \(text(given)): \(feature) is not supported by this version",
        hint: "train the adapter with \(key) = \(text(value)), or merge it into its model with "
          + "PEFT's merge_and_unload() and use that")
    }
    for (key, _, kinds) in informative {
      guard let given = object[key], !kinds.contains(given.kind) else { continue }
      throw wrong(
        key, given, kinds.joined(separator: " or "), "write what PEFT writes, or remove the key")
    }
    return warnings
  }

  /// Whether a value switches a feature off: PEFT's default, or another way to say nothing.
  private static func isOff(_ given: JSONValue, _ neutral: JSONValue) -> Bool {
    if given == neutral || given == .null { return true }
    return neutral == .null && [[], [:], false].contains(given)
  }

  /// The initialisation that the factors can only be understood with; nil where they are all there is.
  private static func initialization(_ value: JSONValue) throws -> LoRAInitialization? {
    if plainInitializations.contains(value) { return nil }
    // PEFT takes this part out of the base again whenever it loads such a file.
    if value == "pissa" { return .pissa(iterations: nil) }
    if value.stringValue?.lowercased() == "olora" { return .olora }
    if let name = value.stringValue, movingInitializations.contains(where: { name.hasPrefix($0) }) {
      throw AdapterError(
        message: "init_lora_weights is \(text(value)): such an adapter is only the difference to a "
          + "changed base model, which is not in the file",
        hint: "save it with PEFT's save_pretrained(…, path_initial_model_for_weight_conversion=…), "
          + "which makes a plain adapter of it")
    }
    throw wrong(
      "init_lora_weights", value,
      plainInitializations.map { text($0) }.joined(separator: ", "),
      "if the tensors in the file are all there is to the adapter, write true")
  }

  static func missing(_ key: String, _ hint: String) -> AdapterError {
    AdapterError(message: "the key \(key) is missing", hint: hint)
  }

  static func wrong(
    _ key: String, _ value: JSONValue, _ expected: String, _ hint: String
  ) -> AdapterError {
    AdapterError(message: "\(key) is \(text(value)), expected \(expected)", hint: hint)
  }

  static func text(_ value: JSONValue) -> String { value.serialized(.python).shortened }
}
