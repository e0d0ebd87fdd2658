// Dictionaries of templates: ordered, with any hashable key, equal keys as in Python.

import LoRAJSON

/// A key as Python compares it: 1, 1.0 and True are one key.
enum TemplateKey: Hashable {
  case none
  case undefined
  case integer(Int)
  case float(Double)
  case string(ScalarKey)
  case tuple([TemplateKey])
  case range(TemplateRange)
  case object(ObjectIdentifier)

  init(_ value: TemplateValue) throws {
    switch value {
    case .none: self = .none
    case .undefined: self = .undefined
    case .bool(let value): self = .integer(value ? 1 : 0)
    case .integer(let value): self = .integer(value)
    case .float(let value): self = Int(exactly: value).map { .integer($0) } ?? .float(value)
    case .string(let value), .markup(let value): self = .string(ScalarKey(value))
    case .tuple(let list): self = .tuple(try list.elements.map { try TemplateKey($0) })
    case .range(let range): self = .range(range)
    case .namespace(let object): self = .object(ObjectIdentifier(object))
    case .loop(let object): self = .object(ObjectIdentifier(object))
    case .macro(let object): self = .object(ObjectIdentifier(object))
    case .function(let object): self = .object(ObjectIdentifier(object))
    case .iterator(let object): self = .object(ObjectIdentifier(object))
    case .list, .dictionary, .view:
      throw TemplateFault.type("unhashable type: '\(value.typeName)'")
    }
  }
}

/// A dictionary; later values of a key win, in the place of the first.
final class TemplateDictionary {
  typealias Entry = (key: TemplateValue, value: TemplateValue)

  let entries: [Entry]
  let depth: Int
  private let index: [TemplateKey: Int]
  /// Below this many entries, all with text keys, no index is made.
  private static let largestScanned = 8

  init(_ pairs: [Entry]) throws {
    depth = try TemplateValue.depth(above: pairs.lazy.flatMap { [$0.key, $0.value] })
    if pairs.count <= Self.largestScanned, Self.haveDistinctTextKeys(pairs) {
      entries = pairs
      index = [:]
      return
    }
    var entries: [Entry] = []
    var index: [TemplateKey: Int] = [:]
    for pair in pairs {
      let key = try TemplateKey(pair.key)
      if let place = index[key] {
        entries[place].value = pair.value
      } else {
        index[key] = entries.count
        entries.append(pair)
      }
    }
    self.entries = entries
    self.index = index
  }

  private static func haveDistinctTextKeys(_ pairs: [Entry]) -> Bool {
    for (place, pair) in pairs.enumerated() {
      guard case .string(let key) = pair.key else { return false }
      for earlier in pairs[..<place] {
        if case .string(let other) = earlier.key, other.hasSameBytes(as: key) { return false }
      }
    }
    return true
  }

  var count: Int { entries.count }

  subscript(name: String) -> TemplateValue? {
    if index.isEmpty {
      for entry in entries {
        if case .string(let key) = entry.key, key.hasSameBytes(as: name) { return entry.value }
      }
      return nil
    }
    return index[.string(ScalarKey(name))].map { entries[$0].value }
  }

  /// The value of a key; throws when a key of its type cannot be hashed.
  func value(for key: TemplateValue) throws -> TemplateValue? {
    if let text = key.stringValue { return self[text] }
    let key = try TemplateKey(key)
    return index[key].map { entries[$0].value }
  }
}

/// What `keys()`, `values()` and `items()` give.
struct TemplateDictionaryView {
  enum Part: String { case keys, values, items }

  let dictionary: TemplateDictionary
  let part: Part

  func elements() throws -> [TemplateValue] {
    switch part {
    case .keys: dictionary.entries.map(\.key)
    case .values: dictionary.entries.map(\.value)
    case .items: try dictionary.entries.map { try .tuple([$0.key, $0.value]) }
    }
  }
}
