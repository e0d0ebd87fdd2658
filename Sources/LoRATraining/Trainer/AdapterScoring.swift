// Scoring sequences side by side, each with an adapter of its own.

import LoRAAdapters
public import LoRAModels
import LoRANN
import LoRATensor

/// log p of every token of each sequence given those before it, all in one pass; the first tokens
/// have none.
///
/// What the other sequences' adapters are makes no difference, to the bit.
/// - Parameters:
///   - sequences: tokens, each sequence for itself.
///   - adapters: the adapter of each sequence, nil for the model alone; unset, the active ones.
/// - Throws: `AdapterError` for an adapter that the model does not have, or a wrong number of them.
public func logProbabilities(
  _ model: Llama, sequences: [[Int32]], adapters: [String?]? = nil
) throws -> [[Float]] {
  if let adapters { try model.checkChoice(of: adapters, sequences: sequences.count) }
  let packing = Packing(lengths: sequences.map(\.count))
  let scored = sequences.indices.map { index in
    Int(packing.starts[index])..<max(Int(packing.starts[index + 1]) - 1, Int(packing.starts[index]))
  }
  let targets = sequences.flatMap { $0.dropFirst() }
  guard !targets.isEmpty else { return sequences.map { _ in [] } }
  let rows = scored.flatMap { Array($0) }
  let all = PassContext.inference {
    PassContext.with({ context in
      if let adapters {
        context.adapters = AdapterRows(adapters: adapters, starts: packing.starts)
      }
    }) {
      let hidden = model.hiddenStates(sequences.flatMap { $0 }, packing: packing, rows: rows)
      return PassContext.picking(rows) {
        headLoss(model, hidden, targets: targets, scale: 1).logProbabilities
      }
    }
  }
  var start = 0
  return scored.map { rows in
    defer { start += rows.count }
    return Array(all[start..<start + rows.count])
  }
}
