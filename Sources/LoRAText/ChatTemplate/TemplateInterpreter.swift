// Renders a parsed template: state, limits, variables, expressions.

import LoRAJSON

/// One rendering. Not reused: it remembers its output and how much work it did.
final class TemplateInterpreter {
  let program: TemplateProgram
  var output = ""
  private(set) var depth = 0
  private var work = 0
  /// Scopes and namespaces that may hold on to each other, emptied at the end.
  private var scopesWithMacros: [TemplateScope] = []
  private var namespaces: [TemplateNamespace] = []

  /// The number of the name `loop`, when the template mentions it.
  let loopID: Int?

  init(_ program: TemplateProgram) {
    self.program = program
    loopID = program.names.firstIndex(of: "loop")
  }

  /// Renders with these variables.
  func render(_ variables: [String: TemplateValue]) throws -> String {
    let scope = TemplateScope(nil)
    defer {
      for scope in scopesWithMacros { scope.clear() }
      for namespace in namespaces { namespace.attributes = [] }
    }
    for (id, name) in program.names.enumerated() {
      if let value = variables[name] { scope[id] = value }
    }
    _ = try execute(program.statements, scope)
    return output
  }

  // MARK: Limits

  /// Counts work, and refuses to go on when it is too much.
  func charge(_ units: Int) throws {
    work += units
    if work > TemplateLimits.work {
      throw TemplateFault.limit("the template does too much work (a loop without sense?)")
    }
  }

  /// Counts the size of a new value as work.
  func charged(_ value: TemplateValue) throws -> TemplateValue {
    switch value {
    case .string(let text), .markup(let text):
      if text.utf8.count > TemplateLimits.longestText { try TemplateLimits.check(text.utf8.count) }
      try charge(text.utf8.count >> 4)
    case .list(let list), .tuple(let list): try charge(list.elements.count)
    case .dictionary(let dictionary): try charge(dictionary.count)
    default: break
    }
    return value
  }

  /// Runs a step one level deeper.
  func nested<Result>(_ step: () throws -> Result) throws -> Result {
    depth += 1
    defer { depth -= 1 }
    if depth > TemplateLimits.depth {
      throw TemplateFault.limit("recursion deeper than \(TemplateLimits.depth) levels")
    }
    return try step()
  }

  /// Adds to the output.
  func write(_ text: String) throws {
    try charge(text.utf8.count >> 4)
    output += text
    if output.utf8.count > TemplateLimits.longestText {
      try TemplateLimits.check(output.utf8.count)
    }
  }

  /// What a step writes, instead of writing it.
  func captured(_ step: () throws -> Void) throws -> String {
    let outer = output
    output = ""
    defer { output = outer }
    try step()
    return output
  }

  // MARK: Variables

  func bindMacro(_ syntax: TemplateMacroSyntax, _ scope: TemplateScope) throws -> TemplateMacro {
    try charge(1)
    scopesWithMacros.append(scope)
    return TemplateMacro(syntax, scope)
  }

  func makeNamespace() throws -> TemplateNamespace {
    try charge(1)
    let namespace = TemplateNamespace()
    namespaces.append(namespace)
    return namespace
  }

  private func variable(_ id: Int, _ scope: TemplateScope) throws -> TemplateValue {
    if let value = scope[id] { return value }
    let name = program.names[id]
    return try TemplateGlobals.value(name) ?? .undefined(.variable(name))
  }

  // MARK: Expressions

  func evaluate(
    _ expression: TemplateExpression, _ scope: TemplateScope
  ) throws -> TemplateValue {
    try charge(1)
    depth += 1
    defer { depth -= 1 }
    do {
      if depth > TemplateLimits.depth {
        throw TemplateFault.limit("recursion deeper than \(TemplateLimits.depth) levels")
      }
      return try evaluateKind(expression, scope)
    } catch var fault as TemplateFault {
      if fault.position == nil { fault.position = expression.position }
      throw fault
    }
  }

