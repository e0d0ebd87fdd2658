// The loss of a pass: cross-entropy at the supervised tokens, nothing computed elsewhere.

package import LoRAModels
import LoRANN
package import LoRATensor

/// Σ -log p(target) / normalizer over the supervised tokens of one pass, and each log p.
///
/// The normaliser is the number of supervised tokens of the whole optimizer step, so that the loss
/// and its gradient do not depend on how the step is cut into passes.
package func languageModelLoss(_ model: Llama, _ pass: Pass, normalizer: Int) -> HeadLoss {
  let hidden = model.hiddenStates(pass.tokens, packing: pass.packing, rows: pass.rows)
  // Adapters on the head itself are refused at injection: it is the plain frozen matrix.
  return headCrossEntropy(
    hidden, head: model.head.operand.weight, targets: pass.targets,
    scale: 1 / Float(max(normalizer, 1)))
}
