// Which adapters act on which rows of a pass.

/// The rows of a pass that an adapter acts on.
package enum RowChoice: Equatable, Sendable {
  case none
  case all
  /// Ascending, none empty.
  case some([Range<Int>])

  /// The rows; nil: all.
  package var ranges: [Range<Int>]? {
    switch self {
    case .none: []
    case .all: nil
    case .some(let ranges): ranges
    }
  }
}

/// A choice of adapters for one pass, in place of those that are active in the network.
package struct AdapterRows: Sendable {
  private let ranges: [String: [Range<Int>]]
  /// Whether the rows of the batch differ; if not, the adapters act on all of them.
  private let isMixed: Bool

  /// No adapter at all.
  package static let base = AdapterRows(ranges: [:], isMixed: false)

  /// One adapter on all rows.
  package static func only(_ adapter: String) -> AdapterRows {
    AdapterRows(ranges: [adapter: []], isMixed: false)
  }

  private init(ranges: [String: [Range<Int>]], isMixed: Bool) {
    self.ranges = ranges
    self.isMixed = isMixed
  }

  /// An adapter, or none (nil), for each sequence of a batch.
  ///
  /// - Parameters:
  ///   - adapters: one entry per sequence.
  ///   - starts: sequence i has the rows `starts[i] ..< starts[i + 1]`.
  package init(adapters: [String?], starts: [Int32]) {
    precondition(
      adapters.count == starts.count - 1,
      "adapters: \(adapters.count) choices for \(starts.count - 1) sequences")
    var ranges: [String: [Range<Int>]] = [:]
    for (index, name) in adapters.enumerated() {
      let range = Int(starts[index])..<Int(starts[index + 1])
      if let name, !range.isEmpty { ranges[name, default: []].append(range) }
    }
    self.init(ranges: ranges, isMixed: Set(adapters).count > 1)
  }

  /// The choice for some of the rows, given in order.
  func picking(_ rows: [Int]) -> AdapterRows {
    guard isMixed else { return self }
    let picked = ranges.mapValues { ranges in
      var places: [Range<Int>] = []
      for (place, row) in rows.enumerated() where ranges.contains(where: { $0.contains(row) }) {
        if let last = places.last, last.upperBound == place {
          places[places.count - 1] = last.lowerBound..<place + 1
        } else {
          places.append(place..<place + 1)
        }
      }
      return places
    }
    return AdapterRows(ranges: picked.filter { !$0.value.isEmpty }, isMixed: true)
  }

  /// The rows that an adapter acts on.
  package func rows(of adapter: String) -> RowChoice {
    guard let rows = ranges[adapter] else { return .none }
    return isMixed ? .some(rows) : .all
  }
}

extension PassContext {
  /// The rows of the present pass that an adapter acts on, which is active in the network or not.
  package static func rows(of adapter: String, isActive: Bool) -> RowChoice {
    if let adapters = current.adapters { return adapters.rows(of: adapter) }
    return isActive ? .all : .none
  }
}
