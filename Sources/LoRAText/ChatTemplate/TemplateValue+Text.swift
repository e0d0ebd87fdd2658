// How values print: Python's str and repr.

import LoRAJSON

extension TemplateValue {
  /// Python's `str(value)`; an undefined value prints as nothing.
  func text() throws -> String {
    switch self {
    case .undefined: ""
    case .string(let value), .markup(let value): value
    default: try representation()
    }
  }

  /// Python's `repr(value)`.
  func representation() throws -> String {
    var output = ""
    try represent(into: &output, level: 0)
    return output
  }

  private func represent(into output: inout String, level: Int) throws {
    // Lists are never this deep, but namespaces can hold each other.
    if level > Self.deepest || output.utf8.count > TemplateLimits.longestText {
      throw TemplateFault.limit("the text of a value is too long or too deep")
    }
    switch self {
    case .undefined: output += "Undefined"
    case .none: output += "None"
    case .bool(let value): output += value ? "True" : "False"
    case .integer(let value): output += String(value)
    case .float(let value): output += value.pythonDescription
    case .string(let value): value.pythonRepresentation(into: &output)
    case .markup(let value):
      output += "Markup("
      value.pythonRepresentation(into: &output)
      output += ")"
    case .list(let list):
      try Self.represent(list.elements, "[", "]", into: &output, level)
    case .tuple(let list):
      try Self.represent(
        list.elements, "(", list.elements.count == 1 ? ",)" : ")", into: &output, level)
    case .dictionary(let dictionary):
      try Self.represent(dictionary.entries, into: &output, level)
    case .view(let view):
      output += "dict_\(view.part)("
      try Self.represent(try view.elements(), "[", "]", into: &output, level)
      output += ")"
    case .range(let range):
      output += "range(\(range.start), \(range.stop)"
      output += range.step == 1 ? ")" : ", \(range.step))"
    case .namespace(let namespace):
      output += "<Namespace "
      try Self.represent(
        namespace.attributes.map { (.string($0.name), $0.value) }, into: &output, level)
      output += ">"
    case .loop(let loop):
      output += "<LoopContext \(loop.index0 + 1)/\(try loop.length())>"
    case .macro(let macro):
      output += macro.syntax.name.map { "<Macro '\($0)'>" } ?? "<Macro anonymous>"
    case .iterator, .function:
      throw TemplateFault(
        "printing a \(typeName)",
        hint: "Python would print its address; use '| list' or call it.")
    }
  }

  private static func represent(
    _ elements: [TemplateValue], _ open: String, _ close: String, into output: inout String,
    _ level: Int
  ) throws {
    output += open
    for (place, element) in elements.enumerated() {
      if place > 0 { output += ", " }
      try element.represent(into: &output, level: level + 1)
    }
    output += close
  }

  private static func represent(
    _ entries: [TemplateDictionary.Entry], into output: inout String, _ level: Int
  ) throws {
    output += "{"
    for (place, entry) in entries.enumerated() {
      if place > 0 { output += ", " }
      try entry.key.represent(into: &output, level: level + 1)
      output += ": "
      try entry.value.represent(into: &output, level: level + 1)
    }
    output += "}"
  }
}

extension String {
  /// Python's `repr` of a string.
  fileprivate func pythonRepresentation(into output: inout String) {
    let quote: Unicode.Scalar = utf8.contains(0x27) && !utf8.contains(0x22) ? "\"" : "'"
    output.unicodeScalars.append(quote)
    for scalar in unicodeScalars {
      switch scalar {
      case quote, "\\":
        output += "\\"
        output.unicodeScalars.append(scalar)
      case "\n": output += "\\n"
      case "\r": output += "\\r"
      case "\t": output += "\\t"
      default:
        if scalar.isPythonPrintable {
          output.unicodeScalars.append(scalar)
        } else {
          let hex = String(scalar.value, radix: 16)
          let (letter, width) =
            scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
          output += "\\\(letter)\(String(repeating: "0", count: width - hex.count))\(hex)"
        }
      }
    }
    output.unicodeScalars.append(quote)
  }
}

extension Unicode.Scalar {
  /// Python's `str.isprintable` of one character.
  var isPythonPrintable: Bool {
    if isASCII { return value >= 0x20 && value < 0x7F }
    return switch properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
      .paragraphSeparator, .spaceSeparator:
      false
    default: true
    }
  }
}
