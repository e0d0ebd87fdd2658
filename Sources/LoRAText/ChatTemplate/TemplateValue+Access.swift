// Attributes, subscripts and slices, with the sandbox's rules of what a template may reach.

extension TemplateValue {
  /// `value.name`: an attribute or method as Python has it, else the item of that key.
  func attribute(_ name: String) throws -> TemplateValue {
    switch self {
    case .undefined(let undefined): throw undefined.fault
    case .dictionary(let dictionary):
      return try method(name) ?? dictionary[name] ?? missing(attribute: name)
    case .namespace(let namespace): return namespace[name] ?? missing(attribute: name)
    default: return try method(name) ?? missing(attribute: name)
    }
  }

  /// `value[key]`: the item of the key, else an attribute or method of that name.
  func item(_ key: TemplateValue) throws -> TemplateValue {
    switch self {
    case .undefined(let undefined): throw undefined.fault
    case .dictionary(let dictionary):
      if key.isHashable, let value = try dictionary.value(for: key) { return value }
    case .list(let list), .tuple(let list):
      if let place = key.place(in: list.elements.count) { return list.elements[place] }
    case .range(let range):
      if let place = key.place(in: range.count) { return .integer(range[place]) }
    case .string(let text), .markup(let text):
      if let index = key.integerValue {
        guard let character = text.pythonCharacter(index) else { break }
        if case .markup = self { return .markup(character) }
        return .string(character)
      }
    case .namespace(let namespace):
      if let name = key.stringValue, let value = namespace[name] { return value }
    default: break
    }
    if let name = key.stringValue {
      if let method = try method(name) { return method }
      return missing(attribute: name)
    }
    return .undefined(.element(owner: ownerName, try key.representation()))
  }

  func missing(attribute name: String) -> TemplateValue {
    .undefined(.attribute(owner: ownerName, name))
  }

  private var isHashable: Bool {
    switch self {
    case .list, .dictionary, .view: false
    case .tuple(let list): list.elements.allSatisfy(\.isHashable)
    default: true
    }
  }

  /// The value as an index into so many elements, nil when it is none or outside.
  private func place(in count: Int) -> Int? {
    guard let index = integerValue else { return nil }
    let place = index < 0 ? index + count : index
    return (0..<count).contains(place) ? place : nil
  }

  // MARK: Slices

  /// `value[start:stop:step]`; nil bounds are open.
  func slice(
    _ start: TemplateValue?, _ stop: TemplateValue?, _ step: TemplateValue?
  ) throws -> TemplateValue {
    switch self {
    case .list(let list):
      let places = try Self.places(start, stop, step, list.elements.count)
      return try .list(places.map { list.elements[$0] })
    case .tuple(let list):
      let places = try Self.places(start, stop, step, list.elements.count)
      return try .tuple(places.map { list.elements[$0] })
    case .string(let text): return .string(try text.pythonSlice(start, stop, step))
    case .markup(let text): return .markup(try text.pythonSlice(start, stop, step))
    case .range(let range):
      let places = try Self.places(start, stop, step, range.count)
      return .range(
        try TemplateRange(
          start: range[places.start], stop: range[places.stop], step: range.step * places.step))
    case .undefined(let undefined): throw undefined.fault
    case .dictionary: throw TemplateFault.type("unhashable type: 'slice'")
    default: throw TemplateFault.type("'\(typeName)' object is not subscriptable")
    }
  }

  /// The places a slice selects.
  struct Places: Sequence {
    let start: Int
    let stop: Int
    let step: Int

    func makeIterator() -> StrideTo<Int>.Iterator {
      stride(from: start, to: stop, by: step).makeIterator()
    }
  }

  static func places(
    _ start: TemplateValue?, _ stop: TemplateValue?, _ step: TemplateValue?, _ count: Int
  ) throws -> Places {
    let step = try bound(step) ?? 1
    if step == 0 { throw TemplateFault.type("slice step cannot be zero") }
    if step.magnitude > 1 << 31 { throw TemplateFault.unsupported("a slice step above 2**31") }
    // Bounds are clamped to the sequence; one past its front is -1 when walking backwards.
    let (lowest, highest) = step > 0 ? (0, count) : (-1, count - 1)
    let clamp = { (place: Int) in
      let (sum, over) = place < 0 ? place.addingReportingOverflow(count) : (place, false)
      return over ? lowest : Swift.min(Swift.max(sum, lowest), highest)
    }
    return Places(
      start: try bound(start).map(clamp) ?? (step > 0 ? 0 : count - 1),
      stop: try bound(stop).map(clamp) ?? (step > 0 ? count : -1), step: step)
  }

  private static func bound(_ value: TemplateValue?) throws -> Int? {
    switch value {
    case nil, .some(.none): return nil
    case .some(.undefined(let undefined)): throw undefined.fault
    case .some(let value):
      guard let index = value.integerValue else {
        throw TemplateFault.type("slice indices must be integers or None, not \(value.typeName)")
      }
      return index
    }
  }
}

extension String {
  /// One character by its index, which may count from the end.
  fileprivate func pythonCharacter(_ index: Int) -> String? {
    let scalars = unicodeScalars
    if index >= 0 {
      guard index < utf8.count,
        let place = scalars.index(
          scalars.startIndex, offsetBy: index, limitedBy: scalars.endIndex),
        place < scalars.endIndex
      else { return nil }
      return String(scalars[place])
    }
    guard index >= -utf8.count,
      let place = scalars.index(scalars.endIndex, offsetBy: index, limitedBy: scalars.startIndex)
    else { return nil }
    return String(scalars[place])
  }

  fileprivate func pythonSlice(
    _ start: TemplateValue?, _ stop: TemplateValue?, _ step: TemplateValue?
  ) throws -> String {
    let scalars = Array(unicodeScalars)
    let places = try TemplateValue.places(start, stop, step, scalars.count)
    return String(scalars: places.lazy.map { scalars[$0] })
  }
}
