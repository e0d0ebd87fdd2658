// Equality, order and membership as Python defines them.

import LoRAJSON

extension TemplateValue {
  // MARK: Equality

  static func areEqual(_ a: TemplateValue, _ b: TemplateValue) throws -> Bool {
    switch (a, b) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.string(let a), .string(let b)), (.string(let a), .markup(let b)),
      (.markup(let a), .string(let b)), (.markup(let a), .markup(let b)):
      return a.hasSameBytes(as: b)
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
      return a === b ? true : try areEqual(a.elements, b.elements)
    case (.dictionary(let a), .dictionary(let b)): return try areEqual(a, b)
    case (.range(let a), .range(let b)):
      return a.count == b.count
        && (a.count == 0 || a.start == b.start && (a.count == 1 || a.step == b.step))
    case (.view, .view): throw TemplateFault.unsupported("comparing views of dictionaries")
    case (.namespace(let a), .namespace(let b)): return a === b
    case (.loop(let a), .loop(let b)): return a === b
    case (.macro(let a), .macro(let b)): return a === b
    case (.function, .function): throw TemplateFault.unsupported("comparing functions")
    case (.iterator(let a), .iterator(let b)): return a === b
    default:
      guard let a = Number(a), let b = Number(b) else { return false }
      return Number.compare(a, b) == .equal
    }
  }

  static func areEqual(_ a: [TemplateValue], _ b: [TemplateValue]) throws -> Bool {
    guard a.count == b.count else { return false }
    for (a, b) in zip(a, b) where try !areEqual(a, b) { return false }
    return true
  }

  private static func areEqual(_ a: TemplateDictionary, _ b: TemplateDictionary) throws -> Bool {
    guard a.count == b.count else { return false }
    for (key, value) in a.entries {
      guard let other = try b.value(for: key), try areEqual(value, other) else { return false }
    }
    return true
  }

  // MARK: Order

  /// `a operation b` for one of `<`, `<=`, `>`, `>=`.
  static func compare(
    _ a: TemplateValue, _ operation: TemplateExpression.Comparison, _ b: TemplateValue
  ) throws -> Bool {
    if case .undefined(let undefined) = a { throw undefined.fault }
    if case .undefined(let undefined) = b { throw undefined.fault }
    if let a = Number(a), let b = Number(b) { return operation.holds(Number.compare(a, b)) }
    if let a = a.stringValue, let b = b.stringValue {
      let order: Ordering =
        a.hasSameBytes(as: b) ? .equal : a.precedesByBytes(b) ? .less : .greater
      return operation.holds(order)
    }
    switch (a, b) {
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
      return try compare(a.elements, operation, b.elements)
    case (.view, .view): throw TemplateFault.unsupported("comparing views of dictionaries")
    default:
      throw TemplateFault.type(
        "'\(operation.rawValue)' not supported between '\(a.typeName)' and '\(b.typeName)'")
    }
  }

  /// Sequences compare by their first unequal elements, else by length.
  static func compare(
    _ a: [TemplateValue], _ operation: TemplateExpression.Comparison, _ b: [TemplateValue]
  ) throws -> Bool {
    for (a, b) in zip(a, b) where try !areEqual(a, b) { return try compare(a, operation, b) }
    return operation.holds(
      a.count == b.count ? .equal : a.count < b.count ? .less : .greater)
  }

  // MARK: Membership

  /// Python's `element in self`.
  func contains(_ element: TemplateValue) throws -> Bool {
    switch self {
    case .string(let text), .markup(let text):
      guard let part = element.stringValue else {
        if case .undefined(let undefined) = element { throw undefined.fault }
        throw TemplateFault.type(
          "'in <string>' requires string as left operand, not \(element.typeName)")
      }
      return text.pythonContains(part)
    case .list(let list), .tuple(let list):
      return try list.elements.contains { try Self.areEqual($0, element) }
    case .dictionary(let dictionary): return try dictionary.value(for: element) != nil
    case .view(let view):
      if view.part == .keys { return try view.dictionary.value(for: element) != nil }
      return try view.elements().contains { try Self.areEqual($0, element) }
    case .range(let range):
      if case .float(let number) = element {
        return Int(exactly: number).map(range.contains) ?? false
      }
      return element.integerValue.map(range.contains) ?? false
    case .iterator(let iterator):
      while let value = try iterator.next() {
        if try Self.areEqual(value, element) { return true }
      }
      return false
    case .undefined: return false
    default: throw TemplateFault.type("argument of type '\(typeName)' is not iterable")
    }
  }
}

/// How two values stand to each other; NaN stands to nothing.
enum Ordering { case less, equal, greater, unordered }

extension TemplateExpression.Comparison {
  fileprivate func holds(_ order: Ordering) -> Bool {
    switch self {
    case .less: order == .less
    case .lessOrEqual: order == .less || order == .equal
    case .greater: order == .greater
    case .greaterOrEqual: order == .greater || order == .equal
    default: false
    }
  }
}

/// A number of Python: an int (bools are ints) or a float.
enum Number {
  case integer(Int)
  case float(Double)

  init?(_ value: TemplateValue) {
    switch value {
    case .integer(let value): self = .integer(value)
    case .float(let value): self = .float(value)
    case .bool(let value): self = .integer(value ? 1 : 0)
    default: return nil
    }
  }

  var double: Double {
    switch self {
    case .integer(let value): Double(value)
    case .float(let value): value
    }
  }

  /// Compares exactly, also an int that no float can hold.
  static func compare(_ a: Number, _ b: Number) -> Ordering {
    switch (a, b) {
    case (.integer(let a), .integer(let b)): return a < b ? .less : a == b ? .equal : .greater
    case (.float(let a), .float(let b)): return order(a, b)
    case (.integer(let a), .float(let b)): return order(a, b)
    case (.float(let a), .integer(let b)):
      switch order(b, a) {
      case .less: return .greater
      case .greater: return .less
      case let same: return same
      }
    }
  }

  private static func order(_ a: Double, _ b: Double) -> Ordering {
    a < b ? .less : a == b ? .equal : a > b ? .greater : .unordered
  }

  private static func order(_ a: Int, _ b: Double) -> Ordering {
    if b.isNaN { return .unordered }
    // Beyond 2^53 compare with the whole part of the float, which then fits an Int or decides.
    if a.magnitude <= 1 << 53 { return order(Double(a), b) }
    if b >= 0x1p63 { return .less }
    if b < -0x1p63 { return .greater }
    let whole = Int(b.rounded(.down))
    if a != whole { return a < whole ? .less : .greater }
    return b > b.rounded(.down) ? .less : .equal
  }
}
