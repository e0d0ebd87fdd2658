// The single fields of an adapter_config.json, each with its type and its error.

package import LoRAJSON

/// Reads the fields of a configuration that says something about what the adapter computes.
package struct PEFTFields {
  private let object: JSONObject

  package init(_ object: JSONObject) { self.object = object }

  /// The value of a key; nil where it is absent or null.
  private func value(_ key: String) -> JSONValue? {
    guard let value = object[key], value != .null else { return Optional.none }
    return value
  }

  func rank(_ key: String) throws -> Int {
    let hint = "it is the number of rows of every lora_A"
    guard let value = object[key] else { throw PEFTConfiguration.missing(key, hint) }
    return try rank(value, key, hint)
  }

  private func rank(_ value: JSONValue, _ key: String, _ hint: String) throws -> Int {
    guard let rank = value.integerValue else {
      throw PEFTConfiguration.wrong(key, value, "a whole number", hint)
    }
    guard rank >= 1 else { throw PEFTConfiguration.wrong(key, value, "at least 1", hint) }
    return rank
  }

  func number(_ key: String, _ hint: String) throws -> Float {
    guard let value = object[key] else { throw PEFTConfiguration.missing(key, hint) }
    return try number(value, key, hint)
  }

  private func number(_ value: JSONValue, _ key: String, _ hint: String) throws -> Float {
    guard let number = value.numberValue, Float(number).isFinite else {
      throw PEFTConfiguration.wrong(key, value, "a number", hint)
    }
    return Float(number)
  }

  func string(_ key: String, _ hint: String) throws -> String? {
    guard let value = value(key) else { return nil }
    guard let string = value.stringValue else {
      throw PEFTConfiguration.wrong(key, value, "a string or null", hint)
    }
    return string
  }

  func bool(_ key: String) throws -> Bool {
    guard let value = object[key] else { return false }
    guard let flag = value.boolValue else {
      throw PEFTConfiguration.wrong(key, value, "true or false", "false is PEFT's default")
    }
    return flag
  }

  /// A list of names that are not empty.
  package func strings(_ key: String) throws -> [String]? {
    guard let value = value(key), value != false, value != [:] else { return nil }
    let hint = "list the last parts of paths, like [\"q_proj\", \"v_proj\"]"
    guard let elements = value.arrayValue else {
      throw PEFTConfiguration.wrong(key, value, "a list of strings", hint)
    }
    return try elements.map { element in
      guard let name = element.stringValue, !name.isEmpty else {
        throw AdapterError(
          message: "\(key) has the element \(PEFTConfiguration.text(element)), expected strings"
            + (element == "" ? " that are not empty" : ""), hint: hint)
      }
      return name
    }
  }

  package func targets(_ key: String) throws -> TargetModules {
    switch try moduleNames(key) {
    case .names(let names): return .names(names)
    case .pattern(let text): return text.lowercased() == "all-linear" ? .allLinear : .pattern(text)
    case nil:
      throw PEFTConfiguration.missing(
        key, "list the ends of the paths of the adapted layers, like [\"q_proj\", \"v_proj\"]")
    }
  }

  /// Names or a pattern; an empty list of what to exclude says nothing.
  package func moduleNames(_ key: String) throws -> ModuleNames? {
    if let text = value(key)?.stringValue {
      guard !text.isEmpty else {
        throw PEFTConfiguration.wrong(
          key, "", "a list of names or a regular expression", "remove the key, or write null")
      }
      return .pattern(text)
    }
    guard let names = try strings(key) else { return nil }
    return names.isEmpty && key != "target_modules" ? nil : .names(names)
  }

  package func layers() throws -> LayerSelection? {
    let key = "layers_to_transform"
    let hint = "give the numbers of the layers, from 0, like [0, 1]"
    let lists: [String]
    if let text = value("layers_pattern")?.stringValue {
      lists = text.isEmpty ? [] : [text]
    } else {
      lists = try strings("layers_pattern") ?? []
    }
    guard let value = value(key), value != [], value != false, value != [:] else {
      guard lists.isEmpty else {
        throw AdapterError(
          message: "layers_pattern is \(PEFTConfiguration.text(object["layers_pattern"] ?? .null)) "
            + "without layers_to_transform", hint: hint)
      }
      return nil
    }
    let indices = try (value.arrayValue ?? [value]).map { element in
      guard let index = element.integerValue, index >= 0 else {
        throw PEFTConfiguration.wrong(key, value, "whole numbers from 0", hint)
      }
      return index
    }
    return LayerSelection(indices, lists: lists)
  }

  package func ranks(_ key: String) throws -> ModulePatterns<Int> {
    try patterns(key) { try rank($0, $1, "it is the number of rows of these layers' lora_A") }
  }

  package func alphas(_ key: String) throws -> ModulePatterns<Float> {
    try patterns(key) { try number($0, $1, "PEFT's scale is alpha / r") }
  }

  private func patterns<Value>(
    _ key: String, _ read: (JSONValue, String) throws -> Value
  ) throws -> ModulePatterns<Value> {
    guard let value = value(key), value != [], value != false else { return ModulePatterns() }
    guard let members = value.objectValue else {
      throw PEFTConfiguration.wrong(
        key, value, "an object", "its keys are patterns, like {\"q_proj\": 16}; {} is none")
    }
    return ModulePatterns(
      try members.map { ($0.key, try read($0.value, "\(key)[\"\($0.key.shortened)\"]")) })
  }

  func biases(_ key: String) throws -> BiasTraining {
    guard let value = value(key) else { return .none }
    guard let choice = value.stringValue.flatMap(BiasTraining.init) else {
      throw PEFTConfiguration.wrong(
        key, value, "\"none\", \"all\" or \"lora_only\"", "\"none\" is PEFT's default")
    }
    return choice
  }

  func trainedTokens(_ key: String) throws -> [TrainedTokens] {
    guard let value = value(key), value != [], value != [:], value != false else { return [] }
    let hint = "give the tokens' numbers, like [5, 6] or {\"embed_tokens\": [5, 6]}"
    func indices(_ list: JSONValue) throws -> [Int] {
      guard let elements = list.arrayValue,
        let indices = Optional(elements.compactMap(\.integerValue)),
        indices.count == elements.count, indices.allSatisfy({ $0 >= 0 })
      else { throw PEFTConfiguration.wrong(key, value, "whole numbers from 0", hint) }
      return indices
    }
    guard let members = value.objectValue else { return [TrainedTokens(try indices(value))] }
    return try members.map { TrainedTokens(try indices($0.value), of: $0.key) }
  }
}
