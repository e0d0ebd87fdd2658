// The values of a template: Python's types as far as templates see them.

import LoRAJSON

/// A value while a template renders.
///
/// Lists and dictionaries never change, as in transformers' sandbox; only namespaces do.
enum TemplateValue {
  case undefined(TemplateUndefined)
  case none
  case bool(Bool)
  case integer(Int)
  case float(Double)
  case string(String)
  /// A string marked as safe HTML, from the filters `safe` and `escape`.
  case markup(String)
  case list(TemplateList)
  case tuple(TemplateList)
  case dictionary(TemplateDictionary)
  case view(TemplateDictionaryView)
  case range(TemplateRange)
  case iterator(TemplateIterator)
  case namespace(TemplateNamespace)
  case loop(TemplateLoop)
  case macro(TemplateMacro)
  case function(TemplateFunction)
}

/// Why a value is undefined; told when something is done with it that needs a value.
indirect enum TemplateUndefined {
  case variable(String)
  case attribute(owner: String, String)
  case element(owner: String, String)
  case hint(String)

  var message: String {
    switch self {
    case .variable(let name): "'\(name)' is undefined"
    case .attribute(let owner, let name): "'\(owner)' has no attribute '\(name)'"
    case .element(let owner, let key): "\(owner) has no element \(key)"
    case .hint(let text): text
    }
  }

  var fault: TemplateFault {
    TemplateFault(
      message, hint: "Add it to the messages or variables, or test it with 'is defined' first.")
  }
}

extension TemplateValue {
  /// Values nested deeper than this are refused, so that walks of a value cannot overflow.
  static let deepest = 200

  static func list(_ elements: [TemplateValue]) throws -> TemplateValue {
    .list(try TemplateList(elements))
  }

  static func tuple(_ elements: [TemplateValue]) throws -> TemplateValue {
    .tuple(try TemplateList(elements))
  }

  static func strings(_ texts: [String]) throws -> TemplateValue {
    .list(try TemplateList(texts.map { .string($0) }))
  }

  /// Levels of values inside of this one.
  var depth: Int {
    switch self {
    case .list(let list), .tuple(let list): list.depth
    case .dictionary(let dictionary): dictionary.depth
    case .view(let view): view.dictionary.depth + 1
    case .iterator(let iterator): iterator.depth
    case .loop(let loop): loop.valueDepth
    case .function(let function): function.depth
    default: 0
    }
  }

  /// The depth of a value around these.
  static func depth(above values: some Sequence<TemplateValue>) throws -> Int {
    var deepest = 0
    for value in values { deepest = max(deepest, value.depth) }
    if deepest >= Self.deepest {
      throw TemplateFault.limit("a value nested deeper than \(Self.deepest) levels")
    }
    return deepest + 1
  }

