// Builds the syntax tree of a template: the machinery and the statements.

struct TemplateParser {
  /// Nesting of tags and brackets; real templates stay below 20.
  static let deepest = 60
  /// Levels of one expression's tree, also where a chain of operators leans to one side.
  static let deepestExpression = 200

  let tokens: [TemplateToken]
  var position = 0
  private var ids: [String: Int] = [:]
  private var names: [String] = []
  private var nesting = 0
  /// How variables were mentioned so far; macros and loops look for special names in it.
  private var mentions: [(name: String, use: Use)] = []
  /// Unknown filters and tests seen so far. Jinja forgives those inside of conditions until
  /// they are reached, so that a template can ask `'name' is filter` first.
  var unknown: [TemplateFault] = []
  private var loops = 0

  enum Use { case load, store, parameter }

  init(_ tokens: [TemplateToken]) { self.tokens = tokens }

  mutating func parse() throws -> TemplateProgram {
    let statements = try parseStatements(until: [], opening: nil)
    if let fault = unknown.first { throw fault }
    return TemplateProgram(
      statements: statements, names: names,
      readNames: Set(mentions.filter { $0.use == .load }.map(\.name)))
  }

  // MARK: Tokens

  var current: TemplateToken { tokens[min(position, tokens.count - 1)] }
  var next: TemplateToken { tokens[min(position + 1, tokens.count - 1)] }

  mutating func take() -> TemplateToken {
    let token = current
    position += 1
    return token
  }

  func at(_ symbol: TemplateToken.Symbol) -> Bool { current.kind == .symbol(symbol) }
  func at(_ name: String) -> Bool { current.kind == .name(name) }

  mutating func skip(_ symbol: TemplateToken.Symbol) -> Bool {
    if at(symbol) { position += 1 } else { return false }
    return true
  }

  mutating func skip(_ name: String) -> Bool {
    if at(name) { position += 1 } else { return false }
    return true
  }

  mutating func expect(_ kind: TemplateToken.Kind, _ description: String) throws {
    guard current.kind == kind else {
      throw fault("expected \(description), found \(current.description)")
    }
    position += 1
  }

  mutating func expect(_ symbol: TemplateToken.Symbol) throws {
    try expect(.symbol(symbol), "'\(symbol.rawValue)'")
  }

  mutating func expectName() throws -> String {
    guard case .name(let name) = current.kind else {
      throw fault("expected a name, found \(current.description)")
    }
    position += 1
    return name
  }

  func fault(_ message: String, at place: TemplatePosition? = nil) -> TemplateFault {
    TemplateFault(
      message, hint: "Correct the template's syntax here.", at: place ?? current.position)
  }

  /// Runs a step one level deeper.
  mutating func nested<Result>(
    _ step: (inout TemplateParser) throws -> Result
  ) throws -> Result {
    nesting += 1
    defer { nesting -= 1 }
    if nesting > Self.deepest {
      throw TemplateFault(
        "nested deeper than \(Self.deepest) levels", hint: "Split the expression or the block.",
        at: current.position)
    }
    return try step(&self)
  }

  // MARK: Names

  mutating func id(of name: String, _ use: Use) -> Int {
    mentions.append((name, use))
    if let id = ids[name] { return id }
    ids[name] = names.count
    names.append(name)
    return names.count - 1
  }

  /// Whether the name is read since a mark before anything binds it there.
  private func reads(_ name: String, since mark: Int) -> Bool {
    mentions[mark...].first { $0.name == name }?.use == .load
  }

  // MARK: Statements

  /// Statements up to a tag of one of these names, which is consumed with its name only.
  private mutating func parseStatements(
    until ends: [String], opening: TemplateToken?
  ) throws -> [TemplateStatement] {
    try nested { parser in
      var statements: [TemplateStatement] = []
      while true {
        let token = parser.take()
        switch token.kind {
        case .text(let text):
          statements.append(.text(text))
        case .variableBegin:
          statements.append(.output(try parser.parseTuple()))
          try parser.expect(.variableEnd, "'}}'")
        case .blockBegin:
          if case .name(let name) = parser.current.kind, ends.contains(name) { return statements }
          statements.append(try parser.parseStatement(ends))
          try parser.expect(.blockEnd, "'%}'")
        default:
          guard let opening else { return statements }
          throw parser.fault(
            "the block \(opening.description) has no end; expected "
              + ends.map { "'\($0)'" }.joined(separator: " or "), at: opening.position)
        }
      }
    }
  }

