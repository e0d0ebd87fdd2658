// What follows a value in an expression: attributes, subscripts, calls, filters and tests.

extension TemplateParser {
  mutating func parsePostfix(_ value: TemplateExpression) throws -> TemplateExpression {
    var value = value
    while true {
      switch current.kind {
      case .symbol(.dot): value = try parseAttribute(value)
      case .symbol(.leftBracket): value = try parseSubscript(value)
      case .symbol(.leftParenthesis): value = try parseCall(value)
      default: return value
      }
    }
  }

  mutating func parseFiltersAndTests(_ value: TemplateExpression) throws -> TemplateExpression {
    var value = value
    while true {
      switch current.kind {
      case .symbol(.pipe): value = try parseFilters(value)
      case .name("is"): value = try parseTest(value)
      case .symbol(.leftParenthesis): value = try parseCall(value)
      default: return value
      }
    }
  }

  private mutating func parseAttribute(_ value: TemplateExpression) throws -> TemplateExpression {
    let place = take().position
    switch take().kind {
    case .name(let name):
      return try node(.attribute(value, name), at: place, over: [value])
    case .integer(let index):
      let item = try node(.constant(.integer(index)), at: place)
      return try node(.item(value, item), at: place, over: [value])
    default: throw fault("expected a name or a number after '.'", at: place)
    }
  }

  private mutating func parseSubscript(_ value: TemplateExpression) throws -> TemplateExpression {
    let place = take().position
    var items: [TemplateExpression] = []
    while !at(.rightBracket) {
      if !items.isEmpty { try expect(.comma) }
      if at(.colon) { return try parseSlice(value, nil, place, alone: items.isEmpty) }
      let item = try parseExpression()
      if at(.colon) { return try parseSlice(value, item, place, alone: items.isEmpty) }
      items.append(item)
    }
    try expect(.rightBracket)
    let item = items.count == 1 ? items[0] : try node(.tuple(items), at: place, over: items)
    return try node(.item(value, item), at: place, over: [value, item])
  }

  private mutating func parseSlice(
    _ value: TemplateExpression, _ start: TemplateExpression?, _ place: TemplatePosition,
    alone: Bool
  ) throws -> TemplateExpression {
    var slice = TemplateExpression.Slice(start: start)
    try expect(.colon)
    if !at(.colon), !at(.rightBracket), !at(.comma) { slice.stop = try parseExpression() }
    if skip(.colon), !at(.rightBracket), !at(.comma) { slice.step = try parseExpression() }
    guard alone, !at(.comma) else {
      var fault = TemplateFault.unsupported("a slice among other subscripts")
      fault.position = place
      throw fault
    }
    try expect(.rightBracket)
    return try node(
      .slice(value, slice), at: place, over: [value, slice.start, slice.stop, slice.step])
  }

  private mutating func parseCall(_ value: TemplateExpression) throws -> TemplateExpression {
    let place = current.position
    let arguments = try parseArguments()
    return try node(.call(value, arguments), at: place, over: [value] + children(of: arguments))
  }

  private func children(
    of arguments: TemplateExpression.CallArguments
  ) -> [TemplateExpression?] {
    arguments.positional + arguments.named.map(\.value)
      + [arguments.unpacked, arguments.unpackedNamed]
  }

  private mutating func parseArguments() throws -> TemplateExpression.CallArguments {
    let place = current.position
    try expect(.leftParenthesis)
    var arguments = TemplateExpression.CallArguments()
    var isFirst = true
    while !at(.rightParenthesis) {
      if !isFirst {
        try expect(.comma)
        if at(.rightParenthesis) { break }
      }
      isFirst = false
      var isValid = arguments.unpackedNamed == nil
      if skip(.multiply) {
        isValid = isValid && arguments.unpacked == nil
        arguments.unpacked = try parseExpression()
      } else if skip(.power) {
        arguments.unpackedNamed = try parseExpression()
      } else if case .name(let name) = current.kind, next.kind == .symbol(.assign) {
        isValid = isValid && !arguments.named.contains { $0.name == name }
        position += 2
        arguments.named.append((name, try parseExpression()))
      } else {
        isValid = isValid && arguments.unpacked == nil && arguments.named.isEmpty
        arguments.positional.append(try parseExpression())
      }
      guard isValid else {
        throw fault("arguments out of order or repeated in a call", at: place)
      }
    }
    try expect(.rightParenthesis)
    return arguments
  }

  /// One or more filters. Without a value they stand in a filter block or a set block.
  mutating func parseFilters(
    _ value: TemplateExpression?, startsInline: Bool = false
  ) throws -> TemplateExpression {
    var value = value
    var inline = startsInline
    while inline || at(.pipe) {
      if !inline { position += 1 }
      inline = false
      let place = current.position
      let name = try parseDottedName()
      let arguments = at(.leftParenthesis) ? try parseArguments() : .init()
      if TemplateFilters.named[name] == nil {
        unknown.append(TemplateFilters.unknown(name, at: place))
      }
      value = try node(
        .filter(value, name, arguments), at: place, over: [value] + children(of: arguments))
    }
    guard let value else { throw fault("expected a filter, found \(current.description)") }
    return value
  }

  private mutating func parseDottedName() throws -> String {
    var name = try expectName()
    while skip(.dot) { name += "." + (try expectName()) }
    return name
  }

  private mutating func parseTest(_ value: TemplateExpression) throws -> TemplateExpression {
    let place = take().position
    let isNegated = skip("not")
    let name = try parseDottedName()
    var arguments = TemplateExpression.CallArguments()
    switch current.kind {
    case .symbol(.leftParenthesis): arguments = try parseArguments()
    case .name("else"), .name("or"), .name("and"): break
    case .name("is"): throw fault("tests cannot be chained with 'is'")
    case .name, .string, .integer, .float, .symbol(.leftBracket), .symbol(.leftBrace):
      arguments.positional = [try parseTestArgument()]
    default: break
    }
    if TemplateTests.named[name] == nil { unknown.append(TemplateTests.unknown(name, at: place)) }
    let test = try node(
      .test(value, name, arguments), at: place, over: [value] + children(of: arguments))
    return isNegated ? try node(.not(test), at: place, over: [test]) : test
  }

  /// The argument of a test without parentheses: a value with subscripts and calls.
  private mutating func parseTestArgument() throws -> TemplateExpression {
    try nested { parser in
      let value = try parser.parsePrimary()
      return try parser.parsePostfix(value)
    }
  }
}