  /// The name of the type in Python.
  var typeName: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "NoneType"
    case .bool: "bool"
    case .integer: "int"
    case .float: "float"
    case .string: "str"
    case .markup: "Markup"
    case .list: "list"
    case .tuple: "tuple"
    case .dictionary: "dict"
    case .view(let view): "dict_\(view.part)"
    case .range: "range"
    case .iterator: "generator"
    case .namespace: "Namespace"
    case .loop: "LoopContext"
    case .macro: "Macro"
    case .function: "function"
    }
  }

  /// The value as the owner of something undefined.
  var ownerName: String { if case .none = self { "None" } else { typeName + " object" } }

  var isUndefined: Bool { if case .undefined = self { true } else { false } }

  /// Truth as Python decides it; iterators and objects are true even when nothing is left.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .float(let value): value != 0
    case .string(let value), .markup(let value): !value.isEmpty
    case .list(let list), .tuple(let list): !list.elements.isEmpty
    case .dictionary(let dictionary): dictionary.count > 0
    case .view(let view): view.dictionary.count > 0
    case .range(let range): range.count > 0
    case .loop(let loop): (try? loop.length()) != 0
    case .iterator, .namespace, .macro, .function: true
    }
  }

  /// The characters of a string, nil for other types.
  var stringValue: String? {
    switch self {
    case .string(let value), .markup(let value): value
    default: nil
    }
  }

  /// The value as an integer where Python takes one: a bool is one too.
  var integerValue: Int? {
    switch self {
    case .integer(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }
}

/// The elements of a list or a tuple; an object, because `is sameas` asks which one it is.
final class TemplateList {
  let elements: [TemplateValue]
  let depth: Int
  /// Names of the elements in a named tuple, as `groupby` makes them.
  let names: [String]

  init(_ elements: [TemplateValue], names: [String] = []) throws {
    self.elements = elements
    self.names = names
    depth = try TemplateValue.depth(above: elements)
  }
}

/// The numbers of `range`.
struct TemplateRange: Hashable {
  /// The sandbox of Jinja allows no longer ranges.
  static let longest = 100_000

  let start: Int
  let stop: Int
  let step: Int
  let count: Int

  init(start: Int, stop: Int, step: Int) throws {
    guard step != 0 else { throw TemplateFault.type("range() arg 3 must not be zero") }
    let limit = Int.max / 4
    guard abs(clamping: start) < limit, abs(clamping: stop) < limit, abs(clamping: step) < limit
    else { throw TemplateFault.limit("a range of more than \(Self.longest) numbers") }
    let span = step > 0 ? stop - start : start - stop
    let stride = abs(step)
    count = span <= 0 ? 0 : (span - 1) / stride + 1
    if count > Self.longest {
      throw TemplateFault.limit("a range of more than \(Self.longest) numbers")
    }
    self.start = start
    self.stop = stop
    self.step = step
  }

  subscript(index: Int) -> Int { start + index * step }

  func contains(_ number: Int) -> Bool {
    guard count > 0 else { return false }
    let (offset, overflow) = number.subtractingReportingOverflow(start)
    guard !overflow, offset % step == 0 else { return false }
    return (0..<count).contains(offset / step)
  }
}

private func abs(clamping value: Int) -> Int { value == .min ? .max : abs(value) }

// MARK: JSON

extension TemplateValue {
  /// The value of a JSON value.
  init(_ json: JSONValue) throws {
    switch json {
    case .null: self = .none
    case .bool(let value): self = .bool(value)
    case .integer(let value): self = .integer(value)
    case .number(let value): self = .float(value)
    case .string(let value): self = .string(value)
    case .array(let values): self = try .list(values.map { try TemplateValue($0) })
    case .object(let object):
      self = .dictionary(
        try TemplateDictionary(object.map { (.string($0.key), try TemplateValue($0.value)) }))
    }
  }

  /// The value as Python's `json` takes it.
  func json() throws -> JSONValue {
    switch self {
    case .none: return .null
    case .bool(let value): return .bool(value)
    case .integer(let value): return .integer(value)
    case .float(let value): return .number(value)
    case .string(let value), .markup(let value): return .string(value)
    case .list(let list), .tuple(let list): return .array(try list.elements.map { try $0.json() })
    case .dictionary(let dictionary):
      var object = JSONObject()
      for (key, value) in dictionary.entries {
        let name = try key.jsonKey()
        if object[name] != nil {
          throw TemplateFault.unsupported("tojson of a dict with two keys written \"\(name)\"")
        }
        object[name] = try value.json()
      }
      return .object(object)
    case .undefined(let undefined):
      throw TemplateFault(
        "Object of type Undefined is not JSON serializable: \(undefined.message)",
        hint: undefined.fault.hint)
    default:
      throw TemplateFault.type("Object of type \(typeName) is not JSON serializable")
    }
  }

  private func jsonKey() throws -> String {
    switch self {
    case .string(let value), .markup(let value): return value
    case .none: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .integer(let value): return String(value)
    case .float(let value): return JSONValue.number(value).serialized()
    default:
      throw TemplateFault.type("keys of JSON must be str, int, float, bool or None")
    }
  }
}
