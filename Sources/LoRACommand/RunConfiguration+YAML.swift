// A run's settings as YAML: the table of keys, reading with every error at once, and writing.

import Foundation
import LoRA
import LoRAJSON
import LoRATensor
import LoRAText
import LoRATraining
import Yams

/// A file of settings that cannot be used; lists everything that is wrong with it.
struct ConfigurationError: Error, CustomStringConvertible {
  let file: String
  let problems: [String]
  /// Whether the file is one of settings, so that the others can be judged too.
  var isOfKeys = false
  /// What is wrong beside it, so that all is mended in one go.
  var others: [String] = []

  var description: String {
    (problems.map { "\(file)\($0)" } + others).joined(separator: "\n")
  }
}

/// One key of the file.
struct Setting {
  let name: String
  /// Sets the value of a node; gives back what is expected where it has another type.
  let read: (inout RunConfiguration, Node) -> String?
  let text: (RunConfiguration) -> String
  /// Whether another value makes another adapter.
  var decides = true

  private static func quoted(_ value: String) -> String {
    JSONValue.string(value).serialized(.compact)
  }

  private static func isNull(_ node: Node) -> Bool { node.null != nil }

  /// A path is written whole: the file may be used from another folder.
  static func path(_ name: String, _ path: WritableKeyPath<RunConfiguration, String>) -> Setting {
    string(name, path, decides: false, text: { quoted($0.wholePath) })
  }

  static func optionalPath(
    _ name: String, _ path: WritableKeyPath<RunConfiguration, String?>, decides: Bool
  ) -> Setting {
    optional(name, path, "a text", decides: decides, text: { quoted($0.wholePath) }) {
      $0.scalar?.string
    }
  }

  static func string(
    _ name: String, _ path: WritableKeyPath<RunConfiguration, String>, decides: Bool = true,
    text: @escaping (String) -> String = quoted
  ) -> Setting {
    Setting(
      name: name,
      read: { run, node in
        guard let value = node.scalar?.string, !isNull(node) else { return "a text" }
        run[keyPath: path] = value
        return nil
      }, text: { text($0[keyPath: path]) }, decides: decides)
  }

  static func optional<Value>(
    _ name: String, _ path: WritableKeyPath<RunConfiguration, Value?>, _ expected: String,
    decides: Bool = true, text: @escaping (Value) -> String = { "\($0)" },
    parse: @escaping (Node) -> Value?
  ) -> Setting {
    Setting(
      name: name,
      read: { run, node in
        if isNull(node) {
          run[keyPath: path] = nil
          return nil
        }
        guard let value = parse(node) else { return expected + " or null" }
        run[keyPath: path] = value
        return nil
      }, text: { $0[keyPath: path].map(text) ?? "null" }, decides: decides)
  }

  static func optionalString(
    _ name: String, _ path: WritableKeyPath<RunConfiguration, String?>, decides: Bool = true
  ) -> Setting {
    optional(name, path, "a text", decides: decides, text: quoted) { $0.scalar?.string }
  }

  static func value<Value>(
    _ name: String, _ path: WritableKeyPath<RunConfiguration, Value>, _ expected: String,
    decides: Bool = true, text: @escaping (Value) -> String = { "\($0)" },
    parse: @escaping (Node) -> Value?
  ) -> Setting {
    Setting(
      name: name,
      read: { run, node in
        guard let value = parse(node) else { return expected }
        run[keyPath: path] = value
        return nil
      }, text: { text($0[keyPath: path]) }, decides: decides)
  }

  static func choice<Choice: CaseIterable & RawRepresentable<String>>(
    _ name: String, _ path: WritableKeyPath<RunConfiguration, Choice>, decides: Bool = true
  ) -> Setting {
    let choices = Choice.allCases.map(\.rawValue).joined(separator: ", ")
    return Setting(
      name: name,
      read: { run, node in
        guard let value = node.scalar.flatMap({ Choice(rawValue: $0.string) }) else {
          return "one of \(choices)"
        }
        run[keyPath: path] = value
        return nil
      }, text: { $0[keyPath: path].rawValue }, decides: decides)
  }
}

extension String {
  /// The path from the root, of what is there; other names stay as they are.
  fileprivate var wholePath: String {
    guard self != "-" else { return self }  // standard input
    let url = URL(fileURLWithPath: self)
    let above = url.deletingLastPathComponent().path
    return FileManager.default.fileExists(atPath: above) ? url.standardizedFileURL.path : self
  }
}

