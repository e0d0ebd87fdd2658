// Gives every dropout of a training step a mask of its own, reproducible from one seed.

import LoRATensor

/// What the masks of the present step depend on.
package struct DropoutContext: Sendable {
  @TaskLocal package static var current: DropoutContext?

  /// The run's seed mixed with the step.
  package var seed: UInt64
  /// The names of the packed rows: (example, position), the same wherever the row is packed.
  package var rowKeys: [UInt64]?

  package init(seed: UInt64, step: Int, rowKeys: [UInt64]? = nil) {
    self.seed = seed &+ UInt64(step) &* 0x9E37_79B9_7F4A_7C15
    self.rowKeys = rowKeys
  }
}

extension DropoutContext {
  /// Runs what works on some rows of the pass only, each under its own name.
  package static func picking<Result>(_ rows: [Int], _ body: () -> Result) -> Result {
    guard var context = current, let keys = context.rowKeys else { return body() }
    context.rowKeys = rows.map { keys[$0] }
    return $current.withValue(context, operation: body)
  }
}

/// One layer's masks: from the step's context, or a new one for each call of a layer used alone.
struct DropoutStream {
  /// Tells the layers of a network apart; their order decides it.
  var index: UInt32 = 0
  var seed: UInt64 = 0
  private var calls = 0

  mutating func mask(_ probability: Float) -> DropoutMask {
    let context = DropoutContext.current ?? DropoutContext(seed: seed, step: calls)
    calls += 1
    return DropoutMask(
      probability: probability, seed: context.seed, stream: index, rowKeys: context.rowKeys)
  }
}
