// The method 'format' of strings: "{} is {0[name]!r:>8}".format(…).

enum BraceFormat {
  static func format(
    _ format: String, positional: [TemplateValue],
    named: [(name: String, value: TemplateValue)]
  ) throws -> String {
    var reader = Reader(
      scalars: Array(format.unicodeScalars), positional: positional, named: named)
    return try reader.read()
  }

  private struct Reader {
    let scalars: [Unicode.Scalar]
    let positional: [TemplateValue]
    let named: [(name: String, value: TemplateValue)]
    var index = 0
    var output = ""
    var automatic = 0
    var usesNumbers = false

    mutating func read() throws -> String {
      while index < scalars.count {
        let scalar = scalars[index]
        index += 1
        let isDoubled = index < scalars.count && scalars[index] == scalar
        switch scalar {
        case "{" where isDoubled, "}" where isDoubled:
          index += 1
          output.unicodeScalars.append(scalar)
        case "{":
          output += try readField()
          try TemplateLimits.check(output.utf8.count)
        case "}": throw TemplateFault.type("Single '}' encountered in format string")
        default: output.unicodeScalars.append(scalar)
        }
      }
      return output
    }

    private mutating func readField() throws -> String {
      let start = index
      while index < scalars.count, scalars[index] != "}" {
        if scalars[index] == "{" {
          throw TemplateFault.unsupported("a field inside of a field of 'format'")
        }
        index += 1
      }
      guard index < scalars.count else {
        throw TemplateFault.type("expected '}' before end of string")
      }
      var field = scalars[start..<index]
      index += 1
      var specification = ArraySlice<Unicode.Scalar>()
      if let colon = field.firstIndex(of: ":") {
        specification = field[(colon + 1)...]
        field = field[..<colon]
      }
      var conversion: Unicode.Scalar?
      if let mark = field.firstIndex(of: "!") {
        guard mark + 2 == field.endIndex, ["s", "r"].contains(field[mark + 1]) else {
          throw TemplateFault.unsupported("this conversion in a field of 'format'")
        }
        conversion = field[mark + 1]
        field = field[..<mark]
      }
      let value = try value(of: field)
      switch conversion {
      case "s": return try apply(specification, .string(value.text()))
      case "r": return try apply(specification, .string(value.representation()))
      default: return try apply(specification, value)
      }
    }

    /// The value of a field's name: a number, a name or nothing, then .attributes and [items].
    private mutating func value(of field: ArraySlice<Unicode.Scalar>) throws -> TemplateValue {
      let first = field.prefix { $0 != "." && $0 != "[" }
      var value = try firstValue(String(scalars: first))
      var rest = field[first.endIndex...]
      while let mark = rest.popFirst() {
        if mark == "." {
          let name = rest.prefix { $0 != "." && $0 != "[" }
          rest = rest[name.endIndex...]
          value = try value.attribute(String(scalars: name))
        } else {
          guard mark == "[", let end = rest.firstIndex(of: "]") else {
            throw TemplateFault.type("a field of 'format' is malformed")
          }
          let key = String(scalars: rest[..<end])
          rest = rest[(end + 1)...]
          value = try value.item(PythonNumber.index(key).map { .integer($0) } ?? .string(key))
        }
      }
      return value
    }

    private mutating func firstValue(_ name: String) throws -> TemplateValue {
      var place = PythonNumber.index(name)
      if place != nil { usesNumbers = true }
      if name.isEmpty {
        if usesNumbers {
          throw TemplateFault.type("cannot switch from manual to automatic field numbering")
        }
        place = automatic
        automatic += 1
      } else if usesNumbers, automatic > 0 {
        throw TemplateFault.type("cannot switch from automatic to manual field numbering")
      }
      if let place {
        guard positional.indices.contains(place) else {
          throw TemplateFault.type("Replacement index \(place) out of range")
        }
        return positional[place]
      }
      guard let value = named.first(where: { $0.name == name })?.value else {
        throw TemplateFault.type("'format' has no argument '\(name)'")
      }
      return value
    }

    private func apply(
      _ text: ArraySlice<Unicode.Scalar>, _ value: TemplateValue
    ) throws -> String {
      if text.isEmpty { return try value.text() }
      let specification = try specification(Array(text))
      switch value {
      case .string(let text):
        guard specification.type == nil || specification.type == "s",
          specification.alignment != "=", specification.sign == "-",
          specification.grouping == nil, !specification.isAlternate
        else { throw TemplateFault.type("this format is not for str") }
        return try specification.apply(to: text)
      case .integer(let number): return try specification.apply(to: number)
      case .float(let number): return try specification.apply(to: number)
      case .bool(let flag) where specification.type != nil:
        return try specification.apply(to: flag ? 1 : 0)
      default:
        throw TemplateFault.type("unsupported format string passed to \(value.typeName).__format__")
      }
    }

    /// `[[fill]align][sign][#][0][width][grouping][.precision][type]`
    private func specification(_ text: [Unicode.Scalar]) throws -> FormatSpecification {
      var result = FormatSpecification()
      var index = 0
      func at(_ wanted: [Unicode.Scalar], _ place: Int) -> Bool {
        place < text.count && wanted.contains(text[place])
      }
      let alignments: [Unicode.Scalar] = ["<", ">", "^", "="]
      if at(alignments, 1) {
        (result.fill, result.alignment) = (text[0], text[1])
        index = 2
      } else if at(alignments, 0) {
        result.alignment = text[0]
        index = 1
      }
      if at(["+", "-", " "], index) {
        result.sign = text[index]
        index += 1
      }
      if at(["#"], index) {
        result.isAlternate = true
        index += 1
      }
      if at(["0"], index) {
        if result.alignment == nil { (result.fill, result.alignment) = ("0", "=") }
        index += 1
      }
      result.width = try number(text, &index) ?? 0
      if at([",", "_"], index) {
        result.grouping = text[index]
        index += 1
      }
      if at(["."], index) {
        index += 1
        result.precision = try number(text, &index)
        if result.precision == nil {
          throw TemplateFault.type("Format specifier missing precision")
        }
      }
      if index < text.count {
        result.type = text[index]
        index += 1
      }
      guard index == text.count else { throw TemplateFault.type("Invalid format specifier") }
      try result.checkSizes()
      return result
    }

    private func number(_ text: [Unicode.Scalar], _ index: inout Int) throws -> Int? {
      let start = index
      while index < text.count, text[index].isASCIIDigit { index += 1 }
      if start == index { return nil }
      guard let number = Int(String(scalars: text[start..<index])) else {
        throw TemplateFault.limit("a format wider than \(FormatSpecification.widest)")
      }
      return number
    }
  }
}