  /// The body of a block after its head, up to one of the end tags, whose name is consumed.
  private mutating func parseBody(
    _ opening: TemplateToken, until ends: String...
  ) throws -> (body: [TemplateStatement], end: String) {
    _ = skip(.colon)
    try expect(.blockEnd, "'%}'")
    let body = try parseStatements(until: ends, opening: opening)
    return (body, try expectName())
  }

  /// The body of a block that has variables of its own. Inside it unknown filters count again.
  private mutating func parseInnerBody(
    _ opening: TemplateToken, until end: String
  ) throws -> [TemplateStatement] {
    let mark = unknown.count
    let body = try parseBody(opening, until: end).body
    try refuseUnknown(since: mark)
    return body
  }

  private func refuseUnknown(since mark: Int) throws {
    if unknown.count > mark { throw unknown[mark] }
  }

  private mutating func parseStatement(_ ends: [String]) throws -> TemplateStatement {
    let token = current
    guard case .name(let name) = token.kind else {
      throw fault("expected the name of a tag, found \(token.description)")
    }
    position += 1
    switch name {
    case "if": return try parseIf(token)
    case "for": return try parseFor(token)
    case "set": return try parseSet(token)
    case "macro": return try parseMacro(token)
    case "call": return try parseCallBlock(token)
    case "filter": return try parseFilterBlock(token)
    case "with": return try parseWith(token)
    case "print": return try parsePrint()
    case "generation":
      let outerLoops = loops
      loops = 0
      defer { loops = outerLoops }
      return .generation(try parseInnerBody(token, until: "endgeneration"))
    case "break", "continue":
      guard loops > 0 else { throw fault("'\(name)' outside of a loop", at: token.position) }
      return name == "break" ? .breakLoop : .continueLoop
    case "block", "extends", "include", "import", "from", "autoescape":
      var fault = TemplateFault.unsupported("the tag '\(name)'")
      fault.position = token.position
      throw fault
    default:
      let expected =
        ends.isEmpty
        ? "" : "; expected " + ends.map { "'\($0)'" }.joined(separator: " or ")
      throw fault("unknown tag '\(name)'\(expected)", at: token.position)
    }
  }

  private mutating func parseIf(_ opening: TemplateToken) throws -> TemplateStatement {
    let mark = unknown.count
    var branches: [(test: TemplateExpression, body: [TemplateStatement])] = []
    var otherwise: [TemplateStatement] = []
    while true {
      let test = try parseTuple(conditional: false)
      let (body, end) = try parseBody(opening, until: "elif", "else", "endif")
      branches.append((test, body))
      if end == "elif" { continue }
      if end == "else" { otherwise = try parseBody(opening, until: "endif").body }
      unknown.removeSubrange(mark...)
      return .conditional(branches, otherwise: otherwise)
    }
  }

  private mutating func parseFor(_ opening: TemplateToken) throws -> TemplateStatement {
    let mentionMark = mentions.count
    let target = try parseTarget()
    try expect(.name("in"), "'in'")
    let iterable = try parseTuple(conditional: false)
    let mark = unknown.count
    let test = skip("if") ? try parseExpression() : nil
    let isRecursive = skip("recursive")
    loops += 1
    let (body, end) = try parseBody(opening, until: "endfor", "else")
    loops -= 1
    let otherwise = end == "else" ? try parseBody(opening, until: "endfor").body : []
    try refuseUnknown(since: mark)
    if mentions[mentionMark...].contains(where: { $0.name == "loop" && $0.use == .store }) {
      throw fault("a loop cannot assign to its variable 'loop'", at: opening.position)
    }
    return .loop(
      TemplateLoopSyntax(
        target: target, iterable: iterable, test: test, isRecursive: isRecursive, body: body,
        otherwise: otherwise, position: opening.position))
  }

