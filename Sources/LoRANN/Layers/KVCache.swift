// Keys and values of tokens already seen, so that a new token costs one row.

package import LoRATensor

/// The keys and values of several sequences, layer by layer.
///
/// The first pass takes whole prompts, packed; each later pass one token per sequence still running.
package final class KVCache {
  private var keys: [[Tensor]]  // [layer][sequence], each [capacity, kvHeads·d]
  private var values: [[Tensor]]
  /// Tokens seen of each sequence, before the pass under way.
  package private(set) var lengths: [Int]
  /// The sequences whose tokens the next pass brings, in its order.
  package var rows: [Int]

  package init(
    layers: Int, capacities: [Int], keyWidth: Int, dtype: DType
  ) {
    func buffers() -> [[Tensor]] {
      (0..<layers).map { _ in
        capacities.map { Tensor(uninitialized: [$0, keyWidth], dtype: dtype) }
      }
    }
    keys = buffers()
    values = buffers()
    lengths = capacities.map { _ in 0 }
    rows = Array(capacities.indices)
  }

  /// Ends a pass that brought `counts[i]` tokens of the sequence `rows[i]`.
  package func advance(by counts: [Int]) {
    for (sequence, count) in zip(rows, counts) { lengths[sequence] += count }
  }

  /// Whether the next pass brings one token per sequence, its prompt being here already.
  package var isPastPrompts: Bool { rows.contains { lengths[$0] > 0 } }

  func attend(
    layer: Int, q: Tensor, k: Tensor, v: Tensor, packing: Packing, heads: Int, kvHeads: Int
  ) -> Tensor {
    for (i, sequence) in rows.enumerated() {
      let range = Int(packing.starts[i])..<Int(packing.starts[i + 1])
      let target = lengths[sequence]..<(lengths[sequence] + range.count)
      keys[layer][sequence].rows(target).copy(from: k.rows(range))
      values[layer][sequence].rows(target).copy(from: v.rows(range))
    }
    if !isPastPrompts {
      return causalAttention(q: q, k: k, v: v, packing: packing, heads: heads, kvHeads: kvHeads)
    }
    precondition(
      packing.tokenCount == rows.count, "KVCache: a later pass brings one token per sequence")
    return decodeAttention(
      q: q, keys: rows.map { keys[layer][$0] }, values: rows.map { values[layer][$0] },
      lengths: rows.map { lengths[$0] + 1 }, heads: heads, kvHeads: kvHeads)
  }
}
