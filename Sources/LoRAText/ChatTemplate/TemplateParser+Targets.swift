// What a template assigns to: names, attributes of namespaces, tuples of those.

extension TemplateParser {
  /// A target, or several with commas.
  mutating func parseTarget(allowsNamespace: Bool = false, use: Use = .store) throws
    -> TemplateTarget
  {
    var targets: [TemplateTarget] = []
    var isTuple = false
    let start = current
    while true {
      if isTupleEnd { break }
      targets.append(try parseOneTarget(allowsNamespace: allowsNamespace, use: use))
      guard skip(.comma) else { break }
      isTuple = true
    }
    guard let first = targets.first else {
      throw fault("expected something to assign to, found \(start.description)")
    }
    return isTuple ? .tuple(targets) : first
  }

  private mutating func parseOneTarget(
    allowsNamespace: Bool, use: Use
  ) throws -> TemplateTarget {
    if at(.leftParenthesis) {
      return try nested { parser in
        parser.position += 1
        // Inside of parentheses a single name is still that name, and nothing is a tuple.
        if parser.skip(.rightParenthesis) { return .tuple([]) }
        let target = try parser.parseTarget(allowsNamespace: allowsNamespace, use: use)
        try parser.expect(.rightParenthesis)
        return target
      }
    }
    let token = current
    guard case .name(let name) = token.kind,
      !["true", "false", "none", "True", "False", "None"].contains(name)
    else {
      throw fault("cannot assign to \(token.description)")
    }
    position += 1
    if allowsNamespace, skip(.dot) {
      return .attribute(namespace: id(of: name, .load), try expectName())
    }
    return .name(id(of: name, use))
  }
}