extension RunConfiguration {
  /// Every key, in the order of the resolved file.
  static var settings: [Setting] {
    [
      .path("model", \.model), .path("data", \.data), .path("output", \.output),
      .optionalPath("eval_data", \.evalData, decides: false),
      .optional("eval_split", \.evalSplit, "a number") { $0.float },
      .templateVariables,
      .value("rank", \.rank, "a whole number") { $0.int },
      .value("alpha", \.alpha, "a number") { $0.float },
      .value("dropout", \.dropout, "a number") { $0.float },
    ] + Setting.modules + Setting.variants + [
      .optionalPath("init_adapter", \.initAdapter, decides: true),
      .value("learning_rate", \.learningRate, "a number") { $0.float },
      .choice("lr_schedule", \.schedule),
      .value("warmup_ratio", \.warmupRatio, "a number") { $0.float },
      .optional("warmup_steps", \.warmupSteps, "a whole number") { $0.int },
      .value("weight_decay", \.weightDecay, "a number") { $0.float },
      .value("max_grad_norm", \.maxGradNorm, "a number") { $0.float },
      .value("epochs", \.epochs, "a number", text: \.shortText) { $0.float },
      .optional("max_steps", \.maxSteps, "a whole number") { $0.int },
      .value("batch_size", \.batchSize, "a whole number") { $0.int },
      .optional("max_length", \.maxLength, "a whole number") { $0.int },
      .choice("truncation", \.truncation),
      .optional(
        "template_date", \.templateDate, "a day like 2026-11-27", text: { "\"\($0)\"" }
      ) { $0.scalar.flatMap { TemplateDate($0.string) } },
      .value("seed", \.seed, "a whole number") { $0.int },
      .value("shuffle", \.shuffle, "true or false") { $0.bool },
      .choice("precision", \.precision),
      .optional("threads", \.threads, "a whole number", decides: false) { $0.int },
      .optional("memory_budget", \.memoryBudget, "a size like 600MB", decides: false) {
        $0.scalar.flatMap { ByteSize(argument: $0.string) }
      },
      .choice("base_weights", \.baseWeights, decides: false),
      .optional("save_steps", \.saveSteps, "a whole number", decides: false) { $0.int },
      .value("save_minutes", \.saveMinutes, "a number", decides: false) { $0.float },
      .optional("save_total_limit", \.saveTotalLimit, "a whole number", decides: false) { $0.int },
      .optional("eval_steps", \.evalSteps, "a whole number", decides: false) { $0.int },
      .optional("early_stopping_patience", \.earlyStoppingPatience, "a whole number") { $0.int },
      .value("eval_generate", \.evalGenerate, "true or false", decides: false) { $0.bool },
      .value("eval_generate_rows", \.evalGenerateRows, "a whole number", decides: false) { $0.int },
      .optionalString("eval_regex", \.evalRegex, decides: false),
      .value("report_answers", \.reportAnswers, "a whole number", decides: false) { $0.int },
      .optional("log_steps", \.logSteps, "a whole number", decides: false) { $0.int },
    ]
  }

  /// What a resumed run must share with the run that it goes on with.
  var decidingSettings: [(key: String, value: String)] {
    Self.settings.filter(\.decides).map { ($0.name, $0.text(self)) }
  }

  /// Every setting, and what the run was made of and with.
  func resolvedYAML(recorded: [(key: String, value: String)]) -> String {
    let lines = Self.settings.map { "\($0.name): \($0.text(self))\n" }
    let facts = recorded.map { "  \($0.key): \(JSONValue.string($0.value).serialized(.compact))\n" }
    return Self.resolvedHeader + ": `lora train --config` with this file repeats the run.\n"
      + lines.joined()
      + "# What it ran with; compared when the run is repeated.\n\(Self.recordKey):\n"
      + facts.joined()
  }

  private static let recordKey = "recorded"

  /// How the file of a run begins.
  static let resolvedHeader = "# Written by lora train"

  /// Takes the settings of a YAML file over the defaults.
  ///
  /// - Returns: the facts that an earlier run recorded.
  /// - Throws: `ConfigurationError` with everything that is wrong.
  mutating func apply(yaml text: String, file: String) throws -> [String: String] {
    let node: Node?
    do {
      node = try Yams.compose(yaml: text)
    } catch {
      throw ConfigurationError(
        file: file, problems: [": not YAML: \(error)\nhint: write lines like rank: 16"])
    }
    guard let mapping = node?.mapping else {
      throw ConfigurationError(
        file: file, problems: [": the file has no settings\nhint: write lines like rank: 16"])
    }
    let settings = Dictionary(uniqueKeysWithValues: Self.settings.map { ($0.name, $0) })
    var recorded: [String: String] = [:]
    var problems: [String] = []
    for (keyNode, value) in mapping {
      let key = keyNode.scalar?.string ?? "?"
      let place = keyNode.mark.map { ":\($0.line)" } ?? ""
      if key == Self.recordKey {
        for (name, fact) in value.mapping ?? [:] {
          recorded[name.scalar?.string ?? ""] = fact.scalar?.string
        }
      } else if let setting = settings[key] {
        if let expected = setting.read(&self, value) {
          let found = value.scalar.map { "\"\($0.string.shortened)\"" } ?? "a list or a mapping"
          problems.append("\(place): \(key) is \(found), expected \(expected)")
        }
      } else {
        let near =
          key.nearest(in: settings.keys.sorted())
          ?? key.replacing("-", with: "_").nearest(in: settings.keys.sorted())
        problems.append(
          "\(place): the key \(key.shortened) is unknown"
            + (ForeignNames.hint(for: key).map { "\nhint: \($0)" }
              ?? near.map { "; did you mean \($0)?" } ?? ""))
      }
    }
    guard problems.isEmpty else {
      throw ConfigurationError(file: file, problems: problems, isOfKeys: true)
    }
    return recorded
  }
}
