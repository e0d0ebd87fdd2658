// The values with an identity: namespaces, iterators, loops, macros, functions, scopes.

/// The variables of one block. A name is looked up from the innermost scope outwards.
final class TemplateScope {
  let parent: TemplateScope?
  private var variables: [(id: Int, value: TemplateValue)] = []

  init(_ parent: TemplateScope?) { self.parent = parent }

  subscript(id: Int) -> TemplateValue? {
    get {
      var scope: TemplateScope? = self
      while let here = scope {
        for variable in here.variables where variable.id == id { return variable.value }
        scope = here.parent
      }
      return nil
    }
    set {
      guard let newValue else { return }
      for place in variables.indices where variables[place].id == id {
        variables[place].value = newValue
        return
      }
      variables.append((id, newValue))
    }
  }

  /// Forgets everything, which breaks the cycle of a scope and a macro defined in it.
  func clear() { variables = [] }
}

/// What `namespace()` makes: the one value that `set` can change.
final class TemplateNamespace {
  var attributes: [(name: String, value: TemplateValue)] = []

  subscript(name: String) -> TemplateValue? {
    get { attributes.first { $0.name == name }?.value }
    set {
      guard let newValue else { return }
      if let place = attributes.firstIndex(where: { $0.name == name }) {
        attributes[place].value = newValue
      } else {
        attributes.append((name, newValue))
      }
    }
  }
}

/// A source of values that can be walked once, as a generator in Python.
final class TemplateIterator {
  let depth: Int
  private var step: () throws -> TemplateValue?
  private var isDone = false
  private var isRunning = false

  /// - Parameter values: what the iterator holds on to, for the limit of nesting.
  init(over values: [TemplateValue], _ step: @escaping () throws -> TemplateValue?) throws {
    depth = try TemplateValue.depth(above: values)
    self.step = step
  }

  /// An iterator over these elements.
  convenience init(_ elements: [TemplateValue]) throws {
    var place = 0
    try self.init(over: elements) {
      guard place < elements.count else { return nil }
      place += 1
      return elements[place - 1]
    }
  }

  /// An iterator over elements that are computed when the first is asked for.
  convenience init(
    over values: [TemplateValue], later elements: @escaping () throws -> [TemplateValue]
  ) throws {
    var computed: ArraySlice<TemplateValue>?
    try self.init(over: values) {
      if computed == nil { computed = try elements()[...] }
      return computed?.popFirst()
    }
  }

  func next() throws -> TemplateValue? {
    if isDone { return nil }
    if isRunning { throw TemplateFault.type("generator already executing") }
    isRunning = true
    defer { isRunning = false }
    let value = try step()
    if value == nil {
      isDone = true
      step = { nil }  // lets go of what the iterator walked over
    }
    return value
  }
}

/// The variable `loop`.
final class TemplateLoop {
  private(set) var index0 = -1
  let depth0: Int
  let valueDepth: Int
  let recurse: ((TemplateValue, _ depth: Int) throws -> TemplateValue)?
  private var source: TemplateIterator
  private var knownLength: Int?
  private var after: TemplateValue?
  private var current: TemplateValue?
  private var before: TemplateValue?
  private var lastChanged: [TemplateValue]?

  /// - Parameter length: the number of elements where the iterable knows it.
  init(
    _ source: TemplateIterator, length: Int?, depth0: Int,
    recurse: ((TemplateValue, Int) throws -> TemplateValue)?
  ) {
    self.source = source
    self.depth0 = depth0
    self.recurse = recurse
    knownLength = length
    valueDepth = source.depth
  }

  func advance() throws -> TemplateValue? {
    let value: TemplateValue?
    if let after {
      value = after
      self.after = nil
    } else {
      value = try source.next()
    }
    guard let value else { return nil }
    index0 += 1
    before = current
    current = value
    return value
  }

  func peek() throws -> TemplateValue? {
    if after == nil { after = try source.next() }
    return after
  }

  /// The number of elements; walks an iterator to its end to know it.
  func length() throws -> Int {
    if let knownLength { return knownLength }
    var rest: [TemplateValue] = []
    while let value = try source.next() { rest.append(value) }
    let length = rest.count + index0 + 1 + (after == nil ? 0 : 1)
    source = try TemplateIterator(rest)
    knownLength = length
    return length
  }

  /// An attribute of `loop`, nil when there is none of this name.
  func attribute(_ name: String) throws -> TemplateValue? {
    switch name {
    case "index": return .integer(index0 + 1)
    case "index0": return .integer(index0)
    case "revindex": return .integer(try length() - index0)
    case "revindex0": return .integer(try length() - index0 - 1)
    case "first": return .bool(index0 == 0)
    case "last": return .bool(try peek() == nil)
    case "length": return .integer(try length())
    case "depth": return .integer(depth0 + 1)
    case "depth0": return .integer(depth0)
    case "previtem":
      return index0 == 0
        ? .undefined(.hint("there is no previous item"))
        : before ?? .undefined(.hint("there is no previous item"))
    case "nextitem": return try peek() ?? .undefined(.hint("there is no next item"))
    case "cycle": return .function(TemplateFunction("loop.cycle", cycle))
    case "changed": return .function(TemplateFunction("loop.changed", changed))
    default: return nil
    }
  }

  private func cycle(
    _: TemplateInterpreter, _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let items = arguments.rest()
    guard !items.isEmpty else { throw TemplateFault.type("no items for cycling given") }
    return items[index0 % items.count]
  }

  private func changed(
    _: TemplateInterpreter, _ arguments: inout TemplateArguments
  ) throws -> TemplateValue {
    let values = arguments.rest()
    if let lastChanged, try TemplateValue.areEqual(lastChanged, values) { return .bool(false) }
    lastChanged = values
    return .bool(true)
  }
}

/// A macro with the scope it was defined in.
final class TemplateMacro {
  let syntax: TemplateMacroSyntax
  let scope: TemplateScope

  init(_ syntax: TemplateMacroSyntax, _ scope: TemplateScope) {
    self.syntax = syntax
    self.scope = scope
  }
}

/// A function of the environment or a method bound to its value.
final class TemplateFunction {
  typealias Body = (TemplateInterpreter, inout TemplateArguments) throws -> TemplateValue

  let name: String
  let depth: Int
  let body: Body

  init(_ name: String, _ body: @escaping Body) {
    self.name = name
    self.body = body
    depth = 0
  }

  /// A method of a value.
  init(_ name: String, of value: TemplateValue, _ body: @escaping Body) {
    self.name = name
    self.body = body
    depth = value.depth + 1
  }
}
