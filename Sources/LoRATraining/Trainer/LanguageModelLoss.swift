// The loss of a pass: cross-entropy at the supervised tokens, nothing computed elsewhere.

package import LoRAModels
import LoRANN
package import LoRATensor

/// Σ -log p(target) / normalizer over the supervised tokens of one pass, and each log p.
///
/// The normaliser is the number of supervised tokens of the whole optimizer step, so that the loss
/// and its gradient do not depend on how the step is cut into passes.
package func languageModelLoss(_ model: Llama, _ pass: Pass, normalizer: Int) -> HeadLoss {
  // Their number is rounded up, by rows that are then left out: each new number would bring kernels
  // for all products of the last layer (see Pass).
  let count = pass.rows.count
  let surplus = [Int](repeating: pass.rows.last ?? 0, count: (16 - count % 16) % 16)
  var hidden = model.hiddenStates(
    pass.tokens, packing: pass.packing, rows: pass.rows + surplus)
  if !surplus.isEmpty { hidden = gatherRows(hidden, Array(0..<count)) }
  return PassContext.picking(pass.rows) {
    headLoss(model, hidden, targets: pass.targets, scale: 1 / Float(max(normalizer, 1)))
  }
}

/// The loss of hidden states; the logits of a block of rows exist at a time.
func headLoss(_ model: Llama, _ hidden: Tensor, targets: [Int32], scale: Float) -> HeadLoss {
  let head = model.head.operand
  guard head.pairs.isEmpty, head.bias == nil, !Tape.records([head.weight]) else {
    return blockwiseLoss(hidden, parameters: model.recordedParameters) { part, range in
      // Each row keeps its dropout and the adapter that was chosen for it.
      PassContext.picking(Array(range)) {
        logitCrossEntropy(model.logits(part), targets: Array(targets[range]), scale: scale)
      }
    }
  }
  return headCrossEntropy(hidden, head: head.weight, targets: targets, scale: scale)
}
