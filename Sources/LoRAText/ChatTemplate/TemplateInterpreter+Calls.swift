// Calls of the interpreter: filters, tests, functions, macros, recursive loops.

extension TemplateInterpreter {
  @inline(never)
  func evaluateApplication(
    _ expression: TemplateExpression, _ scope: TemplateScope
  ) throws -> TemplateValue {
    switch expression.kind {
    case .call(let callee, let arguments): try evaluateCall(callee, arguments, scope)
    case .filter(let value, let name, let arguments):
      try evaluateFilter(value, name, arguments, scope)
    case .test(let value, let name, let arguments): try evaluateTest(value, name, arguments, scope)
    default: throw TemplateFault.unsupported("this expression")
    }
  }

  @inline(never)
  private func evaluate(
    _ arguments: TemplateExpression.CallArguments, for callee: String, _ scope: TemplateScope
  ) throws -> TemplateArguments {
    var positional = try arguments.positional.map { try evaluate($0, scope) }
    var named = try arguments.named.map { ($0.name, try evaluate($0.value, scope)) }
    if let unpacked = arguments.unpacked {
      positional += try elements(of: evaluate(unpacked, scope))
    }
    if let unpacked = arguments.unpackedNamed {
      guard case .dictionary(let dictionary) = try evaluate(unpacked, scope) else {
        throw TemplateFault.type("the argument after ** must be a mapping")
      }
      for (key, value) in dictionary.entries {
        guard let name = key.stringValue else {
          throw TemplateFault.type("keywords must be strings")
        }
        if named.contains(where: { $0.0 == name }) {
          throw TemplateFault.type("got multiple values for the argument '\(name)'")
        }
        named.append((name, value))
      }
    }
    return TemplateArguments(callee, positional, named: named)
  }

  @inline(never)
  func evaluateFilter(
    _ value: TemplateExpression?, _ name: String, _ arguments: TemplateExpression.CallArguments,
    _ scope: TemplateScope, block: String? = nil
  ) throws -> TemplateValue {
    let input: TemplateValue
    if let value {
      // In a block the innermost filter has no value of its own: it gets the block's text.
      if let block, case .filter(let inner, let name, let arguments) = value.kind {
        input = try evaluateFilter(inner, name, arguments, scope, block: block)
      } else {
        input = try evaluate(value, scope)
      }
    } else {
      input = .string(block ?? "")
    }
    return try apply(
      filter: name, to: input, evaluate(arguments, for: "filter '\(name)'", scope))
  }

  /// Applies a filter by name, also for `map`.
  @inline(never)
  func apply(
    filter name: String, to value: TemplateValue, _ arguments: TemplateArguments
  ) throws -> TemplateValue {
    guard let filter = TemplateFilters.named[name] else { throw TemplateFilters.unknown(name) }
    var arguments = arguments
    try charge(1)
    let result = try filter(self, value, &arguments)
    try arguments.finish()
    return try charged(result)
  }

  @inline(never)
  func evaluateTest(
    _ value: TemplateExpression, _ name: String, _ arguments: TemplateExpression.CallArguments,
    _ scope: TemplateScope
  ) throws -> TemplateValue {
    .bool(
      try apply(
        test: name, to: evaluate(value, scope),
        evaluate(arguments, for: "test '\(name)'", scope)))
  }

  /// Applies a test by name, also for `select` and its kin.
  @inline(never)
  func apply(
    test name: String, to value: TemplateValue, _ arguments: TemplateArguments
  ) throws -> Bool {
    guard let test = TemplateTests.named[name] else { throw TemplateTests.unknown(name) }
    var arguments = arguments
    try charge(1)
    let result = try test(self, value, &arguments)
    try arguments.finish()
    return result
  }

  @inline(never)
  func evaluateCall(
    _ callee: TemplateExpression, _ arguments: TemplateExpression.CallArguments,
    _ scope: TemplateScope, caller: TemplateMacro? = nil
  ) throws -> TemplateValue {
    let function = try evaluate(callee, scope)
    var values = try evaluate(arguments, for: Self.name(of: function), scope)
    if let caller {
      values = TemplateArguments(
        values.callee, Array(values.positional),
        named: values.named + [("caller", .macro(caller))])
    }
    return try charged(call(function, values))
  }

  @inline(never)
  private static func name(of function: TemplateValue) -> String {
    switch function {
    case .function(let function): "'\(function.name)'"
    case .macro(let macro): "macro '\(macro.syntax.name ?? "caller")'"
    default: "call"
    }
  }

