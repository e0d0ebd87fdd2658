// The expressions of the parser, from the loosest operator to the tightest.

extension TemplateParser {
  /// Makes a node above these, refusing trees that are too deep to walk.
  func node(
    _ kind: TemplateExpression.Kind, at place: TemplatePosition,
    over children: [TemplateExpression?] = []
  ) throws -> TemplateExpression {
    let depth = 1 + (children.lazy.map { $0?.depth ?? 0 }.max() ?? 0)
    if depth > Self.deepestExpression {
      throw TemplateFault(
        "an expression of more than \(Self.deepestExpression) levels",
        hint: "Split it with 'set'.", at: place)
    }
    return TemplateExpression(kind, at: place, depth: depth)
  }

  /// Whether a comma before this place ends a tuple instead of asking for another item.
  var isTupleEnd: Bool {
    current.kind == .variableEnd || current.kind == .blockEnd || at(.rightParenthesis)
  }

  /// An expression, or several with commas as a tuple.
  mutating func parseTuple(
    conditional: Bool = true, isParenthesised: Bool = false
  ) throws -> TemplateExpression {
    let start = current.position
    var items: [TemplateExpression] = []
    var isTuple = false
    while true {
      if isTupleEnd { break }
      items.append(conditional ? try parseExpression() : try parseOr())
      guard skip(.comma) else { break }
      isTuple = true
    }
    if !isTuple {
      if let first = items.first { return first }
      if !isParenthesised { throw fault("expected an expression, found \(current.description)") }
    }
    return try node(.tuple(items), at: start, over: items)
  }

  mutating func parseExpression() throws -> TemplateExpression {
    try nested { try $0.parseConditional() }
  }

  private mutating func parseConditional() throws -> TemplateExpression {
    let start = current.position
    let mark = unknown.count
    var value = try parseOr()
    while skip("if") {
      let test = try parseOr()
      let otherwise = skip("else") ? try parseExpression() : nil
      unknown.removeSubrange(mark...)
      value = try node(
        .conditional(test: test, then: value, otherwise: otherwise), at: start,
        over: [test, value, otherwise])
    }
    return value
  }

  mutating func parseOr() throws -> TemplateExpression {
    var left = try parseAnd()
    while at("or") {
      let place = take().position
      let right = try parseAnd()
      left = try node(.or(left, right), at: place, over: [left, right])
    }
    return left
  }

  private mutating func parseAnd() throws -> TemplateExpression {
    var left = try parseNot()
    while at("and") {
      let place = take().position
      let right = try parseNot()
      left = try node(.and(left, right), at: place, over: [left, right])
    }
    return left
  }

  private mutating func parseNot() throws -> TemplateExpression {
    guard at("not") else { return try parseComparison() }
    let place = take().position
    let operand = try nested { try $0.parseNot() }
    return try node(.not(operand), at: place, over: [operand])
  }

  private mutating func parseComparison() throws -> TemplateExpression {
    let left = try parseSum()
    let place = current.position
    var parts: [(operation: TemplateExpression.Comparison, right: TemplateExpression)] = []
    while let operation = takeComparison() { parts.append((operation, try parseSum())) }
    if parts.isEmpty { return left }
    return try node(.comparison(left, parts), at: place, over: [left] + parts.map(\.right))
  }

  private mutating func takeComparison() -> TemplateExpression.Comparison? {
    switch current.kind {
    case .symbol(let symbol):
      guard let operation = TemplateExpression.Comparison(rawValue: symbol.rawValue) else {
        return nil
      }
      position += 1
      return operation
    case .name("in"):
      position += 1
      return .isIn
    case .name("not") where next.kind == .name("in"):
      position += 2
      return .notIn
    default: return nil
    }
  }

  private mutating func parseSum() throws -> TemplateExpression {
    try parseChain([.add, .subtract]) { try $0.parseConcatenation() }
  }

