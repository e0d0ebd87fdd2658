// Mistakes in options that the parser does not see: given twice, of which it would keep the last in
// silence, or called as in another tool.

import ArgumentParser
import LoRAJSON

/// What the parser knows of every verb's options, from its own description of itself.
struct DeclaredOptions {
  private struct Option {
    /// Whether a value follows.
    let takesValue: Bool
    /// Whether it may be given several times.
    let isRepeating: Bool
  }

  /// By the verb, then by the name after the dashes.
  private var options: [String: [String: Option]] = [:]

  /// - Parameter description: the JSON of `--experimental-dump-help`.
  init(description: String) {
    let command = (try? JSONValue(parsing: description))?.objectValue?["command"]?.objectValue
    for verb in command?["subcommands"]?.arrayValue ?? [] {
      guard let verb = verb.objectValue, let name = verb["commandName"]?.stringValue else {
        continue
      }
      for argument in verb["arguments"]?.arrayValue ?? [] {
        guard let argument = argument.objectValue else { continue }
        let option = Option(
          takesValue: argument["kind"]?.stringValue == "option",
          isRepeating: argument["isRepeating"]?.boolValue ?? false)
        for spelling in argument["names"]?.arrayValue ?? [] {
          guard let spelling = spelling.objectValue?["name"]?.stringValue else { continue }
          options[name, default: [:]][spelling] = option
        }
      }
    }
  }

  /// - Throws: `ValidationError` where an option that has one value has two, or has the name that it
  ///   has in another tool.
  func check(_ arguments: [String]) throws {
    guard let verb = arguments.first, let known = options[verb] else { return }
    var values: [String: String] = [:]
    var rest = arguments.dropFirst()
    while let argument = rest.popFirst(), argument != "--" {
      let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let spelling = String(parts[0].dropFirst(2))
      if argument.hasPrefix("--"), known[spelling] == nil, known["config"] != nil,
        let hint = ForeignNames.hint(for: spelling)
      {
        throw ValidationError(
          "\(parts[0]) is no option of lora \(verb)\nhint: \(hint) (flags have - for _)")
      }
      guard argument.hasPrefix("--"), let option = known[spelling],
        option.takesValue, let value = parts.count > 1 ? String(parts[1]) : rest.popFirst()
      else { continue }
      let name = String(parts[0])
      if !option.isRepeating, let earlier = values[name] {
        throw ValidationError(
          earlier == value
            ? "\(name) \(value.shortened) is given twice: give it once"
            : "\(name) is given twice, as \(earlier.shortened) and as \(value.shortened): give it once"
        )
      }
      values[name] = value
    }
  }
}
