// The statements of the interpreter: output, conditions, loops, assignments, blocks.

extension TemplateInterpreter {
  /// How a list of statements ended.
  enum Flow { case finished, breaksLoop, continuesLoop }

  func execute(_ statements: [TemplateStatement], _ scope: TemplateScope) throws -> Flow {
    for statement in statements {
      try charge(1)
      let flow = try execute(statement, scope)
      if flow != .finished { return flow }
    }
    return .finished
  }

  private func execute(_ statement: TemplateStatement, _ scope: TemplateScope) throws -> Flow {
    switch statement {
    case .text(let text): try write(text)
    case .output(let expression): try executeOutput(expression, scope)
    case .conditional(let branches, let otherwise):
      return try executeConditional(branches, otherwise, scope)
    case .loop(let loop): try executeLoop(loop, scope)
    case .assignment(let target, let value): try executeAssignment(target, value, scope)
    case .capture(let target, let filter, let body, let position):
      return try executeCapture(target, filter, body, position, scope)
    case .macro(let name, let syntax): scope[name] = .macro(try bindMacro(syntax, scope))
    case .callBlock(let call, let syntax): try executeCallBlock(call, syntax, scope)
    case .filterBlock(let filter, let body): return try executeFilterBlock(filter, body, scope)
    case .with(let bindings, let body): return try executeWith(bindings, body, scope)
    case .generation(let body):
      return try nested { try execute(body, TemplateScope(scope)) }
    case .breakLoop: return .breaksLoop
    case .continueLoop: return .continuesLoop
    }
    return .finished
  }

  @inline(never)
  private func executeOutput(_ expression: TemplateExpression, _ scope: TemplateScope) throws {
    let value = try evaluate(expression, scope)
    try located(expression.position) { try write(value.text()) }
  }

  @inline(never)
  private func executeConditional(
    _ branches: [(test: TemplateExpression, body: [TemplateStatement])],
    _ otherwise: [TemplateStatement], _ scope: TemplateScope
  ) throws -> Flow {
    for branch in branches where try evaluate(branch.test, scope).isTrue {
      return try nested { try execute(branch.body, scope) }
    }
    return try nested { try execute(otherwise, scope) }
  }

  @inline(never)
  private func executeCapture(
    _ target: TemplateTarget, _ filter: TemplateExpression?, _ body: [TemplateStatement],
    _ position: TemplatePosition, _ scope: TemplateScope
  ) throws -> Flow {
    let inner = TemplateScope(scope)
    var flow = Flow.finished
    let text = try captured { flow = try nested { try execute(body, inner) } }
    if flow != .finished { return flow }
    let value = try filter.map { try applyBlockFilter($0, text, inner) } ?? .string(text)
    try located(position) { try assign(value, to: target, scope) }
    return .finished
  }

  @inline(never)
  private func executeFilterBlock(
    _ filter: TemplateExpression, _ body: [TemplateStatement], _ scope: TemplateScope
  ) throws -> Flow {
    let inner = TemplateScope(scope)
    var flow = Flow.finished
    let text = try captured { flow = try nested { try execute(body, inner) } }
    if flow != .finished { return flow }
    let value = try applyBlockFilter(filter, text, inner)
    try located(filter.position) { try write(block: value) }
    return .finished
  }

  @inline(never)
  private func applyBlockFilter(
    _ filter: TemplateExpression, _ text: String, _ scope: TemplateScope
  ) throws -> TemplateValue {
    guard case .filter(let value, let name, let arguments) = filter.kind else {
      return .string(text)
    }
    return try located(filter.position) {
      try evaluateFilter(value, name, arguments, scope, block: text)
    }
  }

  @inline(never)
  private func executeCallBlock(
    _ call: TemplateExpression, _ syntax: TemplateMacroSyntax, _ scope: TemplateScope
  ) throws {
    guard case .call(let callee, let arguments) = call.kind else { return }
    let caller = try bindMacro(syntax, scope)
    try located(call.position) {
      try write(block: evaluateCall(callee, arguments, scope, caller: caller))
    }
  }

  /// Writes the result of a block, which Jinja does not turn into a string first.
  private func write(block value: TemplateValue) throws {
    guard let text = value.stringValue else {
      throw TemplateFault.type("a block must give a string, not \(value.typeName)")
    }
    try write(text)
  }

