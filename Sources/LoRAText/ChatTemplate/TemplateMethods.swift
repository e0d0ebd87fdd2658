// The methods of values: of dictionaries, sequences and numbers. Strings have a file of their own.

extension TemplateValue {
  /// The method or plain attribute of a name, nil when Python's type has none.
  func method(_ name: String) throws -> TemplateValue? {
    if name.hasPrefix("__"), name.hasSuffix("__") { return unsafe(name) }
    switch self {
    case .dictionary(let dictionary): return try dictionaryMethod(name, dictionary)
    case .list(let list): return try sequenceMethod(name, list, isTuple: false)
    case .tuple(let list):
      if let place = list.names.firstIndex(of: name) { return list.elements[place] }
      return try sequenceMethod(name, list, isTuple: true)
    case .string(let text): return try stringMethod(name, text, isSafe: false)
    case .markup(let text): return try stringMethod(name, text, isSafe: true)
    case .loop(let loop): return try loop.attribute(name)
    case .macro(let macro): return try Self.macroAttribute(name, macro)
    case .integer, .bool:
      try refuse(
        name,
        of: [
          "as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator", "from_bytes",
          "imag", "numerator", "real", "to_bytes",
        ])
    case .float:
      try refuse(
        name,
        of: [
          "as_integer_ratio", "conjugate", "fromhex", "hex", "imag", "is_integer", "real",
        ])
    case .range: try refuse(name, of: ["count", "index", "start", "step", "stop"])
    case .view: try refuse(name, of: ["isdisjoint", "mapping"])
    case .iterator: try refuse(name, of: ["close", "send", "throw"])
    default: break
    }
    return nil
  }

  /// An attribute that Python has and the sandbox hides: undefined, and an error to use.
  private func unsafe(_ name: String) -> TemplateValue {
    .undefined(
      .hint(
        "access to attribute '\(name)' of '\(typeName)' object is unsafe (lists and dicts "
          + "cannot be changed: build a new one with + or dict(), or use a namespace)"))
  }

  /// Refuses methods that Python has and this interpreter has not.
  func refuse(_ name: String, of names: Set<String>) throws {
    if names.contains(name) {
      throw TemplateFault.unsupported("the method '\(name)' of \(typeName)")
    }
  }

  private func function(
    _ name: String, _ body: @escaping TemplateFunction.Body
  ) -> TemplateValue {
    .function(TemplateFunction(name, of: self, body))
  }

  // MARK: Dictionaries

  private func dictionaryMethod(
    _ name: String, _ dictionary: TemplateDictionary
  ) throws -> TemplateValue? {
    switch name {
    case "get":
      return function(name) { _, arguments in
        let key = try arguments.required()
        // Taken also where it is not needed: what is left over is an error.
        let missing = arguments.next()
        return try dictionary.value(for: key) ?? missing ?? .none
      }
    case "items", "keys", "values":
      guard let part = TemplateDictionaryView.Part(rawValue: name) else { return nil }
      return function(name) { _, _ in
        .view(TemplateDictionaryView(dictionary: dictionary, part: part))
      }
    case "copy":
      return function(name) { _, _ in .dictionary(try TemplateDictionary(dictionary.entries)) }
    case "clear", "pop", "popitem", "setdefault", "update": return unsafe(name)
    case "fromkeys": throw TemplateFault.unsupported("the method 'fromkeys' of dict")
    default: return nil
    }
  }

  // MARK: Lists and tuples

  private func sequenceMethod(
    _ name: String, _ list: TemplateList, isTuple: Bool
  ) throws -> TemplateValue? {
    switch name {
    case "index":
      return function(name) { _, arguments in
        let wanted = try arguments.required()
        guard let place = try list.elements.firstIndex(where: { try Self.areEqual($0, wanted) })
        else { throw TemplateFault.type("\(try wanted.representation()) is not in list") }
        return .integer(place)
      }
    case "count":
      return function(name) { _, arguments in
        let wanted = try arguments.required()
        return .integer(try list.elements.filter { try Self.areEqual($0, wanted) }.count)
      }
    case "copy" where !isTuple: return function(name) { _, _ in try .list(list.elements) }
    case "append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove":
      return isTuple ? nil : unsafe(name)
    default: return nil
    }
  }

  private static func macroAttribute(
    _ name: String, _ macro: TemplateMacro
  ) throws -> TemplateValue? {
    switch name {
    case "name": return macro.syntax.name.map { .string($0) } ?? TemplateValue.none
    case "arguments": return try .tuple(macro.syntax.parameters.map { .string($0.name) })
    case "caller": return .bool(macro.syntax.usesCaller)
    case "catch_kwargs": return .bool(macro.syntax.usesNamed)
    case "catch_varargs": return .bool(macro.syntax.usesPositional)
    default: return nil
    }
  }
}
