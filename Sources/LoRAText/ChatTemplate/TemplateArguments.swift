// The arguments of a call, taken one by one by position or by name.

struct TemplateArguments {
  /// What is called, for messages: "filter 'join'".
  let callee: String
  private(set) var positional: ArraySlice<TemplateValue>
  private(set) var named: [(name: String, value: TemplateValue)]

  init(
    _ callee: String, _ positional: [TemplateValue],
    named: [(name: String, value: TemplateValue)] = []
  ) {
    self.callee = callee
    self.positional = positional[...]
    self.named = named
  }

  /// The next argument: by position, else by this name. Without a name only by position.
  mutating func next(_ name: String? = nil) -> TemplateValue? {
    if let value = positional.popFirst() { return value }
    guard let name else { return nil }
    return takeNamed(name)
  }

  /// An argument that can only be given by name.
  mutating func takeNamed(_ name: String) -> TemplateValue? {
    guard let place = named.firstIndex(where: { $0.name == name }) else { return nil }
    return named.remove(at: place).value
  }

  mutating func required(_ name: String? = nil) throws -> TemplateValue {
    guard let value = next(name) else {
      throw TemplateFault.type(
        "\(callee) misses an argument" + (name.map { " '\($0)'" } ?? ""))
    }
    return value
  }

  mutating func requiredString(_ name: String? = nil) throws -> String {
    let value = try required(name)
    guard let text = value.stringValue else { throw wrong(value, "str", name) }
    return text
  }

  /// A string, nil when the argument is missing or None.
  mutating func optionalString(_ name: String? = nil) throws -> String? {
    guard let value = next(name) else { return nil }
    if case .none = value { return nil }
    guard let text = value.stringValue else { throw wrong(value, "str", name) }
    return text
  }

  mutating func requiredInteger(_ name: String? = nil) throws -> Int {
    let value = try required(name)
    guard let number = value.integerValue else { throw wrong(value, "int", name) }
    return number
  }

  mutating func integer(_ name: String? = nil, default missing: Int) throws -> Int {
    guard let value = next(name) else { return missing }
    guard let number = value.integerValue else { throw wrong(value, "int", name) }
    return number
  }

  mutating func truth(_ name: String? = nil) -> Bool { next(name)?.isTrue ?? false }

  /// All remaining arguments by position.
  mutating func rest() -> [TemplateValue] {
    defer { positional = [] }
    return Array(positional)
  }

  /// All remaining arguments by name.
  mutating func restNamed() -> [(name: String, value: TemplateValue)] {
    defer { named = [] }
    return named
  }

  /// Refuses what nobody took.
  func finish() throws {
    if !positional.isEmpty {
      throw TemplateFault.type("\(callee) got too many arguments (\(positional.count) more)")
    }
    if let extra = named.first {
      throw TemplateFault.type("\(callee) got an unexpected argument '\(extra.name)'")
    }
  }

  private func wrong(_ value: TemplateValue, _ type: String, _ name: String?) -> TemplateFault {
    if case .undefined(let undefined) = value { return undefined.fault }
    let which = name.map { " '\($0)'" } ?? ""
    return TemplateFault.type(
      "\(callee): the argument\(which) must be \(type), not \(value.typeName)")
  }
}
