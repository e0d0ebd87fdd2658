// Renders a parsed template: state, limits, variables.

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

  /// The time that `strftime_now` writes, in seconds since 1970; nil: that of the call.
  let now: Double?

  init(_ program: TemplateProgram, now: Double? = nil) {
    self.program = program
    self.now = now
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
  @inline(never)
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
  @inline(never)
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

  @inline(never)
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
      switch expression.kind {
      case .constant(let constant): return Self.value(of: constant)
      case .name(let id): return try variable(id, scope)
      case .call, .filter, .test: return try evaluateApplication(expression, scope)
      case .list, .tuple, .dictionary, .attribute, .item, .slice:
        return try evaluateAccess(expression, scope)
      default: return try evaluateOperator(expression, scope)
      }
    } catch var fault as TemplateFault {
      if fault.position == nil { fault.position = expression.position }
      throw fault
    }
  }

  @inline(never)
  private static func value(of constant: TemplateExpression.Constant) -> TemplateValue {
    switch constant {
    case .none: .none
    case .bool(let value): .bool(value)
    case .integer(let value): .integer(value)
    case .float(let value): .float(value)
    case .string(let value): .string(value)
    }
  }
}
