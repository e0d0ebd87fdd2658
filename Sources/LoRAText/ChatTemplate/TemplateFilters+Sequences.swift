// Filters for lists and other iterables.

import LoRAJSON

extension TemplateFilters {
  static let sequences: [String: Filter] = [
    "list": { interpreter, value, _ in try .list(interpreter.elements(of: value)) },
    "first": { interpreter, value, _ in
      try interpreter.iterate(value).next()
        ?? .undefined(.hint("No first item, sequence was empty."))
    },
    "last": last, "join": join, "reverse": reverse, "items": items, "dictsort": dictSort,
    "map": map, "sum": sum, "batch": batch, "slice": slice,
    "sort": sort, "unique": unique, "groupby": groupBy,
    "min": { try extreme($0, $1, &$2, .less) }, "max": { try extreme($0, $1, &$2, .greater) },
    "select": { try select($0, $1, &$2, keeps: true, byAttribute: false) },
    "reject": { try select($0, $1, &$2, keeps: false, byAttribute: false) },
    "selectattr": { try select($0, $1, &$2, keeps: true, byAttribute: true) },
    "rejectattr": { try select($0, $1, &$2, keeps: false, byAttribute: true) },
  ]

  // MARK: Attributes

  typealias Getter = (TemplateValue) throws -> TemplateValue

  /// Reads "a.b.0" of a value; nil reads the value itself.
  private static func getter(
    _ attribute: TemplateValue?, ignoresCase: Bool = false, fallback: TemplateValue? = nil
  ) throws -> Getter {
    var parts: [TemplateValue] = []
    switch attribute {
    case nil, .some(.none): break
    case .string(let path)?:
      parts = path.pythonSplit(".", limit: .max).map { part in
        PythonNumber.index(part).map { .integer($0) } ?? .string(part)
      }
    case let part?: parts = [part]
    }
    return { value in
      var value = value
      for part in parts {
        value = try value.item(part)
        if value.isUndefined, let fallback { value = fallback }
      }
      if ignoresCase, case .string(let text) = value { return .string(text.pythonLowercased()) }
      return value
    }
  }

  /// The default of an attribute, where None means no default.
  private static func fallback(_ value: TemplateValue?) -> TemplateValue? {
    if case .some(.none) = value { nil } else { value }
  }

  // MARK: One value out of many

  private static func last(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue, _: inout TemplateArguments
  ) throws -> TemplateValue {
    switch value {
    case .iterator, .loop:
      throw TemplateFault.type("'\(value.typeName)' object is not reversible")
    default:
      return try interpreter.elements(of: value).last
        ?? .undefined(.hint("No last item, sequence was empty."))
    }
  }

  private static func join(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue,
    _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let separator = try (arguments.next("d") ?? .string("")).text()
    let read = try getter(arguments.next("attribute"))
    var result = ""
    for (place, element) in try interpreter.elements(of: value).enumerated() {
      if place > 0 { result += separator }
      result += try read(element).text()
      try TemplateLimits.check(result.utf8.count)
    }
    return .string(result)
  }

  private static func sum(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue,
    _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let read = try getter(arguments.next("attribute"))
    var total = arguments.next("start") ?? .integer(0)
    if total.stringValue != nil { throw TemplateFault.type("sum() can't sum strings") }
    for element in try interpreter.elements(of: value) {
      total = try interpreter.charged(TemplateValue.compute(total, .add, read(element)))
    }
    return total
  }

  private static func extreme(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue,
    _ arguments: inout TemplateArguments, _ wanted: TemplateExpression.Comparison
  ) throws -> TemplateValue {
    let ignoresCase = !arguments.truth("case_sensitive")
    let read = try getter(arguments.next("attribute"), ignoresCase: ignoresCase)
    let elements = try interpreter.elements(of: value)
    guard var best = elements.first else {
      return .undefined(.hint("No aggregated item, sequence was empty."))
    }
    var bestKey = try read(best)
    for element in elements.dropFirst() {
      let key = try read(element)
      if try TemplateValue.compare(key, wanted, bestKey) { (best, bestKey) = (element, key) }
    }
    return best
  }

