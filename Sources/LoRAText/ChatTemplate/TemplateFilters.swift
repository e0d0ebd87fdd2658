// The filters that stand after `|`: the table, and those for any value.

import Foundation
import LoRAJSON

enum TemplateFilters {
  typealias Filter =
    @Sendable (
      TemplateInterpreter, TemplateValue, inout TemplateArguments
    ) throws -> TemplateValue

  static let named: [String: Filter] = basic.merging(sequences) { a, _ in a }
    .merging(strings) { a, _ in a }

  /// Filters of Jinja that this interpreter refuses.
  private static let refused: Set<String> = [
    "filesizeformat", "forceescape", "pprint", "random", "striptags", "urlencode", "urlize",
    "wordwrap", "xmlattr",
  ]

  static func isKnownToJinja(_ name: String) -> Bool {
    named[name] != nil || refused.contains(name)
  }

  /// The error for a name that is no filter here.
  static func unknown(_ name: String, at position: TemplatePosition? = nil) -> TemplateFault {
    if refused.contains(name) {
      var fault = TemplateFault.unsupported("the filter '\(name)'")
      fault.position = position
      return fault
    }
    return TemplateFault(
      "no filter named '\(name)'",
      hint: "Known are: " + named.keys.sorted().joined(separator: ", ") + ".", at: position)
  }

  private static let basic: [String: Filter] = [
    "default": defaultValue, "d": defaultValue,
    "length": length, "count": length,
    "abs": absolute, "int": integer, "float": float, "round": round,
    "attr": { _, value, arguments in try attribute(of: value, arguments.requiredString("name")) },
    "tojson": toJSON,
  ]

  private static func defaultValue(
    _: TemplateInterpreter, _ value: TemplateValue, _ arguments: inout TemplateArguments
  ) -> TemplateValue {
    let fallback = arguments.next("default_value") ?? .string("")
    let testsTruth = arguments.truth("boolean")
    return value.isUndefined || testsTruth && !value.isTrue ? fallback : value
  }

  private static func length(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue, _: inout TemplateArguments
  ) throws -> TemplateValue {
    .integer(try interpreter.length(of: value))
  }

  private static func absolute(
    _: TemplateInterpreter, _ value: TemplateValue, _: inout TemplateArguments
  ) throws -> TemplateValue {
    switch Number(value) {
    case .float(let number)?: return .float(Swift.abs(number))
    case .integer(let number)?: return number < 0 ? try value.negated() : .integer(number)
    case nil:
      if case .undefined(let undefined) = value { throw undefined.fault }
      throw TemplateFault.type("bad operand type for abs(): '\(value.typeName)'")
    }
  }

  private static func integer(
    _: TemplateInterpreter, _ value: TemplateValue, _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let fallback = arguments.next("default") ?? .integer(0)
    let base = try arguments.integer("base", default: 10)
    switch value {
    case .undefined(let undefined): throw undefined.fault
    case .integer, .bool: return .integer(value.integerValue ?? 0)
    case .float(let number):
      if number.isNaN { return fallback }
      return .integer(try whole(number))
    case .string(let text), .markup(let text):
      guard base == 10 else { throw TemplateFault.unsupported("the base \(base) of 'int'") }
      let digits = try PythonNumber.digits(in: text)
      if let number = PythonNumber.integer(digits) { return .integer(try number.get()) }
      guard let number = PythonNumber.float(digits), number.isFinite else { return fallback }
      return .integer(try whole(number))
    default: return fallback
    }
  }

  private static func whole(_ number: Double) throws -> Int {
    guard number.isFinite else {
      throw TemplateFault.type("cannot convert float infinity to integer")
    }
    guard let whole = Int(exactly: number.rounded(.towardZero)) else {
      throw TemplateFault.unsupported("an integer of more than 64 bits")
    }
    return whole
  }

  private static func float(
    _: TemplateInterpreter, _ value: TemplateValue, _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let fallback = arguments.next("default") ?? .float(0)
    if case .undefined(let undefined) = value { throw undefined.fault }
    if let number = Number(value) { return .float(number.double) }
    guard let text = value.stringValue,
      let number = try PythonNumber.float(PythonNumber.digits(in: text))
    else { return fallback }
    return .float(number)
  }

  private static func round(
    _: TemplateInterpreter, _ value: TemplateValue, _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let precision = try arguments.integer("precision", default: 0)
    let method = try arguments.optionalString("method") ?? "common"
    guard ["common", "ceil", "floor"].contains(method) else {
      throw TemplateFault.type("method must be common, ceil or floor")
    }
    guard (0...300).contains(precision) else {
      throw TemplateFault.unsupported("rounding to \(precision) digits")
    }
    switch Number(value) {
    case nil:
      if case .undefined(let undefined) = value { throw undefined.fault }
      throw TemplateFault.type("type \(value.typeName) doesn't define __round__ method")
    case .integer(let number)? where method == "common": return .integer(number)
    case let number?:
      if method == "common" {
        if !number.double.isFinite { return .float(number.double) }
        // The C library rounds the exact binary value half to even, as Python does.
        return .float(Double(String(format: "%.*f", precision, number.double)) ?? number.double)
      }
      let power = pow(10, Double(precision))
      let scaled = number.double * power
      guard scaled.isFinite else { throw TemplateFault.type("cannot round an infinite number") }
      return .float((method == "ceil" ? scaled.rounded(.up) : scaled.rounded(.down)) / power)
    }
  }

