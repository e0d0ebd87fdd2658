// Packing: examples back to back, no padding; and the order in which they come.

package import LoRATensor

/// Examples that go through the model together.
package struct Pass: Sendable {
  /// Their places in the list that was packed.
  package let examples: [Int]
  /// Their tokens, one example after the other, and up to 31 at the end that belong to none.
  package private(set) var tokens: [Int32]
  /// Where each begins.
  package let packing: Packing
  /// The positions whose next token is supervised.
  package let rows: [Int]
  /// The next token at each of `rows`.
  package let targets: [Int32]
  /// A number for each position that stays the same wherever the example is packed.
  package private(set) var rowKeys: [UInt64]

  init(_ all: [Example], _ chosen: [Int]) {
    examples = chosen
    var tokens: [Int32] = []
    var rows: [Int] = []
    var targets: [Int32] = []
    var keys: [UInt64] = []
    for index in chosen {
      let example = all[index]
      for place in example.tokens.indices {
        let next = place + 1
        if next < example.tokens.count, example.mask[next] {
          rows.append(tokens.count)
          targets.append(example.tokens[next])
        }
        tokens.append(example.tokens[place])
        keys.append(UInt64(truncatingIfNeeded: example.line) << 32 | UInt64(place))
      }
    }
    self.tokens = tokens
    self.rows = rows
    self.targets = targets
    rowKeys = keys
    // A tail that nobody reads brings the length to a round number: oneDNN compiles a kernel for
    // each new length, which takes time and memory (350 kB for each product of the model).
    let tail = (Self.lengthStep - tokens.count % Self.lengthStep) % Self.lengthStep
    self.tokens += [Int32](repeating: 0, count: tail)
    rowKeys += [UInt64](repeating: .max, count: tail)
    packing = Packing(lengths: chosen.map { all[$0].tokens.count } + (tail > 0 ? [tail] : []))
  }

  /// What the length of a pass is a multiple of.
  private static let lengthStep = 32
}

/// Cuts examples into passes of at most `tokenBudget` tokens, by first fit of the longest first; an
/// example that is longer has a pass of its own.
///
/// First fit decreasing needs at most 11/9 of the fewest passes possible (Johnson 1973). Equal
/// lengths keep their order, so the same examples give the same passes.
package func passes(_ examples: [Example], tokenBudget: Int) -> [Pass] {
  packs(examples.map(\.tokens.count), tokenBudget: tokenBudget).map { Pass(examples, $0) }
}

/// The places of the examples of each pass, for examples of these lengths.
func packs(_ lengths: [Int], tokenBudget: Int) -> [[Int]] {
  let order = lengths.indices.sorted { (lengths[$1], $0) < (lengths[$0], $1) }
  var groups: [(examples: [Int], tokens: Int)] = []
  for index in order {
    let count = lengths[index]
    if let place = groups.firstIndex(where: { $0.tokens + count <= tokenBudget }) {
      groups[place].examples.append(index)
      groups[place].tokens += count
    } else {
      groups.append(([index], count))
    }
  }
  return groups.map(\.examples)
}

/// The batches of an epoch, as places in the data set; the last may be short.
///
/// - Parameter seed: gives each epoch an order of its own; nil keeps the order of the file.
package func dataOrder(count: Int, batchSize: Int, epoch: Int, seed: UInt64?) -> [[Int]] {
  var order = Array(0..<count)
  if let seed {
    var random = Random(seed: seed &+ UInt64(epoch) &* 0x9E37_79B9_7F4A_7C15)
    order = random.permutation(of: count)
  }
  return stride(from: 0, to: count, by: batchSize).map {
    Array(order[$0..<min($0 + batchSize, count)])
  }
}