  // MARK: Order

  private static func reverse(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue, _: inout TemplateArguments
  ) throws -> TemplateValue {
    switch value {
    case .string(let text): return .string(String(scalars: text.unicodeScalars.reversed()))
    case .markup(let text): return .markup(String(scalars: text.unicodeScalars.reversed()))
    case .iterator, .loop:
      return try .list(interpreter.elements(of: value).reversed())
    default: return .iterator(try TemplateIterator(interpreter.elements(of: value).reversed()))
    }
  }

  /// Sorts stably by keys, where `precedes` may fail.
  private static func sorted(
    _ keyed: [(key: TemplateValue, value: TemplateValue)], isReversed: Bool,
    _ interpreter: TemplateInterpreter
  ) throws -> [TemplateValue] {
    let order: TemplateExpression.Comparison = isReversed ? .greater : .less
    return try keyed.enumerated().sorted { a, b in
      try interpreter.charge(1)
      if try TemplateValue.compare(a.element.key, order, b.element.key) { return true }
      if try TemplateValue.compare(b.element.key, order, a.element.key) { return false }
      return a.offset < b.offset
    }.map(\.element.value)
  }

  private static func sort(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue,
    _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let isReversed = arguments.truth("reverse")
    let ignoresCase = !arguments.truth("case_sensitive")
    let attribute = arguments.next("attribute")
    var paths: [TemplateValue?] = [attribute]
    if case .string(let text)? = attribute {
      paths = text.pythonSplit(",", limit: .max).map { .string($0) }
    }
    let readers = try paths.map { try getter($0, ignoresCase: ignoresCase) }
    let keyed = try interpreter.elements(of: value).map { element in
      (key: try TemplateValue.list(readers.map { try $0(element) }), value: element)
    }
    return try .list(sorted(keyed, isReversed: isReversed, interpreter))
  }

  private static func items(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue, _: inout TemplateArguments
  ) throws -> TemplateValue {
    .iterator(
      try TemplateIterator(over: [value]) {
        switch value {
        case .undefined: return []
        case .dictionary(let dictionary):
          return try TemplateDictionaryView(dictionary: dictionary, part: .items).elements()
        default: throw TemplateFault.type("Can only get item pairs from a mapping.")
        }
      })
  }

  private static func dictSort(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue,
    _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let ignoresCase = !arguments.truth("case_sensitive")
    let by = try arguments.optionalString("by") ?? "key"
    let isReversed = arguments.truth("reverse")
    guard by == "key" || by == "value" else {
      throw TemplateFault.type("You can only sort by either \"key\" or \"value\"")
    }
    guard case .dictionary(let dictionary) = value else {
      if case .undefined(let undefined) = value { throw undefined.fault }
      throw TemplateFault.type("dictsort: the value must be a dict, not \(value.typeName)")
    }
    let read = try getter(nil, ignoresCase: ignoresCase)
    let keyed = try dictionary.entries.map { entry in
      (
        key: try read(by == "key" ? entry.key : entry.value),
        value: try TemplateValue.tuple([entry.key, entry.value])
      )
    }
    return try .list(sorted(keyed, isReversed: isReversed, interpreter))
  }

  private static func unique(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue,
    _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let ignoresCase = !arguments.truth("case_sensitive")
    let read = try getter(arguments.next("attribute"), ignoresCase: ignoresCase)
    return .iterator(
      try TemplateIterator(over: [value]) {
        var seen: Set<TemplateKey> = []
        return try interpreter.elements(of: value).filter {
          seen.insert(try TemplateKey(read($0))).inserted
        }
      })
  }

  private static func groupBy(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue,
    _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let attribute = try arguments.required("attribute")
    let fallback = fallback(arguments.next("default"))
    let ignoresCase = !arguments.truth("case_sensitive")
    let read = try getter(attribute, ignoresCase: ignoresCase, fallback: fallback)
    let readExactly = try getter(attribute, fallback: fallback)
    let keyed = try interpreter.elements(of: value).map { (key: try read($0), value: $0) }
    var groups: [(key: TemplateValue, members: [TemplateValue])] = []
    for member in try sorted(keyed, isReversed: false, interpreter) {
      let key = try read(member)
      if let last = groups.last, try TemplateValue.areEqual(last.key, key) {
        groups[groups.count - 1].members.append(member)
      } else {
        groups.append((key, [member]))
      }
    }
    return try .list(
      groups.map { group in
        let name = try group.members.first.map(readExactly) ?? group.key
        return .tuple(
          try TemplateList([name, .list(group.members)], names: ["grouper", "list"]))
      })
  }

