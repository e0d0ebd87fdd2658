// The parts of an adapter's configuration that name modules, layers, biases and tokens.

/// Modules by name or by pattern.
public enum ModuleNames: Sendable, Hashable {
  /// Modules whose path is one of these names or ends in "." and one of them; never a pattern.
  case names([String])
  /// Modules whose whole path the regular expression matches (Python's `re.fullmatch`).
  case pattern(String)
}

/// A choice of layers by their number in the stack.
public struct LayerSelection: Sendable, Hashable {
  /// The numbers, from 0.
  public var indices: [Int]
  /// What the lists of layers are called in the paths, like `layers` (regular expressions); with
  /// none, the first number in a path is the layer's.
  public var lists: [String]

  /// The layers with these numbers.
  public init(_ indices: [Int], lists: [String] = []) {
    self.indices = indices
    self.lists = lists
  }
}

/// Values for some of the modules: the first key that matches decides.
///
/// A key is a regular expression over the last parts of a path: `q_proj`, `self_attn\.q_proj`,
/// `layers\.[0-3]\..*`; with `^` in front it is over the whole.
public struct ModulePatterns<Value: Sendable & Hashable>: Sendable, Hashable,
  ExpressibleByDictionaryLiteral
{
  /// A key and its value.
  public struct Entry: Sendable, Hashable {
    /// The regular expression.
    public var key: String
    /// What the modules get.
    public var value: Value
  }

  /// The keys in the order in which they are asked.
  public private(set) var members: [Entry] = []

  /// No keys.
  public init() {}

  /// Keys in the order in which they are asked.
  public init(dictionaryLiteral elements: (String, Value)...) { self.init(elements) }

  /// Keys in the order in which they are asked.
  public init(_ entries: some Sequence<(String, Value)>) {
    members = entries.map { Entry(key: $0.0, value: $0.1) }
  }

  /// The keys with their values.
  public var entries: [(key: String, value: Value)] { members.map { ($0.key, $0.value) } }

  /// Whether there are no keys.
  public var isEmpty: Bool { members.isEmpty }
}

/// Which biases of a model are trained with an adapter.
public enum BiasTraining: String, Sendable, Hashable, CaseIterable {
  /// None.
  case none
  /// Every parameter called `bias`.
  case all
  /// The biases of the adapted layers.
  case adaptedLayers = "lora_only"
}

/// Rows of an embedding that are trained: new values for some tokens.
public struct TrainedTokens: Sendable, Hashable {
  /// The embedding, by the last parts of its path; without one, the input embedding.
  public var module: String?
  /// The tokens' numbers.
  public var indices: [Int]

  /// The tokens of an embedding.
  public init(_ indices: [Int], of module: String? = nil) {
    self.indices = indices
    self.module = module
  }
}
