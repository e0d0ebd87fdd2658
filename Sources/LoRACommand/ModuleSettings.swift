// Which parts of a model a run trains: the settings behind --target-modules and its relatives.

import LoRA
import LoRAAdapters
import LoRAJSON
import Yams

/// Which parts of a model a run trains.
struct ModuleSettings {
  var targets = TargetModules.allLinear
  var excluded: ModuleNames?
  var layers: [Int] = []
  var layersPattern: [String] = []
  var rankPattern = ModulePatterns<Int>()
  var alphaPattern = ModulePatterns<Float>()
  var bias = BiasTraining.none
  var modulesToSave: [String] = []
  var trainableTokens: [Int] = []

  func apply(to configuration: inout LoRAConfiguration) {
    configuration.targets = targets
    configuration.excluded = excluded
    configuration.layers = layers.isEmpty ? nil : LayerSelection(layers, lists: layersPattern)
    configuration.rankPattern = rankPattern
    configuration.alphaPattern = alphaPattern
    configuration.biases = bias
    configuration.modulesToSave = modulesToSave
    configuration.trainedTokens = trainableTokens.isEmpty ? [] : [TrainedTokens(trainableTokens)]
  }
}

extension ModuleNames {
  /// What a person writes as one text: names with commas between them, or a regular expression,
  /// which is told by a character that no name has.
  init(text: String) {
    if text.contains(where: { "\\*+?()[]{}|^$".contains($0) }) {
      self = .pattern(text)
    } else {
      self = .names(text.commaSeparated)
    }
  }

  fileprivate init?(_ node: Node) {
    if let text = node.scalar?.string {
      self.init(text: text)
    } else if let names = node.strings {
      self = .names(names)
    } else {
      return nil
    }
  }

  fileprivate var text: String {
    switch self {
    case .names(let names): names.listText
    case .pattern(let pattern): JSONValue.string(pattern).serialized(.compact)
    }
  }
}

extension TargetModules {
  /// `all-linear`, names with commas between them, or a regular expression.
  init(text: String) { self.init(ModuleNames(text: text)) }

  fileprivate init(_ modules: ModuleNames) {
    switch modules {
    case .names(["all-linear"]): self = .allLinear
    case .names(let names): self = .names(names)
    case .pattern(let pattern): self = .pattern(pattern)
    }
  }

  fileprivate var text: String {
    switch self {
    case .allLinear: ModuleNames.names(["all-linear"]).text
    case .names(let names): ModuleNames.names(names).text
    case .pattern(let pattern): ModuleNames.pattern(pattern).text
    }
  }
}

extension String {
  /// The parts between the commas, without the spaces around them.
  var commaSeparated: [String] {
    split(separator: ",", omittingEmptySubsequences: false).map {
      String(
        $0.trimmingPrefix(while: \.isWhitespace).reversed().trimmingPrefix(while: \.isWhitespace)
          .reversed())
    }
  }
}

extension [String] {
  fileprivate var listText: String {
    "[" + map { JSONValue.string($0).serialized(.compact) }.joined(separator: ", ") + "]"
  }
}

extension Node {
  /// The texts of a list; nil where it is no list of texts, or an empty one.
  fileprivate var strings: [String]? {
    guard let elements = sequence, !elements.isEmpty else { return nil }
    let texts = elements.compactMap(\.scalar?.string)
    return texts.count == elements.count ? texts : nil
  }

  /// A whole number, or a list of them.
  fileprivate var integers: [Int]? {
    if let value = int { return [value] }
    guard let elements = sequence else { return nil }
    let values = elements.compactMap(\.int)
    return values.count == elements.count ? values : nil
  }

  /// The members of a mapping in its order, each key a text.
  fileprivate func members<Value>(_ read: (Node) -> Value?) -> [(String, Value)]? {
    guard let mapping else { return nil }
    let members = mapping.compactMap { key, value in
      key.scalar.flatMap { key in read(value).map { (key.string, $0) } }
    }
    return members.count == mapping.count ? members : nil
  }
}

extension Setting {
  private static func list<Value>(
    _ name: String, _ path: WritableKeyPath<RunConfiguration, [Value]>, _ expected: String,
    text: @escaping (Value) -> String, parse: @escaping (Node) -> [Value]?
  ) -> Setting {
    Setting(
      name: name,
      read: { run, node in
        if node.null != nil {
          run[keyPath: path] = []
          return nil
        }
        guard let values = parse(node) else { return expected }
        run[keyPath: path] = values
        return nil
      },
      text: { "[" + $0[keyPath: path].map(text).joined(separator: ", ") + "]" })
  }

  private static func patterns<Value>(
    _ name: String, _ path: WritableKeyPath<RunConfiguration, ModulePatterns<Value>>,
    _ expected: String, parse: @escaping (Node) -> Value?
  ) -> Setting {
    Setting(
      name: name,
      read: { run, node in
        guard let members = node.null != nil ? [] : node.members(parse) else { return expected }
        run[keyPath: path] = ModulePatterns(members)
        return nil
      },
      text: { run in
        let members = run[keyPath: path].entries.map {
          JSONValue.string($0.key).serialized(.compact) + ": \($0.value)"
        }
        return "{" + members.joined(separator: ", ") + "}"
      })
  }

  /// The keys of the parts of a model that are trained.
  static var modules: [Setting] {
    let names = "a name, a list of names or a regular expression"
    return [
      Setting(
        name: "target_modules",
        read: { run, node in
          guard let modules = ModuleNames(node) else { return names }
          run.modules.targets = TargetModules(modules)
          return nil
        }, text: { $0.modules.targets.text }),
      .optional("exclude_modules", \.modules.excluded, names, text: \.text) { ModuleNames($0) },
      .list(
        "layers_to_transform", \.modules.layers, "a list of whole numbers", text: { "\($0)" }
      ) { $0.integers },
      .list(
        "layers_pattern", \.modules.layersPattern, "a list of names",
        text: { JSONValue.string($0).serialized(.compact) }
      ) {
        $0.scalar.map { [$0.string] } ?? $0.strings ?? ($0.sequence?.isEmpty == true ? [] : nil)
      },
      .patterns("rank_pattern", \.modules.rankPattern, "a map of names to whole numbers") {
        $0.int
      },
      .patterns("alpha_pattern", \.modules.alphaPattern, "a map of names to numbers") {
        $0.float.map { Float($0) }
      },
      .choice("bias", \.modules.bias),
      .list(
        "modules_to_save", \.modules.modulesToSave, "a list of names",
        text: { JSONValue.string($0).serialized(.compact) }
      ) {
        $0.scalar.map { [$0.string] } ?? $0.strings ?? ($0.sequence?.isEmpty == true ? [] : nil)
      },
      .list(
        "trainable_tokens", \.modules.trainableTokens, "a list of whole numbers",
        text: { "\($0)" }
      ) { $0.integers },
    ]
  }
}
