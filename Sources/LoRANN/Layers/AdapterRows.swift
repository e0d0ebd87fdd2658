// Which adapters act on which rows of a batch, where that is not the same for all rows.

/// A choice of adapters for the time of one pass, in place of the active ones.
package struct AdapterRows: Sendable {
  @TaskLocal package static var current: AdapterRows?

  private let ranges: [String: [Range<Int>]]
  /// Whether the rows of the batch differ; if not, the adapters act on all of them.
  private let isMixed: Bool

  /// Whether the rows of the present pass have different adapters: they cannot be picked from then.
  package static var isMixed: Bool { current?.isMixed ?? false }

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

  /// The rows that an adapter acts on: all (nil inside), some, or none (nil).
  package func rows(of adapter: String) -> [Range<Int>]?? {
    guard let rows = ranges[adapter] else { return nil }
    return .some(isMixed ? rows : nil)
  }
}