  /// Each case is one call, so that the frame of this recursive function stays small.
  private func evaluateKind(
    _ expression: TemplateExpression, _ scope: TemplateScope
  ) throws -> TemplateValue {
    switch expression.kind {
    case .constant(let constant): Self.value(of: constant)
    case .name(let id): try variable(id, scope)
    case .list(let items): try evaluateList(items, scope, isTuple: false)
    case .tuple(let items): try evaluateList(items, scope, isTuple: true)
    case .dictionary(let items): try evaluateDictionary(items, scope)
    case .attribute(let value, let name): try evaluate(value, scope).attribute(name)
    case .item(let value, let key): try evaluate(value, scope).item(evaluate(key, scope))
    case .slice(let value, let slice): try evaluateSlice(value, slice, scope)
    case .call(let callee, let arguments): try evaluateCall(callee, arguments, scope)
    case .filter(let value, let name, let arguments):
      try evaluateFilter(value, name, arguments, scope)
    case .test(let value, let name, let arguments): try evaluateTest(value, name, arguments, scope)
    case .negative(let value): try evaluate(value, scope).negated()
    case .positive(let value): try evaluate(value, scope).madePositive()
    case .not(let value): .bool(try !evaluate(value, scope).isTrue)
    case .and(let left, let right): try evaluateAnd(left, right, scope)
    case .or(let left, let right): try evaluateOr(left, right, scope)
    case .arithmetic(let operation, let left, let right):
      try charged(
        TemplateValue.compute(evaluate(left, scope), operation, evaluate(right, scope)))
    case .concatenation(let parts): try evaluateConcatenation(parts, scope)
    case .comparison(let left, let parts): try evaluateComparison(left, parts, scope)
    case .conditional(let test, let then, let otherwise):
      try evaluateConditional(test, then, otherwise, scope)
    }
  }

  private static func value(of constant: TemplateExpression.Constant) -> TemplateValue {
    switch constant {
    case .none: .none
    case .bool(let value): .bool(value)
    case .integer(let value): .integer(value)
    case .float(let value): .float(value)
    case .string(let value): .string(value)
    }
  }

  private func evaluateList(
    _ items: [TemplateExpression], _ scope: TemplateScope, isTuple: Bool
  ) throws -> TemplateValue {
    let values = try items.map { try evaluate($0, scope) }
    return isTuple ? try .tuple(values) : try .list(values)
  }

  private func evaluateDictionary(
    _ items: [(key: TemplateExpression, value: TemplateExpression)], _ scope: TemplateScope
  ) throws -> TemplateValue {
    .dictionary(
      try TemplateDictionary(
        items.map { (try evaluate($0.key, scope), try evaluate($0.value, scope)) }))
  }

  private func evaluateSlice(
    _ value: TemplateExpression, _ slice: TemplateExpression.Slice, _ scope: TemplateScope
  ) throws -> TemplateValue {
    let owner = try evaluate(value, scope)
    let bounds = try [slice.start, slice.stop, slice.step].map { bound in
      try bound.map { try evaluate($0, scope) }
    }
    return try charged(owner.slice(bounds[0], bounds[1], bounds[2]))
  }

  private func evaluateAnd(
    _ left: TemplateExpression, _ right: TemplateExpression, _ scope: TemplateScope
  ) throws -> TemplateValue {
    let value = try evaluate(left, scope)
    return value.isTrue ? try evaluate(right, scope) : value
  }

  private func evaluateOr(
    _ left: TemplateExpression, _ right: TemplateExpression, _ scope: TemplateScope
  ) throws -> TemplateValue {
    let value = try evaluate(left, scope)
    return value.isTrue ? value : try evaluate(right, scope)
  }

  private func evaluateConcatenation(
    _ parts: [TemplateExpression], _ scope: TemplateScope
  ) throws -> TemplateValue {
    var text = ""
    for part in parts {
      text += try evaluate(part, scope).text()
      try TemplateLimits.check(text.utf8.count)
    }
    return try charged(.string(text))
  }

  private func evaluateComparison(
    _ left: TemplateExpression,
    _ parts: [(operation: TemplateExpression.Comparison, right: TemplateExpression)],
    _ scope: TemplateScope
  ) throws -> TemplateValue {
    // As in Python, a < b < c holds when both do, and b is computed once.
    var value = try evaluate(left, scope)
    for (operation, right) in parts {
      let other = try evaluate(right, scope)
      if try !Self.holds(value, operation, other) { return .bool(false) }
      value = other
    }
    return .bool(true)
  }

  static func holds(
    _ a: TemplateValue, _ operation: TemplateExpression.Comparison, _ b: TemplateValue
  ) throws -> Bool {
    switch operation {
    case .equal: try TemplateValue.areEqual(a, b)
    case .notEqual: try !TemplateValue.areEqual(a, b)
    case .isIn: try b.contains(a)
    case .notIn: try !b.contains(a)
    default: try TemplateValue.compare(a, operation, b)
    }
  }

  private func evaluateConditional(
    _ test: TemplateExpression, _ then: TemplateExpression, _ otherwise: TemplateExpression?,
    _ scope: TemplateScope
  ) throws -> TemplateValue {
    if try evaluate(test, scope).isTrue { return try evaluate(then, scope) }
    guard let otherwise else {
      return .undefined(
        .hint("the inline if-expression was false and has no 'else'"))
    }
    return try evaluate(otherwise, scope)
  }
}
