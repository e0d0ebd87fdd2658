// The tape: what was computed, in order, so that gradients can be found walking back.

/// The place of a tensor on a tape.
package struct Variable: Sendable, Hashable {
  fileprivate let tape: ObjectIdentifier
  package let index: Int
}

/// A record of the operations whose result depends on the parameters under differentiation.
///
/// Each operation writes its own backward step (no graph of primitives). An operation none of whose
/// inputs is on the tape leaves no trace, so inference costs nothing here.
///
/// Invariant for `Sendable`: a tape is made, written and walked by the one task that called
/// `valueAndGradient`; the task-local binding shows it to no other thread of execution.
package final class Tape: @unchecked Sendable {
  @TaskLocal package static var current: Tape?

  private struct Node {
    let outputs: [Int]
    let place: String
    let backward: ([Tensor?], Gradients) -> Void
  }

  private var leaves: [ObjectIdentifier: Variable] = [:]
  private var nodes: [Node] = []
  private var variableCount = 0
  private let watch: NumericsWatch?

  package init(parameters: [Parameter], watch: NumericsWatch? = nil) {
    self.watch = watch
    for parameter in parameters { leaves[ObjectIdentifier(parameter)] = makeVariable() }
  }

  func leaf(of parameter: Parameter) -> Variable? { leaves[ObjectIdentifier(parameter)] }

  func contains(_ tensor: Tensor) -> Bool { tensor.variable?.tape == ObjectIdentifier(self) }

  private func makeVariable() -> Variable {
    defer { variableCount += 1 }
    return Variable(tape: ObjectIdentifier(self), index: variableCount)
  }

  /// Puts an operation's results on the current tape if one of its inputs is there.
  ///
  /// `backward` receives the gradient of each result (nil: it did not matter) and adds to those of
  /// the inputs.
  package static func record(
    _ outputs: [Tensor], inputs: [Tensor], backward: @escaping ([Tensor?], Gradients) -> Void
  ) -> [Tensor] {
    guard let tape = Tape.current, inputs.contains(where: tape.contains) else { return outputs }
    let place = tape.watch?.visit(outputs, inputs: inputs) ?? ""
    var recorded = outputs
    for i in recorded.indices { recorded[i].variable = tape.makeVariable() }
    tape.nodes.append(
      Node(
        outputs: recorded.compactMap { $0.variable?.index }, place: place, backward: backward))
    return recorded
  }

  /// `record` for an operation with one result.
  package static func record(
    _ output: Tensor, inputs: [Tensor], backward: @escaping (Tensor, Gradients) -> Void
  ) -> Tensor {
    record([output], inputs: inputs) { upstream, gradients in
      if let dy = upstream[0] { backward(dy, gradients) }
    }[0]
  }

  /// Whether an operation with these inputs would be recorded, so that it must keep what its
  /// backward step needs.
  package static func records(_ inputs: [Tensor]) -> Bool {
    guard let tape = Tape.current else { return false }
    return inputs.contains(where: tape.contains)
  }

  /// Walks back from `result` with gradient 1; `sums` hold what earlier passes added up and come
  /// back with this pass on top, in the order of the parameters.
  func walkBack(from result: Tensor, taking sums: consuming [Tensor?]) -> [Tensor?] {
    let leafCount = sums.count
    let gradients = Gradients(tape: self, count: variableCount, leaves: sums, watch: watch)
    gradients.add(Tensor.full(result.shape, 1), to: result)
    // Popping releases what a step kept as soon as it is done.
    while let node = nodes.popLast() {
      let upstream = node.outputs.map { gradients.take(index: $0) }
      gradients.place = node.place
      if upstream.contains(where: { $0 != nil }) { node.backward(upstream, gradients) }
    }
    return (0..<leafCount).map { gradients.take(index: $0) }
  }
}

/// The gradients found so far on the way back.
package final class Gradients {
  private let tape: Tape
  private var slots: [Tensor?]
  private let watch: NumericsWatch?
  /// The operation whose backward step runs.
  fileprivate var place = ""

  fileprivate init(tape: Tape, count: Int, leaves: [Tensor?], watch: NumericsWatch?) {
    self.tape = tape
    self.watch = watch
    slots = leaves + [Tensor?](repeating: nil, count: count - leaves.count)
  }

  /// Whether the gradient of `tensor` is asked for.
  package func wants(_ tensor: Tensor) -> Bool { tape.contains(tensor) }

  /// Adds a gradient; the tensor is not copied unless two of them meet.
  package func add(_ gradient: Tensor, to tensor: Tensor) {
    guard tape.contains(tensor), let index = tensor.variable?.index else { return }
    precondition(
      gradient.shape.count == tensor.shape.count,
      "gradient of shape \(gradient.shape) for a tensor of shape \(tensor.shape)")
    watch?.visit(gradient: gradient, from: place)
    guard slots[index] != nil else {
      slots[index] = gradient.viewed(as: tensor.shape)
      return
    }
    let sum = accumulator(for: tensor)
    sum.add(gradient)
    slots[index] = sum
  }

  /// The float32 sum of the gradients so far (zeros if none), to be changed in place and handed
  /// back with `set`. Only for a tensor that is wanted.
  package func accumulator(for tensor: Tensor) -> Tensor {
    guard let index = tensor.variable?.index, var sum = take(index: index) else {
      return .zeros(tensor.shape)
    }
    if sum.dtype == .float32 && sum.isUniquelyReferenced() { return sum }
    return sum.dtype == .float32 ? sum.copied() : sum.converted(to: .float32)
  }

  /// Hands back what `accumulator` gave, changed.
  package func set(_ sum: Tensor, for tensor: Tensor) {
    watch?.visit(gradient: sum, from: place)
    if let index = tensor.variable?.index { slots[index] = sum }
  }

  fileprivate func take(index: Int) -> Tensor? {
    defer { slots[index] = nil }
    return slots[index]
  }
}
