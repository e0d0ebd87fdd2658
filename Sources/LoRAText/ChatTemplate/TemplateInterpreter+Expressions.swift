// The expressions of the interpreter that build, reach into and combine values.
//
// The interpreter recurses with the template's own nesting, so the frames of its functions must
// be small: each kind of expression has a function that is not inlined, and no switch has them all.

extension TemplateInterpreter {
  // MARK: Building and access

  @inline(never)
  func evaluateAccess(
    _ expression: TemplateExpression, _ scope: TemplateScope
  ) throws -> TemplateValue {
    switch expression.kind {
    case .list(let items): try evaluateList(items, scope, isTuple: false)
    case .tuple(let items): try evaluateList(items, scope, isTuple: true)
    case .dictionary(let items): try evaluateDictionary(items, scope)
    case .attribute(let value, let name): try evaluateAttribute(value, name, scope)
    case .item(let value, let key): try evaluateItem(value, key, scope)
    case .slice(let value, let slice): try evaluateSlice(value, slice, scope)
    default: throw TemplateFault.unsupported("this expression")
    }
  }

  @inline(never)
  private func evaluateList(
    _ items: [TemplateExpression], _ scope: TemplateScope, isTuple: Bool
  ) throws -> TemplateValue {
    let values = try items.map { try evaluate($0, scope) }
    return isTuple ? try .tuple(values) : try .list(values)
  }

  @inline(never)
  private func evaluateDictionary(
    _ items: [(key: TemplateExpression, value: TemplateExpression)], _ scope: TemplateScope
  ) throws -> TemplateValue {
    .dictionary(
      try TemplateDictionary(
        items.map { (try evaluate($0.key, scope), try evaluate($0.value, scope)) }))
  }

  @inline(never)
  private func evaluateAttribute(
    _ value: TemplateExpression, _ name: String, _ scope: TemplateScope
  ) throws -> TemplateValue {
    try evaluate(value, scope).attribute(name)
  }

  @inline(never)
  private func evaluateItem(
    _ value: TemplateExpression, _ key: TemplateExpression, _ scope: TemplateScope
  ) throws -> TemplateValue {
    try evaluate(value, scope).item(evaluate(key, scope))
  }

  @inline(never)
  private func evaluateSlice(
    _ value: TemplateExpression, _ slice: TemplateExpression.Slice, _ scope: TemplateScope
  ) throws -> TemplateValue {
    let owner = try evaluate(value, scope)
    let bounds = try [slice.start, slice.stop, slice.step].map { bound in
      try bound.map { try evaluate($0, scope) }
    }
    return try charged(owner.slice(bounds[0], bounds[1], bounds[2]))
  }

  // MARK: Operators

  @inline(never)
  func evaluateOperator(
    _ expression: TemplateExpression, _ scope: TemplateScope
  ) throws -> TemplateValue {
    switch expression.kind {
    case .negative(let value): try evaluateSign(value, scope, isNegative: true)
    case .positive(let value): try evaluateSign(value, scope, isNegative: false)
    case .not(let value): try evaluateNot(value, scope)
    case .and(let left, let right): try evaluateAnd(left, right, scope)
    case .or(let left, let right): try evaluateOr(left, right, scope)
    case .arithmetic(let operation, let left, let right):
      try evaluateArithmetic(operation, left, right, scope)
    case .concatenation(let parts): try evaluateConcatenation(parts, scope)
    case .comparison(let left, let parts): try evaluateComparison(left, parts, scope)
    case .conditional(let test, let then, let otherwise):
      try evaluateConditional(test, then, otherwise, scope)
    default: throw TemplateFault.unsupported("this expression")
    }
  }

  @inline(never)
  private func evaluateSign(
    _ value: TemplateExpression, _ scope: TemplateScope, isNegative: Bool
  ) throws -> TemplateValue {
    let value = try evaluate(value, scope)
    return isNegative ? try value.negated() : try value.madePositive()
  }

  @inline(never)
  private func evaluateNot(
    _ value: TemplateExpression, _ scope: TemplateScope
  ) throws -> TemplateValue {
    .bool(try !evaluate(value, scope).isTrue)
  }

  @inline(never)
  private func evaluateAnd(
    _ left: TemplateExpression, _ right: TemplateExpression, _ scope: TemplateScope
  ) throws -> TemplateValue {
    let value = try evaluate(left, scope)
    return value.isTrue ? try evaluate(right, scope) : value
  }

  @inline(never)
  private func evaluateOr(
    _ left: TemplateExpression, _ right: TemplateExpression, _ scope: TemplateScope
  ) throws -> TemplateValue {
    let value = try evaluate(left, scope)
    return value.isTrue ? value : try evaluate(right, scope)
  }

  @inline(never)
  private func evaluateArithmetic(
    _ operation: TemplateOperator, _ left: TemplateExpression, _ right: TemplateExpression,
    _ scope: TemplateScope
  ) throws -> TemplateValue {
    try charged(TemplateValue.compute(evaluate(left, scope), operation, evaluate(right, scope)))
  }

  @inline(never)
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

  @inline(never)
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

  @inline(never)
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

  @inline(never)
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