  @inline(never)
  private func call(
    _ function: TemplateValue, _ arguments: TemplateArguments
  ) throws -> TemplateValue {
    var arguments = arguments
    switch function {
    case .function(let function):
      let result = try function.body(self, &arguments)
      try arguments.finish()
      return result
    case .macro(let macro): return .string(try call(macro, &arguments))
    case .loop(let loop):
      guard let recurse = loop.recurse else {
        throw TemplateFault.type("the loop must be marked 'recursive' to be called")
      }
      let iterable = try arguments.required("iterable")
      try arguments.finish()
      return try nested { try recurse(iterable, loop.depth0 + 1) }
    case .undefined(let undefined): throw undefined.fault
    default: throw TemplateFault.type("'\(function.typeName)' object is not callable")
    }
  }

  // MARK: Macros

  @inline(never)
  func call(_ macro: TemplateMacro, _ arguments: inout TemplateArguments) throws -> String {
    let syntax = macro.syntax
    let scope = TemplateScope(macro.scope)
    let hasOwnCaller = syntax.parameters.contains { $0.name == "caller" }
    var missing: [(name: String, id: Int, defaultValue: TemplateExpression?)] = []
    for parameter in syntax.parameters {
      if let value = arguments.next(parameter.name) {
        scope[parameter.id] = value
      } else {
        missing.append(parameter)
      }
    }
    if syntax.usesCaller, !hasOwnCaller {
      let caller = arguments.takeNamed("caller") ?? .undefined(.hint("No caller defined"))
      set("caller", caller, scope)
    }
    if syntax.usesNamed {
      let rest = arguments.restNamed().map { (TemplateValue.string($0.name), $0.value) }
      set("kwargs", .dictionary(try TemplateDictionary(rest)), scope)
    }
    if syntax.usesPositional { set("varargs", try .tuple(arguments.rest()), scope) }
    try arguments.finish()
    return try nested {
      // Defaults may use the parameters before them.
      for parameter in missing {
        scope[parameter.id] =
          try parameter.defaultValue.map { try evaluate($0, scope) }
          ?? .undefined(.hint("parameter '\(parameter.name)' was not provided"))
      }
      return try captured { _ = try execute(syntax.body, scope) }
    }
  }

  private func set(_ name: String, _ value: TemplateValue, _ scope: TemplateScope) {
    if let id = program.names.firstIndex(of: name) { scope[id] = value }
  }

  // MARK: Iteration

  /// An iterator over a value.
  func iterate(_ value: TemplateValue) throws -> TemplateIterator {
    if case .iterator(let iterator) = value { return iterator }
    if case .loop(let loop) = value {
      return try TemplateIterator(over: [value]) {
        try loop.advance().map { try .tuple([$0, value]) }
      }
    }
    return try TemplateIterator(elements(of: value))
  }

  /// All elements of a value; walks an iterator to its end.
  func elements(of value: TemplateValue) throws -> [TemplateValue] {
    switch value {
    case .undefined: return []
    case .list(let list), .tuple(let list): return list.elements
    case .string(let text), .markup(let text):
      try charge(text.utf8.count)
      return text.unicodeScalars.map { .string(String($0)) }
    case .dictionary(let dictionary): return dictionary.entries.map(\.key)
    case .view(let view): return try view.elements()
    case .range(let range):
      try charge(range.count)
      return (0..<range.count).map { .integer(range[$0]) }
    case .iterator(let iterator):
      var values: [TemplateValue] = []
      while let value = try iterator.next() {
        try charge(1)
        values.append(value)
      }
      return values
    case .loop:
      var values: [TemplateValue] = []
      let iterator = try iterate(value)
      while let value = try iterator.next() { values.append(value) }
      return values
    default: throw TemplateFault.type("'\(value.typeName)' object is not iterable")
    }
  }

  /// The number of elements, for values that know it: Python's `len`.
  func length(of value: TemplateValue) throws -> Int {
    switch value {
    case .undefined: return 0
    case .string(let text), .markup(let text): return text.pythonCount
    case .list(let list), .tuple(let list): return list.elements.count
    case .dictionary(let dictionary): return dictionary.count
    case .view(let view): return view.dictionary.count
    case .range(let range): return range.count
    case .loop(let loop): return try loop.length()
    default: throw TemplateFault.type("object of type '\(value.typeName)' has no len()")
    }
  }
}
