// Variables for the chat template, as flags and as a key of the YAML file.

import ArgumentParser
import LoRAJSON
import LoRAText
import Yams

/// A variable and its value, written as NAME=VALUE.
struct TemplateVariable: ExpressibleByArgument {
  let name: String
  let value: JSONValue

  init?(argument: String) {
    guard let separator = argument.firstIndex(of: "="), separator != argument.startIndex else {
      return nil
    }
    name = String(argument[..<separator])
    value = Self.value(String(argument[argument.index(after: separator)...]))
  }

  /// JSON, or Python's spelling of a constant: as a text, "False" would be true. Else the text.
  static func value(_ text: String) -> JSONValue {
    let constants: [String: JSONValue] = ["True": true, "False": false, "None": nil]
    return constants[text] ?? (try? JSONValue(parsing: text)) ?? .string(text)
  }
}

/// The variables of the chat template.
struct TemplateFlags: ParsableArguments {
  @Option(
    name: .customLong("set"), parsing: .singleValue,
    help: ArgumentHelp(
      """
      A variable of the chat template, its value in JSON or as text: enable_thinking=false; may be \
      given several times.
      """, valueName: "name=value"))
  var list: [TemplateVariable] = []

  @Option(
    help: ArgumentHelp(
      "The day that it writes for today's, like 2026-11-27 (default: today; of a run, its first).",
      valueName: "date"))
  var templateDate: TemplateDate?

  func validate() throws {
    var names: Set<ScalarKey> = []
    for variable in list where !names.insert(ScalarKey(variable.name)).inserted {
      throw ValidationError("--set gives \(variable.name) twice")
    }
  }

  /// nil where none is given.
  var variables: JSONObject? {
    list.isEmpty ? nil : JSONObject(list.map { ($0.name, $0.value) })
  }
}

extension Setting {
  static var templateVariables: Setting {
    Setting(
      name: "template_variables",
      read: { run, node in
        guard case .object(let variables) = node.templateValue else {
          return "names with values, like {enable_thinking: false}"
        }
        run.templateVariables = variables
        return nil
      }, text: { JSONValue.object($0.templateVariables).serialized(.python) })
  }
}

extension Node {
  /// The node as a template gets it; quoted scalars are texts.
  fileprivate var templateValue: JSONValue {
    if let mapping {
      return .object(
        JSONObject(mapping.map { ($0.key.scalar?.string ?? "", $0.value.templateValue) }))
    }
    if let sequence { return .array(sequence.map(\.templateValue)) }
    let text = scalar?.string ?? ""
    guard scalar?.style == .plain else { return .string(text) }
    if null != nil { return .null }
    return bool.map(JSONValue.bool) ?? TemplateVariable.value(text)
  }
}
