// Filters for strings; other values are turned into strings first, as in Jinja.

extension TemplateFilters {
  static let strings: [String: Filter] = [
    "string": { _, value, _ in try mapped(value) { $0 } },
    "upper": { _, value, _ in try mapped(value) { $0.pythonUppercased() } },
    "lower": { _, value, _ in try mapped(value) { $0.pythonLowercased() } },
    "capitalize": { _, value, _ in try mapped(value) { $0.pythonCapitalized() } },
    "title": { _, value, _ in try mapped(value, title) },
    "trim": { _, value, arguments in
      let characters = try arguments.optionalString("chars")
      return try mapped(value) { $0.pythonStripped(characters) }
    },
    "center": { _, value, arguments in
      let width = try arguments.integer("width", default: 80)
      return try mapped(value) { try $0.pythonCentered(width, " ") }
    },
    "wordcount": { _, value, _ in .integer(wordCount(try value.text())) },
    "replace": replace, "indent": indent, "truncate": truncate,
    "format": format,
    "safe": { _, value, _ in .markup(try value.text()) },
    "escape": escape, "e": escape,
  ]

  /// Changes the text of a value; safe text stays safe.
  private static func mapped(
    _ value: TemplateValue, _ change: (String) throws -> String
  ) throws -> TemplateValue {
    if case .markup(let text) = value { return .markup(try change(text)) }
    return .string(try change(value.text()))
  }

  /// A capital after white space and after any of -({[<, the rest lower case.
  private static func title(_ text: String) -> String {
    var result = ""
    var word = ""
    func finish() {
      if let first = word.unicodeScalars.first {
        result += String(first).pythonUppercased()
        result += String(scalars: word.unicodeScalars.dropFirst()).pythonLowercased()
      }
      word = ""
    }
    for scalar in text.unicodeScalars {
      if scalar.isPythonSpace || ["-", "(", "{", "[", "<"].contains(scalar) {
        finish()
        result.unicodeScalars.append(scalar)
      } else {
        word.unicodeScalars.append(scalar)
      }
    }
    finish()
    return result
  }

  private static func wordCount(_ text: String) -> Int {
    var count = 0
    var inWord = false
    for scalar in text.unicodeScalars {
      let isWord = scalar == "_" || scalar.isPythonAlphanumeric
      if isWord, !inWord { count += 1 }
      inWord = isWord
    }
    return count
  }

  private static func replace(
    _: TemplateInterpreter, _ value: TemplateValue, _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let old = try arguments.required("old").text()
    let new = try arguments.required("new").text()
    var limit = Int.max
    if let count = arguments.next("count") {
      switch count {
      case .none: break
      default:
        guard let number = count.integerValue else {
          throw TemplateFault.type("replace: the count must be an int, not \(count.typeName)")
        }
        if number >= 0 { limit = number }
      }
    }
    return .string(try value.text().pythonReplacing(old, with: new, limit: limit))
  }

  private static func indent(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue,
    _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    guard let text = value.stringValue else {
      if case .undefined(let undefined) = value { throw undefined.fault }
      throw TemplateFault.type("indent: the value must be str, not \(value.typeName)")
    }
    let indentation: String
    switch arguments.next("width") {
    case nil: indentation = "    "
    case .string(let text)?: indentation = text
    case let width?:
      guard let count = width.integerValue, count <= 10_000 else {
        throw TemplateFault.type("indent: the width must be a small int or a str")
      }
      indentation = String(repeating: " ", count: max(0, count))
    }
    let indentsFirst = arguments.truth("first")
    let indentsBlank = arguments.truth("blank")
    let lines = (text + "\n").pythonLines()
    try TemplateLimits.check(text.utf8.count, plus: lines.count, times: indentation.utf8.count)
    var result = indentsFirst ? indentation : ""
    for (place, line) in lines.enumerated() {
      if place > 0 {
        result += "\n"
        if indentsBlank || !line.isEmpty { result += indentation }
      }
      result += line
    }
    return try mapped(value) { _ in result }
  }

  private static func truncate(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue,
    _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let length = try arguments.integer("length", default: 255)
    let cutsWords = arguments.truth("killwords")
    let end = try arguments.optionalString("end") ?? "..."
    let leeway = try arguments.integer("leeway", default: 5)
    guard length >= end.pythonCount, leeway >= 0 else {
      throw TemplateFault.type("truncate: the length or leeway is too small")
    }
    let (limit, over) = length.addingReportingOverflow(leeway)
    if try over || interpreter.length(of: value) <= limit { return value }
    guard case .string(let text) = value else {
      throw TemplateFault.type("truncate: the value must be str, not \(value.typeName)")
    }
    let kept = String(scalars: text.unicodeScalars.prefix(length - end.pythonCount))
    if cutsWords { return .string(kept + end) }
    return .string(kept.pythonSplit(" ", limit: 1, fromRight: true)[0] + end)
  }

  private static func format(
    _: TemplateInterpreter, _ value: TemplateValue, _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    if case .markup = value { throw TemplateFault.unsupported("'format' of a safe string") }
    let named = arguments.restNamed()
    let positional = arguments.rest()
    if !named.isEmpty, !positional.isEmpty {
      throw TemplateFault.type("format: positional or named arguments, not both")
    }
    let values: TemplateValue =
      named.isEmpty
      ? try .tuple(positional)
      : .dictionary(try TemplateDictionary(named.map { (.string($0.name), $0.value) }))
    return .string(try PercentFormat.format(value.text(), values))
  }

  private static func escape(
    _: TemplateInterpreter, _ value: TemplateValue, _: inout TemplateArguments
  ) throws -> TemplateValue {
    if case .markup = value { return value }
    return .markup(try value.text().htmlEscaped())
  }
}

extension Unicode.Scalar {
  /// Python's `str.isalnum` of one character.
  var isPythonAlphanumeric: Bool { isPythonAlphabetic || properties.numericType != nil }

  /// Python's `str.isalpha` of one character: a letter of any category.
  var isPythonAlphabetic: Bool {
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      true
    default: false
    }
  }
}