  private mutating func parseSet(_ opening: TemplateToken) throws -> TemplateStatement {
    let target = try parseTarget(allowsNamespace: true)
    if skip(.assign) { return .assignment(target, try parseTuple()) }
    let mark = unknown.count
    let filter = at(.pipe) ? try parseFilters(nil) : nil
    let body = try parseInnerBody(opening, until: "endset")
    try refuseUnknown(since: mark)
    return .capture(target, filter: filter, body, opening.position)
  }

  private mutating func parseFilterBlock(_ opening: TemplateToken) throws -> TemplateStatement {
    let mark = unknown.count
    let filter = try parseFilters(nil, startsInline: true)
    let body = try parseInnerBody(opening, until: "endfilter")
    try refuseUnknown(since: mark)
    return .filterBlock(filter, body)
  }

  private mutating func parseWith(_ opening: TemplateToken) throws -> TemplateStatement {
    var bindings: [(target: TemplateTarget, value: TemplateExpression)] = []
    while current.kind != .blockEnd, current.kind != .end {
      if !bindings.isEmpty { try expect(.comma) }
      let target = try parseTarget(use: .parameter)
      try expect(.assign)
      bindings.append((target, try parseExpression()))
    }
    return .with(bindings, try parseInnerBody(opening, until: "endwith"))
  }

  private mutating func parsePrint() throws -> TemplateStatement {
    let start = current.position
    var parts: [TemplateExpression] = []
    while current.kind != .blockEnd, current.kind != .end {
      if !parts.isEmpty { try expect(.comma) }
      parts.append(try parseExpression())
    }
    return .output(try node(.concatenation(parts), at: start, over: parts))
  }

  // MARK: Macros

  private mutating func parseMacro(_ opening: TemplateToken) throws -> TemplateStatement {
    let name = try expectName()
    let id = id(of: name, .parameter)
    var macro = TemplateMacroSyntax(
      name: name, parameters: try parseParameters(), body: [], position: opening.position)
    try parseMacroBody(&macro, opening, until: "endmacro")
    return .macro(name: id, macro)
  }

  private mutating func parseCallBlock(_ opening: TemplateToken) throws -> TemplateStatement {
    var macro = TemplateMacroSyntax(
      name: nil, parameters: at(.leftParenthesis) ? try parseParameters() : [], body: [],
      position: opening.position)
    let call = try parseExpression()
    guard case .call = call.kind else {
      throw fault("expected a call in the 'call' block", at: call.position)
    }
    try parseMacroBody(&macro, opening, until: "endcall")
    return .callBlock(call, macro)
  }

  private mutating func parseMacroBody(
    _ macro: inout TemplateMacroSyntax, _ opening: TemplateToken, until end: String
  ) throws {
    let mark = mentions.count
    let outerLoops = loops
    loops = 0
    macro.body = try parseInnerBody(opening, until: end)
    loops = outerLoops
    macro.usesCaller = reads("caller", since: mark)
    macro.usesNamed =
      reads("kwargs", since: mark) && !macro.parameters.contains { $0.name == "kwargs" }
    macro.usesPositional =
      reads("varargs", since: mark) && !macro.parameters.contains { $0.name == "varargs" }
    if macro.usesCaller,
      macro.parameters.contains(where: { $0.name == "caller" && $0.defaultValue == nil })
    {
      throw fault("a parameter 'caller' needs a default", at: opening.position)
    }
  }

  private mutating func parseParameters() throws
    -> [(name: String, id: Int, defaultValue: TemplateExpression?)]
  {
    var parameters: [(name: String, id: Int, defaultValue: TemplateExpression?)] = []
    try expect(.leftParenthesis)
    while !at(.rightParenthesis) {
      if !parameters.isEmpty { try expect(.comma) }
      let place = current.position
      let name = try expectName()
      if parameters.contains(where: { $0.name == name }) {
        throw fault("the parameter '\(name)' appears twice", at: place)
      }
      let id = id(of: name, .parameter)
      let value = skip(.assign) ? try parseExpression() : nil
      if value == nil, parameters.last?.defaultValue != nil {
        throw fault("a parameter without default after one with default", at: place)
      }
      parameters.append((name, id, value))
    }
    try expect(.rightParenthesis)
    return parameters
  }
}
