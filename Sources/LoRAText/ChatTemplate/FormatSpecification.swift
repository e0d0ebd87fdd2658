// Formatting of one value by width, precision and type, shared by '%' and 'format'.

import Foundation
import LoRAJSON

struct FormatSpecification {
  /// Wider fields and longer fractions are refused.
  static let widest = 10_000

  var fill: Unicode.Scalar = " "
  /// "<", ">", "^" or "="; nil is the default of the type.
  var alignment: Unicode.Scalar?
  /// "+", "-" or " ".
  var sign: Unicode.Scalar = "-"
  var isAlternate = false
  var width = 0
  /// "," or "_" between groups of digits.
  var grouping: Unicode.Scalar?
  var precision: Int?
  var type: Unicode.Scalar?

  func checkSizes() throws {
    if width > Self.widest || precision ?? 0 > Self.widest {
      throw TemplateFault.limit("a format wider than \(Self.widest)")
    }
  }

  // MARK: Strings

  func apply(to text: String) throws -> String {
    var text = text
    if let precision { text = String(scalars: text.unicodeScalars.prefix(precision)) }
    return try pad(text, default: "<")
  }

  func pad(_ text: String, default alignment: Unicode.Scalar) throws -> String {
    let space = max(0, width - text.pythonCount)
    switch self.alignment ?? alignment {
    case ">", "=": return try text.pythonPadded(left: space, fill)
    case "^": return try text.pythonPadded(left: space / 2, right: space - space / 2, fill)
    default: return try text.pythonPadded(right: space, fill)
    }
  }

  // MARK: Numbers

  func apply(to number: Int) throws -> String {
    let magnitude = number.magnitude
    let digits: String
    var prefix = ""
    switch type {
    case nil, "d": digits = String(magnitude)
    case "x", "X":
      digits = String(magnitude, radix: 16, uppercase: type == "X")
      prefix = type == "X" ? "0X" : "0x"
    case "o": (digits, prefix) = (String(magnitude, radix: 8), "0o")
    case "b": (digits, prefix) = (String(magnitude, radix: 2), "0b")
    case let type?:
      if ["e", "E", "f", "F", "g", "G", "%"].contains(type) {
        return try apply(to: Double(number))
      }
      throw TemplateFault.unsupported("the format type '\(type)' for int")
    }
    return try finish(
      digits, fraction: "", isNegative: number < 0, prefix: isAlternate ? prefix : "",
      groupSize: type == nil || type == "d" ? 3 : 4)
  }

  func apply(to number: Double) throws -> String {
    if isAlternate { throw TemplateFault.unsupported("'#' in the format of a float") }
    var text: String
    let magnitude = number.magnitude
    switch type {
    case nil:
      guard precision == nil else {
        throw TemplateFault.unsupported("the format of a float with a precision but no type")
      }
      text = magnitude.pythonDescription
    case "f", "F", "e", "E", "g", "G":
      text = Self.printed(magnitude, type ?? "f", precision ?? 6)
    case "%": text = Self.printed(magnitude * 100, "f", precision ?? 6) + "%"
    case let type?: throw TemplateFault.unsupported("the format type '\(type)' for float")
    }
    if number.isNaN { text = text.replacingOccurrences(of: "-", with: "") }
    let whole = text.prefix { $0.isASCII && $0.isNumber }
    return try finish(
      String(whole), fraction: String(text.dropFirst(whole.count)),
      isNegative: number.sign == .minus && !number.isNaN, prefix: "", groupSize: 3)
  }

  private static func printed(
    _ number: Double, _ type: Unicode.Scalar, _ precision: Int
  ) -> String {
    String(format: "%.\(precision)\(type)", number)
  }

  private func finish(
    _ digits: String, fraction: String, isNegative: Bool, prefix: String, groupSize: Int
  ) throws -> String {
    let sign = isNegative ? "-" : self.sign == "-" ? "" : String(self.sign)
    var digits = digits
    if alignment == "=" {
      let taken = sign.utf8.count + prefix.utf8.count + fraction.pythonCount
      if let grouping {
        guard fill == "0" else { throw TemplateFault.unsupported("'=' with groups of digits") }
        // Zeros are grouped too, and a group's mark never stands first.
        var padded = digits
        var grouped = Self.grouped(padded, grouping, groupSize)
        while grouped.utf8.count + taken < width {
          padded = "0" + padded
          grouped = Self.grouped(padded, grouping, groupSize)
        }
        digits = grouped
      } else {
        digits = try digits.pythonPadded(left: width - taken - digits.utf8.count, fill)
      }
      return sign + prefix + digits + fraction
    }
    if let grouping { digits = Self.grouped(digits, grouping, groupSize) }
    return try pad(sign + prefix + digits + fraction, default: ">")
  }

  private static func grouped(
    _ digits: String, _ mark: Unicode.Scalar, _ size: Int
  ) -> String {
    var result = String.UnicodeScalarView()
    let scalars = Array(digits.unicodeScalars)
    for (place, scalar) in scalars.enumerated() {
      if place > 0, (scalars.count - place) % size == 0 { result.append(mark) }
      result.append(scalar)
    }
    return String(result)
  }
}