  @inline(never)
  private func executeWith(
    _ bindings: [(target: TemplateTarget, value: TemplateExpression)],
    _ body: [TemplateStatement], _ scope: TemplateScope
  ) throws -> Flow {
    let inner = TemplateScope(scope)
    for binding in bindings {
      let value = try evaluate(binding.value, scope)
      try located(binding.value.position) { try assign(value, to: binding.target, inner) }
    }
    return try nested { try execute(body, inner) }
  }

  // MARK: Assignment

  @inline(never)
  private func executeAssignment(
    _ target: TemplateTarget, _ value: TemplateExpression, _ scope: TemplateScope
  ) throws {
    let value = (try evaluate(value, scope), value.position)
    try located(value.1) { try assign(value.0, to: target, scope) }
  }

  @inline(never)
  func assign(_ value: TemplateValue, to target: TemplateTarget, _ scope: TemplateScope) throws {
    switch target {
    case .name(let id): scope[id] = value
    case .attribute(let id, let name):
      guard case .namespace(let namespace)? = scope[id] else {
        throw TemplateFault.type("cannot assign attribute on non-namespace object")
      }
      try TemplateGlobals.checkNamespaceName(name)
      namespace[name] = value
    case .tuple(let targets):
      let values = try elements(of: value)
      guard values.count == targets.count else {
        throw TemplateFault.type(
          "cannot unpack \(values.count) values into \(targets.count) names")
      }
      for (target, value) in zip(targets, values) { try assign(value, to: target, scope) }
    }
  }

  // MARK: Loops

  @inline(never)
  private func executeLoop(_ syntax: TemplateLoopSyntax, _ scope: TemplateScope) throws {
    let iterable = try evaluate(syntax.iterable, scope)
    try located(syntax.iterable.position) {
      if syntax.isRecursive {
        try write(renderRecursively(syntax, iterable, depth: 0, scope))
      } else {
        try nested { try runLoop(syntax, iterable, depth: 0, recurse: nil, scope) }
      }
    }
  }

  @inline(never)
  private func renderRecursively(
    _ syntax: TemplateLoopSyntax, _ iterable: TemplateValue, depth: Int, _ scope: TemplateScope
  ) throws -> String {
    try captured {
      try nested {
        try runLoop(
          syntax, iterable, depth: depth,
          recurse: { [unowned self] inner, depth in
            .string(try renderRecursively(syntax, inner, depth: depth, scope))
          }, scope)
      }
    }
  }

  @inline(never)
  private func runLoop(
    _ syntax: TemplateLoopSyntax, _ iterable: TemplateValue, depth: Int,
    recurse: ((TemplateValue, Int) throws -> TemplateValue)?, _ scope: TemplateScope
  ) throws {
    var source = try iterate(iterable)
    var length: Int?
    if let test = syntax.test {
      source = try filtered(source, syntax.target, test, scope)
    } else if case .iterator = iterable {
    } else {
      length = try self.length(of: iterable)
    }
    let loop = TemplateLoop(source, length: length, depth0: depth, recurse: recurse)
    // As in Jinja, 'else' runs unless some turn reached the end of the body.
    var completed = false
    while let value = try loop.advance() {
      try charge(1)
      let inner = TemplateScope(scope)
      if let loopID { inner[loopID] = .loop(loop) }
      try assign(value, to: syntax.target, inner)
      let flow = try execute(syntax.body, inner)
      if flow == .breaksLoop { break }
      if flow == .finished { completed = true }
    }
    if !completed { _ = try execute(syntax.otherwise, TemplateScope(scope)) }
  }

  /// The elements that pass the loop's test, found one by one as the loop goes on.
  @inline(never)
  private func filtered(
    _ source: TemplateIterator, _ target: TemplateTarget, _ test: TemplateExpression,
    _ scope: TemplateScope
  ) throws -> TemplateIterator {
    try TemplateIterator(over: [.iterator(source)]) { [unowned self] in
      while let value = try source.next() {
        let inner = TemplateScope(scope)
        try assign(value, to: target, inner)
        if try evaluate(test, inner).isTrue { return value }
      }
      return nil
    }
  }

  /// Adds a place to faults that have none.
  private func located<Result>(
    _ position: TemplatePosition, _ step: () throws -> Result
  ) throws -> Result {
    do {
      return try step()
    } catch var fault as TemplateFault {
      if fault.position == nil { fault.position = position }
      throw fault
    }
  }
}
