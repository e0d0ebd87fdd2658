// The operator '%' of strings and the filter 'format': "%s has %d" % (name, count).

enum PercentFormat {
  static func format(_ format: String, _ argument: TemplateValue) throws -> String {
    var reader = Reader(format, argument)
    return try reader.read()
  }

  private struct Reader {
    let scalars: [Unicode.Scalar]
    var index = 0
    var output = ""
    let mapping: TemplateDictionary?
    var values: ArraySlice<TemplateValue>
    /// A single value that is no tuple may stay unused when it is a container, as in Python.
    let mayStay: Bool

    init(_ format: String, _ argument: TemplateValue) {
      scalars = Array(format.unicodeScalars)
      if case .dictionary(let dictionary) = argument { mapping = dictionary } else { mapping = nil }
      if case .tuple(let list) = argument {
        values = list.elements[...]
        mayStay = false
      } else {
        values = [argument]
        switch argument {
        case .dictionary, .list, .range, .undefined: mayStay = true
        default: mayStay = false
        }
      }
    }

    mutating func read() throws -> String {
      var usedMapping = false
      while index < scalars.count {
        let scalar = scalars[index]
        index += 1
        if scalar != "%" {
          output.unicodeScalars.append(scalar)
          continue
        }
        var key: String?
        if index < scalars.count, scalars[index] == "(" {
          key = try readKey()
          usedMapping = true
        }
        let specification = try readSpecification()
        if specification.type == "%" {
          output += "%"
          continue
        }
        output += try formatted(nextValue(key), specification)
        try TemplateLimits.check(output.utf8.count)
      }
      if !usedMapping, !mayStay, !values.isEmpty {
        throw TemplateFault.type("not all arguments converted during string formatting")
      }
      return output
    }

    private mutating func readKey() throws -> String {
      let start = index + 1
      var open = 0
      while index < scalars.count {
        if scalars[index] == "(" { open += 1 }
        if scalars[index] == ")" { open -= 1 }
        index += 1
        if open == 0 { return String(scalars: scalars[start..<index - 1]) }
      }
      throw TemplateFault.type("incomplete format key")
    }

    private mutating func readSpecification() throws -> FormatSpecification {
      var specification = FormatSpecification()
      var fillsZeros = false
      flags: while index < scalars.count {
        switch scalars[index] {
        case "-": specification.alignment = "<"
        case "+": specification.sign = "+"
        case " ": if specification.sign != "+" { specification.sign = " " }
        case "0": fillsZeros = true
        case "#": specification.isAlternate = true
        default: break flags
        }
        index += 1
      }
      specification.width = try readNumber() ?? 0
      if specification.width < 0 {
        specification.alignment = "<"
        specification.width = -specification.width
      }
      if index < scalars.count, scalars[index] == "." {
        index += 1
        specification.precision = max(0, try readNumber() ?? 0)
      }
      try specification.checkSizes()
      while index < scalars.count, ["h", "l", "L"].contains(scalars[index]) { index += 1 }
      guard index < scalars.count else { throw TemplateFault.type("incomplete format") }
      specification.type = scalars[index]
      index += 1
      if fillsZeros, specification.alignment == nil {
        specification.alignment = "="
        specification.fill = "0"
      }
      return specification
    }

    /// Digits, or '*' for the next value.
    private mutating func readNumber() throws -> Int? {
      if index < scalars.count, scalars[index] == "*" {
        index += 1
        guard let number = try nextValue(nil).integerValue else {
          throw TemplateFault.type("* wants int")
        }
        guard number.magnitude <= FormatSpecification.widest else {
          throw TemplateFault.limit("a format wider than \(FormatSpecification.widest)")
        }
        return number
      }
      let start = index
      while index < scalars.count, scalars[index].isASCIIDigit { index += 1 }
      if start == index { return nil }
      guard let number = Int(String(scalars: scalars[start..<index])) else {
        throw TemplateFault.limit("a format wider than \(FormatSpecification.widest)")
      }
      return number
    }

    private mutating func nextValue(_ key: String?) throws -> TemplateValue {
      if let key {
        guard let mapping else { throw TemplateFault.type("format requires a mapping") }
        guard let value = mapping[key] else {
          throw TemplateFault.type("the format's key '\(key)' is missing")
        }
        return value
      }
      guard let value = values.popFirst() else {
        throw TemplateFault.type("not enough arguments for format string")
      }
      return value
    }

    private func formatted(
      _ value: TemplateValue, _ specification: FormatSpecification
    ) throws -> String {
      var specification = specification
      switch specification.type {
      case "s", "r":
        if specification.alignment == "=" {
          (specification.alignment, specification.fill) = (">", " ")
        }
        specification.alignment = specification.alignment ?? ">"
        let text = try specification.type == "s" ? value.text() : value.representation()
        return try specification.apply(to: text)
      case "d", "i", "u":
        if specification.precision != nil {
          throw TemplateFault.unsupported("a precision in '%d'")
        }
        specification.type = "d"
        guard let number = Number(value) else { throw wrong(value, "%d format: a real number") }
        if case .float(let float) = number {
          guard let whole = Int(exactly: float.rounded(.towardZero)) else {
            throw TemplateFault.type("cannot convert \(float) to integer")
          }
          return try specification.apply(to: whole)
        }
        return try specification.apply(to: value.integerValue ?? 0)
      case "x", "X", "o":
        guard let number = value.integerValue, specification.precision == nil else {
          throw wrong(value, "%x format: an integer")
        }
        return try specification.apply(to: number)
      case "e", "E", "f", "F", "g", "G":
        guard let number = Number(value) else { throw wrong(value, "a real number") }
        return try specification.apply(to: number.double)
      case let type:
        throw TemplateFault.unsupported("the format '%\(type.map(String.init) ?? "")'")
      }
    }

    private func wrong(_ value: TemplateValue, _ wanted: String) -> TemplateFault {
      if case .undefined(let undefined) = value { return undefined.fault }
      return TemplateFault.type("\(wanted) is required, not \(value.typeName)")
    }
  }
}
