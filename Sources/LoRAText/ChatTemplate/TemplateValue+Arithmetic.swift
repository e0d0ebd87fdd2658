// The operators + - * / // % ** with Python's rules for numbers, strings and sequences.

import Foundation
import LoRAJSON

extension TemplateValue {
  static func compute(
    _ a: TemplateValue, _ operation: TemplateOperator, _ b: TemplateValue
  ) throws -> TemplateValue {
    if case .undefined(let undefined) = a { throw undefined.fault }
    if operation == .modulo, case .string(let format) = a {
      return .string(try PercentFormat.format(format, b))
    }
    if case .undefined(let undefined) = b { throw undefined.fault }
    if let a = Number(a), let b = Number(b) { return try Number.compute(a, operation, b) }
    switch (operation, a, b) {
    case (.add, .string(let a), .string(let b)):
      try TemplateLimits.check(a.utf8.count, plus: 1, times: b.utf8.count)
      return .string(a + b)
    case (.add, .markup(let a), .markup(let b)):
      try TemplateLimits.check(a.utf8.count, plus: 1, times: b.utf8.count)
      return .markup(a + b)
    case (.add, .markup(let a), .string(let b)): return .markup(a + (try b.htmlEscaped()))
    case (.add, .string(let a), .markup(let b)): return .markup(try a.htmlEscaped() + b)
    case (.add, .list(let a), .list(let b)): return try .list(a.elements + b.elements)
    case (.add, .tuple(let a), .tuple(let b)): return try .tuple(a.elements + b.elements)
    case (.multiply, _, _):
      if let count = b.integerValue, let repeated = try a.repeated(count) { return repeated }
      if let count = a.integerValue, let repeated = try b.repeated(count) { return repeated }
    case (.subtract, .view, _), (.subtract, _, .view):
      throw TemplateFault.unsupported("the difference of views of dictionaries")
    case (.modulo, .markup, _): throw TemplateFault.unsupported("'%' on a safe string")
    default: break
    }
    throw TemplateFault.type(
      "unsupported operand types for \(operation.rawValue): '\(a.typeName)' and '\(b.typeName)'")
  }

  private func repeated(_ count: Int) throws -> TemplateValue? {
    let count = max(0, count)
    switch self {
    case .string(let text), .markup(let text):
      try TemplateLimits.check(0, plus: count, times: text.utf8.count)
      let result = text.isEmpty ? "" : String(repeating: text, count: count)
      if case .markup = self { return .markup(result) }
      return .string(result)
    case .list(let list), .tuple(let list):
      let (length, over) = list.elements.count.multipliedReportingOverflow(by: count)
      if over || length > TemplateLimits.longestList {
        throw TemplateFault.limit("a list of more than \(TemplateLimits.longestList) elements")
      }
      let copies = list.elements.isEmpty ? 0 : count
      let elements = Array(repeatElement(list.elements, count: copies).joined())
      if case .tuple = self { return try .tuple(elements) }
      return try .list(elements)
    default: return nil
    }
  }

  func negated() throws -> TemplateValue {
    switch self {
    case .undefined(let undefined): throw undefined.fault
    case .float(let value): return .float(-value)
    default:
      guard let value = integerValue else {
        throw TemplateFault.type("bad operand type for unary -: '\(typeName)'")
      }
      return .integer(try Number.whole(0.subtractingReportingOverflow(value)))
    }
  }

  func madePositive() throws -> TemplateValue {
    switch self {
    case .undefined(let undefined): throw undefined.fault
    case .float: return self
    default:
      guard let value = integerValue else {
        throw TemplateFault.type("bad operand type for unary +: '\(typeName)'")
      }
      return .integer(value)
    }
  }
}

extension Number {
  /// The result of an integer operation, an error where Python would need more than 64 bits.
  static func whole(_ result: (partialValue: Int, overflow: Bool)) throws -> Int {
    if result.overflow { throw TemplateFault.unsupported("an integer of more than 64 bits") }
    return result.partialValue
  }