  private mutating func parseConcatenation() throws -> TemplateExpression {
    var parts = [try parseProduct()]
    let place = current.position
    while skip(.tilde) { parts.append(try parseProduct()) }
    return parts.count == 1 ? parts[0] : try node(.concatenation(parts), at: place, over: parts)
  }

  private mutating func parseProduct() throws -> TemplateExpression {
    try parseChain([.multiply, .divide, .floorDivide, .modulo]) { try $0.parsePower() }
  }

  private mutating func parsePower() throws -> TemplateExpression {
    // In Jinja the power operator leans to the left and binds looser than a sign.
    try parseChain([.power]) { try $0.parseUnary() }
  }

  private mutating func parseChain(
    _ operators: [TemplateOperator],
    _ parseOperand: (inout TemplateParser) throws -> TemplateExpression
  ) throws -> TemplateExpression {
    var left = try parseOperand(&self)
    while case .symbol(let symbol) = current.kind,
      let operation = TemplateOperator(rawValue: symbol.rawValue), operators.contains(operation)
    {
      let place = take().position
      let right = try parseOperand(&self)
      left = try node(.arithmetic(operation, left, right), at: place, over: [left, right])
    }
    return left
  }

  private mutating func parseUnary(withFilters: Bool = true) throws -> TemplateExpression {
    let place = current.position
    var value: TemplateExpression
    if skip(.subtract) {
      let operand = try nested { try $0.parseUnary(withFilters: false) }
      value = try node(.negative(operand), at: place, over: [operand])
    } else if skip(.add) {
      let operand = try nested { try $0.parseUnary(withFilters: false) }
      value = try node(.positive(operand), at: place, over: [operand])
    } else {
      value = try parsePrimary()
    }
    value = try parsePostfix(value)
    return withFilters ? try parseFiltersAndTests(value) : value
  }

  // MARK: Primaries

  mutating func parsePrimary() throws -> TemplateExpression {
    let token = current
    let place = token.position
    switch token.kind {
    case .name(let name):
      position += 1
      switch name {
      case "true", "True": return try node(.constant(.bool(true)), at: place)
      case "false", "False": return try node(.constant(.bool(false)), at: place)
      case "none", "None": return try node(.constant(.none), at: place)
      default: return try node(.name(id(of: name, .load)), at: place)
      }
    case .string(var text):
      position += 1
      while case .string(let more) = current.kind {  // adjacent strings are one
        text += more
        position += 1
      }
      return try node(.constant(.string(text)), at: place)
    case .integer(let value):
      position += 1
      return try node(.constant(.integer(value)), at: place)
    case .float(let value):
      position += 1
      return try node(.constant(.float(value)), at: place)
    case .symbol(.leftParenthesis):
      position += 1
      let value = try nested { try $0.parseTuple(isParenthesised: true) }
      try expect(.rightParenthesis)
      return value
    case .symbol(.leftBracket): return try parseList()
    case .symbol(.leftBrace): return try parseDictionary()
    default: throw fault("expected an expression, found \(token.description)")
    }
  }

  private mutating func parseList() throws -> TemplateExpression {
    let place = take().position
    var items: [TemplateExpression] = []
    while !at(.rightBracket) {
      if !items.isEmpty { try expect(.comma) }
      if at(.rightBracket) { break }
      items.append(try parseExpression())
    }
    try expect(.rightBracket)
    return try node(.list(items), at: place, over: items)
  }

  private mutating func parseDictionary() throws -> TemplateExpression {
    let place = take().position
    var items: [(key: TemplateExpression, value: TemplateExpression)] = []
    while !at(.rightBrace) {
      if !items.isEmpty { try expect(.comma) }
      if at(.rightBrace) { break }
      let key = try parseExpression()
      try expect(.colon)
      items.append((key, try parseExpression()))
    }
    try expect(.rightBrace)
    return try node(.dictionary(items), at: place, over: items.flatMap { [$0.key, $0.value] })
  }
}
