// What to do about a row that has not all keys of its form, or the keys of another tool.

import LoRAJSON

extension DataFormat {
  /// A row of the form, for people to copy.
  var example: String {
    switch self {
    case .messages:
      #"{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}"#
    case .conversations:
      #"{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}"#
    case .promptCompletion: #"{"prompt": "…", "completion": "…"}"#
    case .instruction: #"{"instruction": "…", "output": "…"}, with "input" if need be"#
    case .text: #"{"text": "…"}"#
    }
  }
}

extension Row {
  /// What to do with a line that is no object.
  static func hint(for line: String) -> String {
    if line.contains("\r") {
      return
        "the lines end in a carriage return alone: tr '\\r' '\\n' < FILE > rows.jsonl mends that"
    }
    if line == "{" { return "write one object a line: jq -c . does that" }
    return "every line is one JSON object, like {\"prompt\": \"…\", \"completion\": \"…\"}"
  }

  /// A key that the row's form needs: what the row resembles, and what it lacks.
  static func missing(_ key: String, in object: JSONObject, _ format: DataFormat) -> DataError {
    let present = format.keys.filter { object[$0] != nil }
    let form = "a row with \(present.joined(separator: ", ")) is of the form \(format.rawValue)"
    return DataError(
      message: "the key \(key) is missing (\(form))",
      hint: preferenceHint(object) ?? renaming(to: [key], in: object)
        ?? "add it: rows of this form are \(format.example)")
  }

  /// A row with none of the known keys.
  static func unknown(_ object: JSONObject) -> DataError {
    guard !object.isEmpty else {
      return DataError(message: "the row is empty", hint: allForms)
    }
    let known = DataFormat.allCases.flatMap(\.keys)
    let near = object.keys.lazy.compactMap { key in
      key.nearest(in: known).map { "did you mean \"\($0)\" instead of \"\(key.shortened)\"? " }
    }.first
    let list = object.first { $0.value.arrayValue?.first?.objectValue != nil }?.key
    let hint =
      if let hint = preferenceHint(object) {
        hint
      } else if let hint = renaming(to: ["prompt", "completion"], in: object) {
        hint
      } else if let near {
        near + allForms
      } else if object.count == 1, let list {
        "write its rows one a line: jq -c '.\"\(list)\"[]' FILE > rows.jsonl does that"
      } else {
        allForms
      }
    return DataError(
      message: "the row has none of the known keys, only "
        + object.keys.map(\.shortened).listed(atMost: 6), hint: hint)
  }

  private static let allForms =
    "rows have messages, or prompt and completion, or instruction and output, or text"

  /// What other tools call the keys.
  private static let otherNames = [
    "prompt": ["question", "query", "input", "user", "context"],
    "completion": ["response", "answer", "output", "target", "assistant", "label", "reply"],
    "instruction": ["input", "question", "query"],
    "output": ["response", "answer", "completion", "target", "reply"],
  ]

  /// Renames that give the row these keys; nil where it has nothing that could be each of them.
  private static func renaming(to keys: [String], in object: JSONObject) -> String? {
    var names = keys.compactMap { key in
      (otherNames[key]?.first { object[$0] != nil }).map { "\($0) to \(key)" }
    }
    guard names.count == keys.count else { return nil }
    if keys == ["output"], object["input"] == nil, let passage = object.keys.first(where: isPassage)
    {
      names.append("\(passage.shortened) to input")
    }
    return "rename " + names.joined(separator: " and ")
  }

  private static func preferenceHint(_ object: JSONObject) -> String? {
    let pairs = [("chosen", "rejected"), ("preferred_output", "non_preferred_output")]
    guard let (good, bad) = pairs.first(where: { object[$0.0] != nil && object[$0.1] != nil })
    else { return nil }
    return
      "rows with \(good) and \(bad) are for preference training, which there is not; to learn "
      + "the \(good) answers, rename \(good) to completion and remove \(bad)"
  }
}