  static func compute(
    _ a: Number, _ operation: TemplateOperator, _ b: Number
  ) throws -> TemplateValue {
    if case .integer(let a) = a, case .integer(let b) = b { return try compute(a, operation, b) }
    let (x, y) = (a.double, b.double)
    switch operation {
    case .add: return .float(x + y)
    case .subtract: return .float(x - y)
    case .multiply: return .float(x * y)
    case .divide:
      if y == 0 { throw TemplateFault.type("float division by zero") }
      return .float(x / y)
    case .floorDivide: return .float(try divide(x, y).quotient)
    case .modulo: return .float(try divide(x, y).remainder)
    case .power: return .float(try power(x, y))
    }
  }

  private static func compute(
    _ a: Int, _ operation: TemplateOperator, _ b: Int
  ) throws -> TemplateValue {
    switch operation {
    case .add: return .integer(try whole(a.addingReportingOverflow(b)))
    case .subtract: return .integer(try whole(a.subtractingReportingOverflow(b)))
    case .multiply: return .integer(try whole(a.multipliedReportingOverflow(by: b)))
    case .divide:
      if b == 0 { throw TemplateFault.type("division by zero") }
      // Exact operands make the quotient correctly rounded, as Python's is.
      guard a.magnitude <= 1 << 53, b.magnitude <= 1 << 53 else {
        throw TemplateFault.unsupported("dividing integers above 2**53")
      }
      return .float(Double(a) / Double(b))
    case .floorDivide, .modulo:
      if b == 0 { throw TemplateFault.type("integer division or modulo by zero") }
      let quotient = try whole(a.dividedReportingOverflow(by: b))
      let remainder = a - quotient * b
      let isBelow = remainder != 0 && (remainder < 0) != (b < 0)
      if operation == .modulo { return .integer(isBelow ? remainder + b : remainder) }
      return .integer(isBelow ? quotient - 1 : quotient)
    case .power: return try power(a, b)
    }
  }

  /// Floor division and its remainder, which has the sign of the divisor.
  private static func divide(
    _ x: Double, _ y: Double
  ) throws -> (quotient: Double, remainder: Double) {
    if y == 0 { throw TemplateFault.type("float floor division or modulo by zero") }
    var remainder = fmod(x, y)
    var quotient = (x - remainder) / y
    if remainder != 0 {
      if (y < 0) != (remainder < 0) {
        remainder += y
        quotient -= 1
      }
    } else {
      remainder = Double(signOf: y, magnitudeOf: 0)
    }
    if quotient != 0 {
      let floored = quotient.rounded(.down)
      quotient = quotient - floored > 0.5 ? floored + 1 : floored
    } else {
      quotient = Double(signOf: x / y, magnitudeOf: 0)
    }
    return (quotient, remainder)
  }

  private static func power(_ base: Int, _ exponent: Int) throws -> TemplateValue {
    if exponent < 0 {
      if base == 0 { throw TemplateFault.type("0 cannot be raised to a negative power") }
      return .float(try power(Double(base), Double(exponent)))
    }
    if base == 0 || base == 1 { return .integer(exponent == 0 ? 1 : base) }
    if base == -1 { return .integer(exponent % 2 == 0 ? 1 : -1) }
    var result = 1
    for _ in 0..<min(exponent, 64) {  // 2**64 overflows, so no more turns are needed
      result = try whole(result.multipliedReportingOverflow(by: base))
    }
    return .integer(result)
  }

  private static func power(_ x: Double, _ y: Double) throws -> Double {
    if x == 0, y < 0 { throw TemplateFault.type("0.0 cannot be raised to a negative power") }
    if x < 0, x.isFinite, y.isFinite, y != y.rounded() {
      throw TemplateFault.unsupported("a complex number, from a root of a negative one,")
    }
    let result = pow(x, y)
    if result.isInfinite, x.isFinite, y.isFinite {
      throw TemplateFault.type("the result of ** is too large")
    }
    return result
  }
}

extension String {
  /// The text with the characters of HTML escaped, as markupsafe does.
  func htmlEscaped() throws -> String {
    try TemplateLimits.check(0, plus: utf8.count, times: 5)
    var result = ""
    for scalar in unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "'": result += "&#39;"
      case "\"": result += "&#34;"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
