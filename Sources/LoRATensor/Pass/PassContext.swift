// What a pass through a network is for, and what of the network takes part: one value for all layers.

/// What one pass carries to every layer that it runs through.
///
/// It belongs to the pass, not to the network: a token that is generated between two layers of a
/// training pass has no dropout, and what is trained does not see which adapters others load,
/// activate or merge meanwhile.
public struct PassContext: Sendable {
  /// That of the task which runs the pass.
  @TaskLocal package static var current = PassContext()

  /// Whether dropout acts. `valueAndGradient` says true where nobody has said otherwise.
  package var isTraining: Bool?
  /// The adapters that act, and on which rows; nil: those that are active in the network.
  package var adapters: AdapterRows?
  /// What dropout's masks depend on; nil: each layer draws its own.
  package var dropout: DropoutKeys?
  /// Whether linear layers read stored weights row by row or convert them for oneDNN's products.
  ///
  /// Both give the same to rounding. The first is for passes of one token per sequence; which it is
  /// follows from the kind of pass and never from the number of rows, so that what is beside a
  /// sequence changes nothing in it.
  package var readsStoredWeights = false

  /// Runs `body` with dropout, also where nothing is recorded.
  public static func training<Result>(_ body: () throws -> Result) rethrows -> Result {
    try with({ $0.isTraining = true }, body)
  }

  /// Runs `body` without dropout, also inside `valueAndGradient`.
  public static func evaluating<Result>(_ body: () throws -> Result) rethrows -> Result {
    try with({ $0.isTraining = false }, body)
  }

  /// Runs a pass of its own, without dropout and off every tape, whatever pass it is called from.
  package static func inference<Result>(_ body: () throws -> Result) rethrows -> Result {
    try Tape.$current.withValue(nil) { try evaluating(body) }
  }

  /// Runs `body` with a context that differs from the present one.
  package static func with<Result>(
    _ change: (inout PassContext) -> Void, _ body: () throws -> Result
  ) rethrows -> Result {
    var context = current
    change(&context)
    return try $current.withValue(context, operation: body)
  }

  /// Runs what works on some rows of the pass only, given in order; each keeps its adapter and its
  /// dropout.
  package static func picking<Result>(
    _ rows: [Int], _ body: () throws -> Result
  ) rethrows -> Result {
    try with(
      {
        $0.adapters = $0.adapters?.picking(rows)
        $0.dropout = $0.dropout?.picking(rows)
      }, body)
  }
}

/// What the dropout masks of a training step depend on.
package struct DropoutKeys: Sendable {
  /// The run's seed mixed with the step.
  package let seed: UInt64
  /// The names of the packed rows: (example, position), the same wherever the row is packed.
  package private(set) var rowKeys: [UInt64]?

  package init(seed: UInt64, step: Int, rowKeys: [UInt64]? = nil) {
    self.seed = seed &+ UInt64(step) &* 0x9E37_79B9_7F4A_7C15
    self.rowKeys = rowKeys
  }

  func picking(_ rows: [Int]) -> DropoutKeys {
    var picked = self
    picked.rowKeys = rowKeys.map { keys in rows.map { keys[$0] } }
    return picked
  }
}
