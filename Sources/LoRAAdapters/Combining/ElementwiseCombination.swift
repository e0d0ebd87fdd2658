// TIES, DARE and pruning: several tensors of one shape become one, element by element.

import LoRATensor

/// The combination of tensors of one shape, each with a weight.
struct ElementwiseCombination {
  let options: CombinationOptions
  /// Whether random pruning keeps an element, given its value; asked tensor by tensor.
  let keeps: (Float) -> Bool

  /// The combination; the order of the tensors is the order of the sums.
  func combine(_ tensors: [(values: Tensor, weight: Float)]) -> Tensor {
    let result = Tensor.zeros(tensors[0].values.shape)
    let pruned = tensors.map { self.pruned($0.values) }
    let signs = elects ? majoritySigns(pruned) : nil
    let count = result.count
    let sums = result.floats
    var agreeing = [Float](repeating: 0, count: signs == nil ? 0 : count)
    for (tensor, values) in zip(tensors, pruned) {
      withExtendedLifetime(values) {
        let x = values.floats
        guard let signs else {
          for i in 0..<count { sums[i] += x[i] * tensor.weight }
          return
        }
        // An element that is 0 has no sign, and agrees with none.
        for i in 0..<count where x[i] != 0 && (x[i] > 0) == signs[i] {
          sums[i] += x[i] * tensor.weight
          agreeing[i] += 1
        }
      }
    }
    for i in agreeing.indices { sums[i] /= max(agreeing[i], 1) }
    return result
  }

  private var elects: Bool { options.method == .ties || options.method == .dareTies }

  /// The tensor with the elements that are not kept at 0.
  private func pruned(_ tensor: Tensor) -> Tensor {
    guard options.method.prunes, options.density < 1 else { return tensor }
    let result = tensor.copied()
    let count = result.count
    let x = result.floats
    switch options.method {
    case .dareLinear, .dareTies:
      let density = Float(options.density)
      for i in 0..<count { x[i] = keeps(x[i]) ? x[i] / density : 0 }
    default:
      // The order of equal magnitudes is that of their places.
      let order = (0..<count).sorted { (abs(x[$0]), $1) > (abs(x[$1]), $0) }
      for i in order.dropFirst(Int(options.density * Double(count))) { x[i] = 0 }
    }
    return result
  }

  /// Where the elected sign is plus: that of the unweighted sum, or of the greater number.
  private func majoritySigns(_ tensors: [Tensor]) -> [Bool] {
    var votes = [Float](repeating: 0, count: tensors[0].count)
    for tensor in tensors {
      withExtendedLifetime(tensor) {
        let x = tensor.floats
        switch options.majoritySign {
        case .total: for i in votes.indices { votes[i] += x[i] }
        case .frequency:
          for i in votes.indices where x[i] != 0 { votes[i] += x[i] > 0 ? 1 : -1 }
        }
      }
    }
    return votes.map { $0 >= 0 }
  }
}
