// The functions every template sees: range, dict, namespace, raise_exception, strftime_now, …

import Foundation

enum TemplateGlobals {
  /// The global of a name, nil when there is none.
  static func value(_ name: String) throws -> TemplateValue? {
    switch name {
    case "range": .function(TemplateFunction(name, range))
    case "dict": .function(TemplateFunction(name, dict))
    case "namespace": .function(TemplateFunction(name, namespace))
    case "raise_exception": .function(TemplateFunction(name, raiseException))
    case "strftime_now": .function(TemplateFunction(name, strftimeNow))
    case "joiner": .function(TemplateFunction(name, joiner))
    case "cycler", "lipsum", "self": throw TemplateFault.unsupported("the global '\(name)'")
    default: nil
    }
  }

  private static func range(
    _ interpreter: TemplateInterpreter, _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let first = try arguments.requiredInteger()
    guard let second = arguments.next() else {
      return .range(try TemplateRange(start: 0, stop: first, step: 1))
    }
    guard let stop = second.integerValue else {
      throw TemplateFault.type("'\(second.typeName)' object cannot be interpreted as an integer")
    }
    return .range(
      try TemplateRange(start: first, stop: stop, step: arguments.integer(default: 1)))
  }

  /// `dict(mapping or pairs, **names)`.
  private static func dict(
    _ interpreter: TemplateInterpreter, _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    .dictionary(try dictionary(interpreter, &arguments))
  }

  private static func dictionary(
    _ interpreter: TemplateInterpreter, _ arguments: inout TemplateArguments
  ) throws -> TemplateDictionary {
    var pairs: [TemplateDictionary.Entry] = []
    switch arguments.next() {
    case nil: break
    case .dictionary(let dictionary)?: pairs = dictionary.entries
    case let source?:
      for pair in try interpreter.elements(of: source) {
        let parts = try interpreter.elements(of: pair)
        guard parts.count == 2 else {
          throw TemplateFault.type("dict() needs pairs, got one of length \(parts.count)")
        }
        pairs.append((parts[0], parts[1]))
      }
    }
    pairs += arguments.restNamed().map { (.string($0.name), $0.value) }
    return try TemplateDictionary(pairs)
  }

  private static func namespace(
    _ interpreter: TemplateInterpreter, _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let namespace = try interpreter.makeNamespace()
    for (key, value) in try dictionary(interpreter, &arguments).entries {
      guard let name = key.stringValue else {
        throw TemplateFault.unsupported("a namespace with keys that are not strings")
      }
      try checkNamespaceName(name)
      namespace[name] = value
    }
    return .namespace(namespace)
  }

  /// transformers refuses names with a leading underscore in namespaces.
  static func checkNamespaceName(_ name: String) throws {
    if name.hasPrefix("_") {
      throw TemplateFault(
        "a namespace cannot store the underscore-prefixed attribute '\(name)'",
        hint: "Rename the attribute.")
    }
  }

  private static func raiseException(
    _ interpreter: TemplateInterpreter, _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    throw TemplateFault(
      "the template refuses this conversation: \(try arguments.required("message").text())",
      hint: "Change the messages to what the model's template allows.")
  }

  private static func joiner(
    _ interpreter: TemplateInterpreter, _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let separator = arguments.next("sep") ?? .string(", ")
    var isUsed = false
    return .function(
      TemplateFunction("joiner()", of: separator) { _, _ in
        defer { isUsed = true }
        return isUsed ? separator : .string("")
      })
  }

  // MARK: Time

  private static func strftimeNow(
    _ interpreter: TemplateInterpreter, _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let now = interpreter.now ?? Date().timeIntervalSince1970
    return .string(try format(arguments.requiredString("format"), now))
  }

  /// The local time as Python's `datetime.strftime` writes it.
  static func format(_ format: String, _ seconds: TimeInterval) throws -> String {
    // A naive datetime has no time zone; microseconds are Python's own.
    let whole = seconds.rounded(.down)
    let microseconds = String(Int((seconds - whole) * 1e6))
    var pattern = ""
    var scalars = format.unicodeScalars.makeIterator()
    while let scalar = scalars.next() {
      pattern.unicodeScalars.append(scalar)
      guard scalar == "%" else { continue }
      switch scalars.next() {
      case "f":
        pattern.unicodeScalars.removeLast()
        pattern += String(repeating: "0", count: 6 - microseconds.count) + microseconds
      case "z", "Z": pattern.unicodeScalars.removeLast()
      case nil: pattern += "%"
      case let letter?: pattern.unicodeScalars.append(letter)
      }
    }
    guard !pattern.isEmpty else { return "" }
    guard pattern.utf8.count <= 1024, !pattern.utf8.contains(0) else {
      throw TemplateFault.limit("a time format of more than 1024 bytes or with a NUL")
    }
    var time = time_t(whole)
    var parts = tm()
    localtime_r(&time, &parts)
    var buffer = [CChar](repeating: 0, count: 65_536)
    let length = strftime(&buffer, buffer.count, pattern, &parts)
    return String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
