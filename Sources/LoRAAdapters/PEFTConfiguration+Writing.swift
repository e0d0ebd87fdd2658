// Writes adapter_config.json as PEFT writes it, byte for byte.

import LoRAJSON

extension PEFTConfiguration {
  /// The text of the file: every key, sorted, two spaces, nothing but ASCII, no last newline.
  package static func text(of configuration: LoRAConfiguration) -> String {
    var object = JSONObject()
    for (key, value) in read { object[key] = value }
    for (key, value, _) in informative { object[key] = value }
    for (key, value, _) in neutral { object[key] = value }
    object["base_model_name_or_path"] = configuration.baseModel.map(JSONValue.string) ?? .null
    object["lora_alpha"] = wholeIfPossible(configuration.alpha ?? Float(configuration.rank))
    object["lora_dropout"] = .number(shortest(configuration.dropout))
    object["r"] = .integer(configuration.rank)
    object["target_modules"] = value(configuration.targets)
    object["task_type"] = "CAUSAL_LM"
    object["use_rslora"] = .bool(configuration.isRankStabilized)
    object["ensure_weight_tying"] = .bool(configuration.ensuresWeightTying)
    object["use_dora"] = .bool(configuration.usesDoRA)
    object["lora_bias"] = .bool(configuration.hasBiasOfB)
    object["exclude_modules"] = configuration.excluded.map(value) ?? .null
    object["layers_to_transform"] = list(configuration.layers?.indices.map(JSONValue.integer))
    object["layers_pattern"] = list(configuration.layers?.lists.map(JSONValue.string))
    object["rank_pattern"] = .object(
      JSONObject(configuration.rankPattern.entries.map { ($0.key, .integer($0.value)) }))
    object["alpha_pattern"] = .object(
      JSONObject(configuration.alphaPattern.entries.map { ($0.key, wholeIfPossible($0.value)) }))
    object["bias"] = .string(configuration.biases.rawValue)
    object["modules_to_save"] = list(configuration.modulesToSave.map(JSONValue.string))
    object["trainable_token_indices"] = value(configuration.trainedTokens)
    var style = JSONStyle.indented(2)
    style.sortKeys = true
    style.ensureASCII = true
    return JSONValue.object(object).serialized(style)
  }

  private static func value(_ targets: TargetModules) -> JSONValue {
    switch targets {
    case .allLinear: "all-linear"
    case .names(let names): value(ModuleNames.names(names))
    case .pattern(let text): value(ModuleNames.pattern(text))
    }
  }

  private static func value(_ modules: ModuleNames) -> JSONValue {
    switch modules {
    case .names(let names): .array(names.map(JSONValue.string))
    case .pattern(let text): .string(text)
    }
  }

  private static func value(_ tokens: [TrainedTokens]) -> JSONValue {
    if tokens.count == 1, tokens[0].module == nil {
      return .array(tokens[0].indices.map(JSONValue.integer))
    }
    guard !tokens.isEmpty else { return .null }
    return .object(
      JSONObject(
        tokens.map { ($0.module ?? "embed_tokens", .array($0.indices.map(JSONValue.integer))) }))
  }

  /// PEFT writes null for a list that was not given.
  private static func list(_ values: [JSONValue]?) -> JSONValue {
    guard let values, !values.isEmpty else { return .null }
    return .array(values)
  }

  private static func wholeIfPossible(_ value: Float) -> JSONValue {
    Int(exactly: value).map(JSONValue.integer) ?? .number(shortest(value))
  }

  /// The double with the fewest digits that is this float: 0.05 rather than 0.05000000074505806.
  private static func shortest(_ value: Float) -> Double {
    Double(value.description) ?? Double(value)
  }
}
