// Writes adapter_config.json as PEFT writes it, byte for byte.

import LoRAJSON

extension PEFTConfiguration {
  /// The text of the file: every key, sorted, two spaces, nothing but ASCII, no last newline.
  static func text(of configuration: LoRAConfiguration, targets: [String]) -> String {
    var object = JSONObject()
    for (key, value) in read { object[key] = value }
    for (key, value, _) in informative { object[key] = value }
    for (key, value, _) in neutral { object[key] = value }
    object["base_model_name_or_path"] = configuration.baseModel.map(JSONValue.string) ?? .null
    object["lora_alpha"] = wholeIfPossible(configuration.alpha ?? Float(configuration.rank))
    object["lora_dropout"] = .number(shortest(configuration.dropout))
    object["r"] = .integer(configuration.rank)
    object["target_modules"] = .array(targets.map(JSONValue.string))
    object["task_type"] = "CAUSAL_LM"
    object["use_rslora"] = .bool(configuration.isRankStabilized)
    var style = JSONStyle.indented(2)
    style.sortKeys = true
    style.ensureASCII = true
    return JSONValue.object(object).serialized(style)
  }

  private static func wholeIfPossible(_ value: Float) -> JSONValue {
    Int(exactly: value).map(JSONValue.integer) ?? .number(shortest(value))
  }

  /// The double with the fewest digits that is this float: 0.05 rather than 0.05000000074505806.
  private static func shortest(_ value: Float) -> Double {
    Double(value.description) ?? Double(value)
  }
}
