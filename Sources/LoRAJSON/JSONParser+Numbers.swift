// Numbers of the JSON parser: integers exactly, others correctly rounded.

extension JSONParser {
  /// Parses a number; the position is at its sign or first digit.
  mutating func parseNumber() throws(JSONError) -> JSONValue {
    let start = position
    let negative = current == UInt8(ascii: "-")
    if negative { position += 1 }
    if current == UInt8(ascii: "I") || current == UInt8(ascii: "N") {
      throw error(
        "NaN and Infinity are not JSON", hint: "Use null or a finite number.", at: start)
    }
    // The digits as an integer while they fit; `digits` counts those that did.
    var magnitude: UInt64 = 0
    var fits = true
    func add(_ digit: UInt8) {
      let (times10, over) = magnitude.multipliedReportingOverflow(by: 10)
      let (sum, over2) = times10.addingReportingOverflow(UInt64(digit - UInt8(ascii: "0")))
      if over || over2 { fits = false } else { magnitude = sum }
    }
    let integerStart = position
    while isDigit(current) {
      add(current)
      position += 1
    }
    try requireDigits(since: integerStart, start)
    if bytes[integerStart] == UInt8(ascii: "0"), position > integerStart + 1 {
      throw error("a number with a leading zero", hint: "Write it without.", at: start)
    }
    var isInteger = true
    var exponent = 0
    if current == UInt8(ascii: ".") {
      isInteger = false
      position += 1
      let fraction = position
      while isDigit(current) {
        add(current)
        position += 1
      }
      try requireDigits(since: fraction, start)
      exponent = fraction - position
    }
    if current | 0x20 == UInt8(ascii: "e") {
      isInteger = false
      position += 1
      let minus = current == UInt8(ascii: "-")
      if minus || current == UInt8(ascii: "+") { position += 1 }
      let digits = position
      var written = 0
      while isDigit(current) {
        if written < 100_000 { written = written * 10 + Int(current - UInt8(ascii: "0")) }
        position += 1
      }
      try requireDigits(since: digits, start)
      exponent += minus ? -written : written
    }
    if isInteger, fits {
      if !negative, magnitude <= UInt64(Int.max) { return .integer(Int(magnitude)) }
      if negative, magnitude <= UInt64(Int.max) + 1 {
        return .integer(Int(truncatingIfNeeded: 0 &- magnitude))
      }
    }
    // Both the digits and the power of ten are exact, so one operation rounds correctly.
    if fits, magnitude < 1 << 53, exponent.magnitude < Self.powersOfTen.count {
      let power = Self.powersOfTen[Int(exponent.magnitude)]
      let value = exponent < 0 ? Double(magnitude) / power : Double(magnitude) * power
      return .number(negative ? -value : value)
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    guard let value = Double(text), value.isFinite else {
      throw error(
        "the number \(text.prefix(24)) is too large", hint: "The limit is about 1.8e308.",
        at: start)
    }
    return .number(value)
  }

  private static let powersOfTen: [Double] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
  ]

  @inline(__always) private func isDigit(_ byte: UInt8) -> Bool {
    byte &- UInt8(ascii: "0") < 10
  }

  private func requireDigits(since first: Int, _ start: Int) throws(JSONError) {
    if position == first {
      throw error(
        "a digit is missing in a number, found \(found(at: position))",
        hint: "JSON numbers look like -1, 0.5 or 1e-3.", at: start)
    }
  }
}
