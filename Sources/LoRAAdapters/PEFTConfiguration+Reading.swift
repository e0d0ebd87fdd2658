// Reads adapter_config.json strictly: what is not computed is refused by name, never skipped.

import LoRAFormats
import LoRAJSON
import LoRANN

extension PEFTConfiguration {
  /// The configuration in the file.
  ///
  /// - Throws: `ModelFileError` where the file cannot be read, `AdapterError` where it says something
  ///   that this version does not know or do.
  static func read(_ path: String) throws -> LoRAConfiguration {
    let file = try MappedFile(path: path)
    do {
      let value: JSONValue
      do {
        value = try JSONValue(parsing: file.bytes)
      } catch let error as JSONError {
        throw AdapterError(
          message: "line \(error.line), column \(error.column): \(error.message)", hint: error.hint)
      }
      guard let object = value.objectValue else {
        throw AdapterError(
          message: "this is \(value.kind), not an object",
          hint: "an adapter_config.json of PEFT is one JSON object")
      }
      return try configuration(object)
    } catch let error as AdapterError {
      throw error.about(path)
    }
  }

  private static func configuration(_ object: JSONObject) throws -> LoRAConfiguration {
    try checkKind(object)
    try checkKeys(object)
    try checkInitialization(object["init_lora_weights"] ?? true)
    let rank = try rank(object)
    let alpha = try number(
      object, "lora_alpha", fallback: nil, hint: "PEFT's scale is lora_alpha / r")
    let dropout = try number(
      object, "lora_dropout", fallback: 0, hint: "0.0 is no dropout")
    var configuration = LoRAConfiguration(rank: rank, alpha: alpha, dropout: dropout)
    configuration.targets = try targets(object)
    configuration.baseModel = try optionalString(object, "base_model_name_or_path")
    if let value = object["use_rslora"] {
      guard let isStabilized = value.boolValue else {
        throw wrong("use_rslora", value, "true or false", "false is PEFT's default")
      }
      configuration.isRankStabilized = isStabilized
    }
    do {
      try configuration.validate()
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

  private static func checkKeys(_ object: JSONObject) throws {
    let known = Set(allKeys)
    for key in object.keys where !known.contains(key) {
      let near = key.nearest(in: allKeys)
      throw AdapterError(
        message: "the key \"\(key.shortened)\" is unknown",
        hint: near.map { "did you mean \"\($0)\"?" }
          ?? "PEFT \(version) has no such key: remove it if the adapter does not depend on it")
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
  }

  /// Whether a value switches a feature off: PEFT's default, or another way to say nothing.
  private static func isOff(_ given: JSONValue, _ neutral: JSONValue) -> Bool {
    if given == neutral || given == .null { return true }
    return neutral == .null && [[], [:], false].contains(given)
  }

  private static func checkInitialization(_ value: JSONValue) throws {
    guard !plainInitializations.contains(value) else { return }
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

  private static func rank(_ object: JSONObject) throws -> Int {
    let hint = "it is the number of rows of every lora_A"
    guard let value = object["r"] else { throw missing("r", hint) }
    guard let rank = value.integerValue else { throw wrong("r", value, "a whole number", hint) }
    guard rank >= 1 else { throw wrong("r", value, "at least 1", hint) }
    return rank
  }

  private static func number(
    _ object: JSONObject, _ key: String, fallback: Float?, hint: String
  ) throws -> Float {
    guard let value = object[key] else {
      guard let fallback else { throw missing(key, hint) }
      return fallback
    }
    guard let number = value.numberValue, Float(number).isFinite else {
      throw wrong(key, value, "a number", hint)
    }
    return Float(number)
  }

  private static func optionalString(_ object: JSONObject, _ key: String) throws -> String? {
    guard let value = object[key], value != .null else { return nil }
    guard let string = value.stringValue else {
      throw wrong(key, value, "a string or null", "it names the model and may be null")
    }
    return string
  }

  private static func targets(_ object: JSONObject) throws -> TargetModules {
    let hint = "list the ends of the paths of the adapted layers, like [\"q_proj\", \"v_proj\"]"
    guard let value = object["target_modules"], value != .null else {
      throw missing("target_modules", hint)
    }
    if let pattern = value.stringValue {
      guard pattern.lowercased() != "all-linear" else { return .allLinear }
      throw AdapterError(
        message: "target_modules is \(text(value)): regular expressions are not supported by this "
          + "version", hint: hint)
    }
    guard let elements = value.arrayValue else {
      throw wrong("target_modules", value, "a list of strings", hint)
    }
    let names = try elements.map { element in
      guard let name = element.stringValue else {
        throw AdapterError(
          message: "target_modules has the element \(text(element)), expected strings", hint: hint)
      }
      return name
    }
    return .names(names)
  }

  private static func missing(_ key: String, _ hint: String) -> AdapterError {
    AdapterError(message: "the key \(key) is missing", hint: hint)
  }

  private static func wrong(
    _ key: String, _ value: JSONValue, _ expected: String, _ hint: String
  ) -> AdapterError {
    AdapterError(message: "\(key) is \(text(value)), expected \(expected)", hint: hint)
  }

  private static func text(_ value: JSONValue) -> String { value.serialized(.python).shortened }
}