  // MARK: Many values out of many

  private static func map(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue,
    _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let change: Getter
    if arguments.positional.isEmpty, let attribute = arguments.takeNamed("attribute") {
      change = try getter(attribute, fallback: fallback(arguments.takeNamed("default")))
      try arguments.finish()
    } else {
      let name = try arguments.requiredString("name of a filter")
      let rest = TemplateArguments(
        "filter '\(name)'", arguments.rest(), named: arguments.restNamed())
      change = { try interpreter.apply(filter: name, to: $0, rest) }
    }
    return .iterator(try changed(interpreter, value) { .some(try change($0)) })
  }

  private static func select(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue,
    _ arguments: inout TemplateArguments, keeps: Bool, byAttribute: Bool
  ) throws -> TemplateValue {
    let read = try getter(byAttribute ? arguments.required() : nil)
    let name = arguments.next()
    let rest = TemplateArguments("test", arguments.rest(), named: arguments.restNamed())
    return .iterator(
      try changed(interpreter, value) { element in
        let tested = try read(element)
        let passes: Bool
        if let name {
          guard let name = name.stringValue else {
            throw TemplateFault.type("the name of a test must be a string")
          }
          passes = try interpreter.apply(test: name, to: tested, rest)
        } else {
          passes = tested.isTrue
        }
        return passes == keeps ? element : nil
      })
  }

  /// The changed elements one by one, without those that become nil.
  private static func changed(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue,
    _ change: @escaping (TemplateValue) throws -> TemplateValue?
  ) throws -> TemplateIterator {
    var source: TemplateIterator?
    return try TemplateIterator(over: [value]) {
      if source == nil {
        // What is false has no elements here, even where it could not be walked.
        source = value.isTrue ? try interpreter.iterate(value) : try TemplateIterator([])
      }
      while let element = try source?.next() {
        if let result = try change(element) { return result }
      }
      return nil
    }
  }

  private static func batch(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue,
    _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let size = try arguments.requiredInteger("linecount")
    let filler = fallback(arguments.next("fill_with"))
    guard (1...TemplateLimits.longestList).contains(size) else {
      throw TemplateFault.unsupported("a batch of \(size)")
    }
    return .iterator(
      try TemplateIterator(over: [value]) {
        let elements = try interpreter.elements(of: value)
        return try stride(from: 0, to: elements.count, by: size).map { start in
          var row = Array(elements[start..<min(start + size, elements.count)])
          if let filler { row += Array(repeating: filler, count: size - row.count) }
          return try interpreter.charged(.list(row))
        }
      })
  }

  private static func slice(
    _ interpreter: TemplateInterpreter, _ value: TemplateValue,
    _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let slices = try arguments.requiredInteger("slices")
    let filler = fallback(arguments.next("fill_with"))
    guard (1...TemplateLimits.longestList).contains(slices) else {
      throw TemplateFault.unsupported("\(slices) slices")
    }
    return .iterator(
      try TemplateIterator(over: [value]) {
        let elements = try interpreter.elements(of: value)
        let (size, longer) = elements.count.quotientAndRemainder(dividingBy: slices)
        var start = 0
        return try (0..<slices).map { number in
          let end = start + size + (number < longer ? 1 : 0)
          var column = Array(elements[start..<end])
          if let filler, number >= longer { column.append(filler) }
          start = end
          return try interpreter.charged(.list(column))
        }
      })
  }
}

extension PythonNumber {
  /// A part of an attribute path that is an index: digits only.
  static func index(_ text: String) -> Int? {
    !text.isEmpty && text.unicodeScalars.allSatisfy(\.isASCIIDigit) ? Int(text) : nil
  }
}
