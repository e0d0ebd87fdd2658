// Gives every dropout of a training step a mask of its own, reproducible from one seed.

import LoRATensor

/// One layer's masks: from the pass's keys, or a new one for each call of a layer used alone.
struct DropoutStream {
  /// Tells the layers of a network apart; their order decides it.
  var index: UInt32 = 0
  var seed: UInt64 = 0
  private var calls = 0

  /// The mask of the present pass; nil where it is none of training, or nothing is dropped.
  mutating func mask(_ probability: Float) -> DropoutMask? {
    let context = PassContext.current
    guard context.isTraining == true, probability > 0 else { return nil }
    let keys = context.dropout ?? DropoutKeys(seed: seed, step: calls)
    calls += 1
    return DropoutMask(
      probability: probability, seed: keys.seed, stream: index, rowKeys: keys.rowKeys)
  }
}
