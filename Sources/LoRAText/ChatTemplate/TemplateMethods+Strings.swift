// The methods of strings.

extension TemplateValue {
  typealias StringMethod =
    @Sendable (TemplateInterpreter, String, inout TemplateArguments) throws -> TemplateValue

  func stringMethod(_ name: String, _ text: String, isSafe: Bool) throws -> TemplateValue? {
    if let change = StringMethods.changing[name] {
      return .function(
        TemplateFunction(name) { _, arguments in
          let result = try change(text, &arguments)
          return isSafe ? .markup(result) : .string(result)
        })
    }
    if let method = StringMethods.asking[name] {
      return .function(TemplateFunction(name) { try method($0, text, &$1) })
    }
    if let method = StringMethods.plain[name] {
      if isSafe { throw TemplateFault.unsupported("the method '\(name)' of a safe string") }
      return .function(TemplateFunction(name) { try method($0, text, &$1) })
    }
    try refuse(name, of: StringMethods.refused)
    return nil
  }
}

private enum StringMethods {
  typealias Change = @Sendable (String, inout TemplateArguments) throws -> String

  static let refused: Set<String> = [
    "casefold", "encode", "expandtabs", "isidentifier", "isprintable", "istitle", "maketrans",
    "translate",
  ]

  /// Methods without a second text in play: safe text stays safe.
  static let changing: [String: Change] = [
    "upper": { text, _ in text.pythonUppercased() },
    "lower": { text, _ in text.pythonLowercased() },
    "title": { text, _ in text.pythonTitled() },
    "capitalize": { text, _ in text.pythonCapitalized() },
    "swapcase": { text, _ in text.pythonSwappedCase() },
    "strip": { text, arguments in text.pythonStripped(try arguments.optionalString()) },
    "lstrip": { text, arguments in
      text.pythonStripped(try arguments.optionalString(), right: false)
    },
    "rstrip": { text, arguments in
      text.pythonStripped(try arguments.optionalString(), left: false)
    },
    "zfill": { text, arguments in try text.pythonZeroFilled(arguments.requiredInteger()) },
  ]

  /// Methods that answer with a number or a truth value.
  static let asking: [String: TemplateValue.StringMethod] = [
    "startswith": { try edge($0, $1, &$2) { $0.pythonHasPrefix($1) } },
    "endswith": { try edge($0, $1, &$2) { $0.pythonHasSuffix($1) } },
    "find": { _, text, arguments in try place(text, &arguments, last: false) ?? .integer(-1) },
    "rfind": { _, text, arguments in try place(text, &arguments, last: true) ?? .integer(-1) },
    "index": { _, text, arguments in try placeOrFail(text, &arguments, last: false) },
    "rindex": { _, text, arguments in try placeOrFail(text, &arguments, last: true) },
    "count": { _, text, arguments in
      let part = try arguments.requiredString()
      try refuseBounds(&arguments)
      return .integer(text.pythonOccurrences(of: part))
    },
    "isalpha": { _, text, _ in .bool(text.isAll(\.isPythonAlphabetic)) },
    "isalnum": { _, text, _ in .bool(text.isAll(\.isPythonAlphanumeric)) },
    "isascii": { _, text, _ in .bool(text.utf8.allSatisfy { $0 < 0x80 }) },
    "isdecimal": { _, text, _ in .bool(text.isAll { $0.properties.numericType == .decimal }) },
    "isdigit": { _, text, _ in
      .bool(
        text.isAll {
          $0.properties.numericType == .decimal || $0.properties.numericType == .digit
        })
    },
    "isnumeric": { _, text, _ in .bool(text.isAll { $0.properties.numericType != nil }) },
    "isspace": { _, text, _ in .bool(text.isAll(\.isPythonSpace)) },
    "islower": { _, text, _ in .bool(text.isPythonLower) },
    "isupper": { _, text, _ in .bool(text.isPythonUpper) },
  ]

  static let plain: [String: TemplateValue.StringMethod] = [
    "split": { try split($0, $1, &$2, fromRight: false) },
    "rsplit": { try split($0, $1, &$2, fromRight: true) },
    "splitlines": { _, text, arguments in
      try .strings(text.pythonLines(keepEnds: arguments.truth("keepends")))
    },
    "partition": { try partition($1, &$2, last: false) },
    "rpartition": { try partition($1, &$2, last: true) },
    "replace": { _, text, arguments in
      let old = try arguments.requiredString()
      let new = try arguments.requiredString()
      let count = try arguments.integer(default: -1)
      return .string(
        try text.pythonReplacing(old, with: new, limit: count < 0 ? .max : count))
    },
    "removeprefix": { _, text, arguments in
      let part = try arguments.requiredString()
      return .string(
        text.pythonHasPrefix(part) ? String(Substring(text.utf8.dropFirst(part.utf8.count))) : text)
    },
    "removesuffix": { _, text, arguments in
      let part = try arguments.requiredString()
      return .string(
        text.pythonHasSuffix(part) ? String(Substring(text.utf8.dropLast(part.utf8.count))) : text)
    },
    "join": { interpreter, text, arguments in
      var result = ""
      for (place, element) in try interpreter.elements(of: arguments.required()).enumerated() {
        guard let part = element.stringValue else {
          throw TemplateFault.type(
            "sequence item \(place): expected str instance, \(element.typeName) found")
        }
        if place > 0 { result += text }
        result += part
        try TemplateLimits.check(result.utf8.count)
      }
      return .string(result)
    },
    "center": { _, text, arguments in
      let width = try arguments.requiredInteger()
      return .string(try text.pythonCentered(width, fill(&arguments)))
    },
    "ljust": { _, text, arguments in
      let width = try arguments.requiredInteger()
      return .string(try text.pythonPadded(right: width - text.pythonCount, fill(&arguments)))
    },
    "rjust": { _, text, arguments in
      let width = try arguments.requiredInteger()
      return .string(try text.pythonPadded(left: width - text.pythonCount, fill(&arguments)))
    },
    "format": { _, text, arguments in
      .string(
        try BraceFormat.format(
          text, positional: arguments.rest(), named: arguments.restNamed()))
    },
    "format_map": { _, text, arguments in
      guard case .dictionary(let dictionary) = try arguments.required() else {
        throw TemplateFault.unsupported("format_map() of anything but a dict")
      }
      let named = dictionary.entries.compactMap { entry in
        entry.key.stringValue.map { (name: $0, value: entry.value) }
      }
      return .string(try BraceFormat.format(text, positional: [], named: named))
    },
  ]

