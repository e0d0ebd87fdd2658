// The tests that stand after `is`.

enum TemplateTests {
  typealias Test =
    @Sendable (TemplateInterpreter, TemplateValue, inout TemplateArguments) throws -> Bool

  /// The error for a name that is no test.
  static func unknown(_ name: String, at position: TemplatePosition? = nil) -> TemplateFault {
    TemplateFault(
      "no test named '\(name)'",
      hint: "Known are: " + named.keys.sorted().joined(separator: ", ") + ".", at: position)
  }

  static let named: [String: Test] = [
    "defined": { _, value, _ in !value.isUndefined },
    "undefined": { _, value, _ in value.isUndefined },
    "none": { _, value, _ in if case .none = value { true } else { false } },
    "boolean": { _, value, _ in if case .bool = value { true } else { false } },
    "true": { _, value, _ in if case .bool(true) = value { true } else { false } },
    "false": { _, value, _ in if case .bool(false) = value { true } else { false } },
    "integer": { _, value, _ in if case .integer = value { true } else { false } },
    "float": { _, value, _ in if case .float = value { true } else { false } },
    "number": { _, value, _ in Number(value) != nil },
    "string": { _, value, _ in value.stringValue != nil },
    "mapping": { _, value, _ in if case .dictionary = value { true } else { false } },
    "sequence": { _, value, _ in isSequence(value) },
    "iterable": { _, value, _ in isIterable(value) },
    "callable": { _, value, _ in isCallable(value) },
    "escaped": { _, value, _ in if case .markup = value { true } else { false } },
    "lower": { _, value, _ in try value.text().isPythonLower },
    "upper": { _, value, _ in try value.text().isPythonUpper },
    "odd": { _, value, _ in try remainder(value, .integer(2), equals: 1) },
    "even": { _, value, _ in try remainder(value, .integer(2), equals: 0) },
    "divisibleby": { _, value, arguments in
      try remainder(value, arguments.required("num"), equals: 0)
    },
    "sameas": { _, value, arguments in try isSame(value, arguments.required("other")) },
    "in": { _, value, arguments in try arguments.required("seq").contains(value) },
    "filter": { _, value, _ in value.stringValue.map(TemplateFilters.isKnownToJinja) ?? false },
    "test": { _, value, _ in value.stringValue.map { named[$0] != nil } ?? false },
    "eq": comparison(.equal), "==": comparison(.equal), "equalto": comparison(.equal),
    "ne": comparison(.notEqual), "!=": comparison(.notEqual),
    "lt": comparison(.less), "<": comparison(.less), "lessthan": comparison(.less),
    "le": comparison(.lessOrEqual), "<=": comparison(.lessOrEqual),
    "gt": comparison(.greater), ">": comparison(.greater), "greaterthan": comparison(.greater),
    "ge": comparison(.greaterOrEqual), ">=": comparison(.greaterOrEqual),
  ]

  private static func comparison(_ operation: TemplateExpression.Comparison) -> Test {
    { _, value, arguments in
      try TemplateInterpreter.holds(value, operation, arguments.required())
    }
  }

  private static func remainder(
    _ value: TemplateValue, _ divisor: TemplateValue, equals wanted: Int
  ) throws -> Bool {
    try TemplateValue.areEqual(
      TemplateValue.compute(value, .modulo, divisor), .integer(wanted))
  }

  private static func isSequence(_ value: TemplateValue) -> Bool {
    switch value {
    case .undefined, .string, .markup, .list, .tuple, .dictionary, .range: true
    default: false
    }
  }

  private static func isIterable(_ value: TemplateValue) -> Bool {
    switch value {
    case .view, .iterator, .loop: true
    default: isSequence(value)
    }
  }

  private static func isCallable(_ value: TemplateValue) -> Bool {
    switch value {
    case .undefined, .loop, .macro, .function: true
    default: false
    }
  }

  /// Identity: sure for singletons and objects, refused for numbers and strings, where it
  /// depends on what Python happens to share.
  private static func isSame(_ a: TemplateValue, _ b: TemplateValue) throws -> Bool {
    switch (a, b) {
    case (.none, .none): return true
    case (.bool(let a), .bool(let b)): return a == b
    case (.none, _), (_, .none), (.bool, _), (_, .bool): return false
    case (.list(let a), .list(let b)): return a === b
    case (.dictionary(let a), .dictionary(let b)): return a === b
    case (.namespace(let a), .namespace(let b)): return a === b
    case (.macro(let a), .macro(let b)): return a === b
    default:
      if a.typeName != b.typeName { return false }
      throw TemplateFault.unsupported("'sameas' for values of type \(a.typeName)")
    }
  }
}
