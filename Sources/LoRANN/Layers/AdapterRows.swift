// Which adapters act on which rows of a batch, where that is not the same for all rows.

/// A choice of adapters for the time of one pass, in place of the active ones.
package struct AdapterRows: Sendable {
  @TaskLocal package static var current: AdapterRows?

  private let ranges: [String: [Range<Int>]]
  /// Whether the rows of the batch differ; if not, the adapters act on all of them.
  private let isMixed: Bool

  /// No adapter at all.
  package static let base = AdapterRows(ranges: [:], isMixed: false)

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

  /// Runs what works on some rows of the pass only, given in order; each keeps its adapter.
  package static func picking<Result>(
    _ rows: [Int], _ body: () throws -> Result
  ) rethrows -> Result {
    guard let current, current.isMixed else { return try body() }
    let ranges = current.ranges.mapValues { ranges in
      var places: [Range<Int>] = []
      for (place, row) in rows.enumerated() where ranges.contains(where: { $0.contains(row) }) {
        if let last = places.last, last.upperBound == place {
          places[places.count - 1] = last.lowerBound..<place + 1
        } else {
          places.append(place..<place + 1)
        }
      }
      return places
    }.filter { !$0.value.isEmpty }
    return try $current.withValue(
      AdapterRows(ranges: ranges, isMixed: true), operation: body)
  }

  /// The rows that an adapter acts on: all (nil inside), some, or none (nil).
  package func rows(of adapter: String) -> [Range<Int>]?? {
    guard let rows = ranges[adapter] else { return nil }
    return .some(isMixed ? rows : nil)
  }

  /// The rows that an adapter acts on: as chosen for the present pass, else all if it is active.
  static func rows(of adapter: String, isActive: Bool) -> [Range<Int>]?? {
    if let current { return current.rows(of: adapter) }
    return isActive ? .some(nil) : nil
  }
}