  /// Only what Python has as an attribute; items are not looked at.
  private static func attribute(
    of value: TemplateValue, _ name: String
  ) throws -> TemplateValue {
    if case .dictionary = value { return try value.method(name) ?? value.missing(attribute: name) }
    return try value.attribute(name)
  }

  private static func toJSON(
    _: TemplateInterpreter, _ value: TemplateValue, _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    var style = JSONStyle.python
    style.ensureASCII = arguments.truth("ensure_ascii")
    switch arguments.next("indent") {
    case nil, .some(.none): break
    case .string(let text)?: style.indentation = text
    case let indent?:
      guard let spaces = indent.integerValue, spaces <= 1000 else {
        throw TemplateFault.type("tojson: the indent must be a small int or a str")
      }
      style.indentation = String(repeating: " ", count: max(0, spaces))
    }
    if style.indentation != nil { style.itemSeparator = "," }
    switch arguments.next("separators") {
    case nil, .some(.none): break
    case .list(let list)?, .tuple(let list)?:
      guard list.elements.count == 2, let item = list.elements[0].stringValue,
        let key = list.elements[1].stringValue
      else { throw TemplateFault.type("tojson: separators must be two strings") }
      (style.itemSeparator, style.keySeparator) = (item, key)
    default: throw TemplateFault.type("tojson: separators must be two strings")
    }
    style.sortKeys = arguments.truth("sort_keys")
    if style.sortKeys { try checkSortable(value) }
    return .string(try value.json().serialized(style))
  }

  private static func checkSortable(_ value: TemplateValue) throws {
    switch value {
    case .list(let list), .tuple(let list): try list.elements.forEach(checkSortable)
    case .dictionary(let dictionary):
      guard dictionary.entries.allSatisfy({ $0.key.stringValue != nil }) else {
        throw TemplateFault.unsupported("tojson with sort_keys of keys that are not strings")
      }
      try dictionary.entries.forEach { try checkSortable($0.value) }
    default: break
    }
  }
}

/// Numbers in text as Python's `int()` and `float()` read them.
enum PythonNumber {
  /// The text without white space around it; refuses digits of other scripts, which Python reads.
  static func digits(in text: String) throws -> String {
    if text.unicodeScalars.contains(where: { !$0.isASCII && $0.properties.numericType == .decimal })
    {
      throw TemplateFault.unsupported("a number in other digits than 0 to 9")
    }
    return text.pythonStripped()
  }

  /// Nil when the text is no integer; a failure when it needs more than 64 bits.
  static func integer(_ text: String) -> Result<Int, TemplateFault>? {
    var digits = Substring(text)
    let isNegative = digits.hasPrefix("-")
    if isNegative || digits.hasPrefix("+") { digits = digits.dropFirst() }
    guard hasGroupedDigits(digits) else { return nil }
    let plain = digits.filter { $0 != "_" }
    guard let value = Int((isNegative ? "-" : "") + plain) else {
      return .failure(.unsupported("an integer of more than 64 bits"))
    }
    return .success(value)
  }

  static func float(_ text: String) -> Double? {
    let scalars = text.unicodeScalars
    let unsigned = text.drop { $0 == "+" || $0 == "-" }.lowercased()
    if ["inf", "infinity", "nan"].contains(unsigned), text.utf8.count - unsigned.utf8.count <= 1 {
      return Double(text)
    }
    let allowed = scalars.allSatisfy {
      $0.isASCIIDigit || ["+", "-", ".", "e", "E", "_"].contains($0)
    }
    guard allowed, scalars.contains(where: \.isASCIIDigit) else { return nil }
    // An underscore stands between two digits.
    let list = Array(scalars)
    for place in list.indices where list[place] == "_" {
      guard place > 0, place + 1 < list.count, list[place - 1].isASCIIDigit,
        list[place + 1].isASCIIDigit
      else { return nil }
    }
    return Double(String(scalars: list.filter { $0 != "_" }))
  }

  private static func hasGroupedDigits(_ text: Substring) -> Bool {
    var afterDigit = false
    for scalar in text.unicodeScalars {
      if scalar.isASCIIDigit {
        afterDigit = true
      } else if scalar == "_", afterDigit {
        afterDigit = false
      } else {
        return false
      }
    }
    return afterDigit
  }
}
