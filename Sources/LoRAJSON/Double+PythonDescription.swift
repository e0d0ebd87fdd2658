// Floating-point numbers as Python's repr writes them.

extension Double {
  /// The shortest text that reads back as this number, in Python's form: `1.0`, `1e-05`, `1e+16`,
  /// `inf`, `nan`.
  package var pythonDescription: String {
    if isNaN { return "nan" }
    if isInfinite { return self < 0 ? "-inf" : "inf" }
    // Swift finds the same shortest digits; only the layout differs.
    let parts = magnitude.description.utf8.split(separator: UInt8(ascii: "e"))
    let mantissa = parts[0].split(separator: UInt8(ascii: "."))
    let exponent = parts.count > 1 ? Int(Substring(parts[1])) ?? 0 : 0
    return Self.layOut(
      Array(mantissa.joined()), point: mantissa[0].count + exponent, negative: sign == .minus)
  }

  private static func layOut(_ all: [UInt8], point: Int, negative: Bool) -> String {
    let leading = all.prefix { $0 == UInt8(ascii: "0") }.count
    var digits = Array(all.dropFirst(leading))
    var point = point - leading
    while digits.last == UInt8(ascii: "0") { digits.removeLast() }
    if digits.isEmpty {
      digits = [UInt8(ascii: "0")]
      point = 1
    }
    let string = String(decoding: digits, as: UTF8.self)
    let zeros = { String(repeating: "0", count: $0) }
    let sign = negative ? "-" : ""
    if point > 16 || point < -3 {
      let fraction = string.dropFirst()
      let power = abs(point - 1)
      return sign + string.prefix(1) + (fraction.isEmpty ? "" : ".\(fraction)") + "e"
        + (point < 1 ? "-" : "+") + (power < 10 ? "0" : "") + String(power)
    }
    if point <= 0 { return sign + "0." + zeros(-point) + string }
    if point >= digits.count { return sign + string + zeros(point - digits.count) + ".0" }
    return sign + string.prefix(point) + "." + string.dropFirst(point)
  }
}
