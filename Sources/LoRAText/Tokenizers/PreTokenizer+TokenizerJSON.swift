// Which known rule a tokenizer.json's pre_tokenizer is: compared whole, never guessed.

import LoRAJSON

extension PreTokenizer {
  /// The name of the rule that a `pre_tokenizer` spells out.
  ///
  /// Throws `TokenizerError` naming the first part that is not known.
  static func name(tokenizerJSON value: JSONValue) throws -> String {
    let parts = try parts(value, "pre_tokenizer")
    if let known = spelled.first(where: { $0.parts == parts }) { return known.name }
    // Name the part that no rule has, or else the order that none has.
    for part in parts where !spelled.contains(where: { $0.parts.contains(part) }) {
      throw unknown("pre_tokenizer: \(part.description.shortened) is not known")
    }
    throw unknown(
      "pre_tokenizer: the sequence \(parts.map(\.description).joined(separator: ", ").shortened) is "
        + "not known")
  }

  /// The `pre_tokenizer` that spells out the rule of a name; nil where none of the known does.
  static func tokenizerJSON(of name: String) -> JSONValue? {
    // GGUF has several names for some of the rules.
    let aliases = [
      "starcoder": "smollm", "refact": "smollm", "command-r": "smollm", "llama3": "llama-bpe",
      "llama-v3": "llama-bpe",
    ]
    let name = aliases[name] ?? name
    guard let parts = spelled.first(where: { $0.name == name })?.parts else { return nil }
    let steps = parts.map { part -> JSONValue in
      switch part {
      case .gpt2: byteLevel(cuts: true)
      case .bytes: byteLevel(cuts: false)
      case .digits: ["type": "Digits", "individual_digits": true]
      case .split(let pattern):
        [
          "type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated",
          "invert": false,
        ]
      }
    }
    return steps.count == 1 ? steps[0] : ["type": "Sequence", "pretokenizers": .array(steps)]
  }

  /// Bytes as characters, as a step of any kind in tokenizer.json.
  static func byteLevel(cuts: Bool) -> JSONValue {
    [
      "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
      "use_regex": .bool(cuts),
    ]
  }

  private static func unknown(_ message: String) -> TokenizerError {
    TokenizerError(
      message: message,
      hint: "known are those of GPT-2, SmolLM2 (StarCoder), Llama 3 and Qwen2; guessing would "
        + "silently produce other tokens")
  }

  /// One step of a pre-tokenizer.
  private enum Part: Equatable, CustomStringConvertible {
    /// Cut by a regular expression; matches and what is between are pieces.
    case split(String)
    /// Every digit is a piece.
    case digits
    /// Bytes become characters, after GPT-2's expression has cut the text.
    case gpt2
    /// Bytes become characters; nothing is cut.
    case bytes

    var description: String {
      switch self {
      case .split(let pattern): "Split by \(pattern)"
      case .digits: "Digits"
      case .gpt2: "ByteLevel with use_regex"
      case .bytes: "ByteLevel without use_regex"
      }
    }
  }

  private static let spelled: [(parts: [Part], name: String)] = {
    let gpt2 = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    func llama3(_ numbers: String) -> String {
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + numbers
        + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }
    return [
      ([.gpt2], "gpt-2"),
      ([.split(gpt2), .bytes], "gpt-2"),
      ([.digits, .gpt2], "smollm"),
      ([.split(llama3(#"\p{N}{1,3}"#)), .bytes], "llama-bpe"),
      ([.split(llama3(#"\p{N}"#)), .bytes], "qwen2"),
    ]
  }()

  private static func parts(_ value: JSONValue, _ place: String) throws -> [Part] {
    guard let object = value.objectValue, let type = object["type"]?.stringValue else {
      throw unknown(
        value == .null ? "\(place) is null" : "\(place) is \(value.kind) without a type")
    }
    func check(_ neutral: JSONObject) throws {
      for (key, given) in object where key != "type" {
        guard let expected = neutral[key] else {
          throw unknown("\(place): \(type) has the unknown key \(key.shortened)")
        }
        guard given == expected else {
          throw unknown(
            "\(place): \(type) with \(key) \(given.serialized(.compact).shortened) is not supported"
          )
        }
      }
    }
    switch type {
    case "Sequence":
      guard let steps = object["pretokenizers"]?.arrayValue else {
        throw unknown("\(place): a Sequence without pretokenizers")
      }
      try check(["pretokenizers": .array(steps)])
      // One level is all that is written; deeper ones would be unbounded recursion.
      return try steps.enumerated().flatMap { i, step in
        let place = "\(place).pretokenizers[\(i)]"
        guard step.objectValue?["type"] != "Sequence" else {
          throw unknown("\(place): a Sequence in a Sequence")
        }
        return try parts(step, place)
      }
    case "ByteLevel":
      let cuts = object["use_regex"] ?? true
      guard let cutsByExpression = cuts.boolValue else {
        throw unknown("\(place): use_regex is \(cuts.kind)")
      }
      // trim_offsets is about where tokens lie in the text, not about which they are.
      try check([
        "use_regex": cuts, "add_prefix_space": false,
        "trim_offsets": object["trim_offsets"] ?? .null,
      ])
      guard object["add_prefix_space"] == false else {
        throw unknown("\(place): ByteLevel with add_prefix_space is not supported")
      }
      return [cutsByExpression ? .gpt2 : .bytes]
    case "Digits":
      try check(["individual_digits": true])
      guard object["individual_digits"] == true else {
        throw unknown("\(place): Digits without individual_digits is not supported")
      }
      return [.digits]
    case "Split":
      let pattern = object["pattern"] ?? .null
      guard let text = pattern.objectValue?["Regex"]?.stringValue else {
        throw unknown("\(place): a Split by something else than a Regex")
      }
      try check(["pattern": pattern, "behavior": "Isolated", "invert": false])
      guard object["behavior"] == "Isolated" else {
        throw unknown("\(place): a Split without behavior")
      }
      return [.split(text)]
    default:
      throw unknown("\(place): the type \(type.shortened) is not known")
    }
  }
}