  private static func fill(_ arguments: inout TemplateArguments) throws -> Unicode.Scalar {
    let text = try arguments.optionalString() ?? " "
    guard let scalar = text.unicodeScalars.first, text.pythonCount == 1 else {
      throw TemplateFault.type("The fill character must be exactly one character long")
    }
    return scalar
  }

  private static func edge(
    _ interpreter: TemplateInterpreter, _ text: String, _ arguments: inout TemplateArguments,
    _ matches: (String, String) -> Bool
  ) throws -> TemplateValue {
    let wanted = try arguments.required()
    try refuseBounds(&arguments)
    if let part = wanted.stringValue { return .bool(matches(text, part)) }
    guard case .tuple(let list) = wanted else {
      if case .undefined(let undefined) = wanted { throw undefined.fault }
      throw TemplateFault.type(
        "\(arguments.callee): the argument must be str or a tuple of str, not \(wanted.typeName)")
    }
    return .bool(
      try list.elements.contains { part in
        guard let part = part.stringValue else {
          throw TemplateFault.type("tuple for \(arguments.callee) must only contain str")
        }
        return matches(text, part)
      })
  }

  private static func refuseBounds(_ arguments: inout TemplateArguments) throws {
    if arguments.next() != nil {
      throw TemplateFault.unsupported("\(arguments.callee) with a start or an end")
    }
  }

  private static func place(
    _ text: String, _ arguments: inout TemplateArguments, last: Bool
  ) throws -> TemplateValue? {
    let part = try arguments.requiredString()
    try refuseBounds(&arguments)
    return text.pythonPlace(of: part, last: last).map { .integer($0) }
  }

  private static func placeOrFail(
    _ text: String, _ arguments: inout TemplateArguments, last: Bool
  ) throws -> TemplateValue {
    guard let place = try place(text, &arguments, last: last) else {
      throw TemplateFault.type("substring not found")
    }
    return place
  }

  private static func split(
    _ interpreter: TemplateInterpreter, _ text: String, _ arguments: inout TemplateArguments,
    fromRight: Bool
  ) throws -> TemplateValue {
    let separator = try arguments.optionalString("sep")
    let count = try arguments.integer("maxsplit", default: -1)
    let limit = count < 0 ? Int.max : count
    try interpreter.charge(text.utf8.count >> 2)
    guard let separator else {
      return try .strings(text.pythonSplitAtSpace(limit: limit, fromRight: fromRight))
    }
    if separator.isEmpty { throw TemplateFault.type("empty separator") }
    return try .strings(text.pythonSplit(separator, limit: limit, fromRight: fromRight))
  }

  private static func partition(
    _ text: String, _ arguments: inout TemplateArguments, last: Bool
  ) throws -> TemplateValue {
    let separator = try arguments.requiredString()
    if separator.isEmpty { throw TemplateFault.type("empty separator") }
    let parts = text.pythonSplit(separator, limit: 1, fromRight: last)
    let found =
      parts.count == 2
      ? [parts[0], separator, parts[1]] : last ? ["", "", text] : [text, "", ""]
    return try .tuple(found.map { .string($0) })
  }
}

extension String {
  func pythonPadded(
    left: Int = 0, right: Int = 0, _ fill: Unicode.Scalar
  ) throws -> String {
    let count = Swift.max(0, left) + Swift.max(0, right)
    if count == 0 { return self }
    try TemplateLimits.check(utf8.count, plus: count, times: 4)
    let padding = { (width: Int) in String(repeating: String(fill), count: Swift.max(0, width)) }
    return padding(left) + self + padding(right)
  }

  /// Python puts the odd blank to the left when the width is odd.
  func pythonCentered(_ width: Int, _ fill: Unicode.Scalar) throws -> String {
    let (space, over) = width.subtractingReportingOverflow(pythonCount)
    if over || space <= 0 { return self }
    let left = space / 2 + (space & width & 1)
    return try pythonPadded(left: left, right: space - left, fill)
  }

  func pythonZeroFilled(_ width: Int) throws -> String {
    let (space, over) = width.subtractingReportingOverflow(pythonCount)
    if over || space <= 0 { return self }
    let sign = utf8.first.map { $0 == 0x2B || $0 == 0x2D } == true ? String(prefix(1)) : ""
    let rest = String(Substring(utf8.dropFirst(sign.utf8.count)))
    return sign + (try rest.pythonPadded(left: space, "0"))
  }
}
