// The tape: what was computed, in order, so that gradients can be found walking back.

/// The place of a tensor on a tape.
package struct Variable: Sendable, Hashable {
  fileprivate let tape: ObjectIdentifier
  package let index: Int
}

/// Where a tensor's gradient goes: what a backward step holds on to that has no need of its bytes.
package struct GradientSlot {
  fileprivate let variable: Variable?
  fileprivate let shape: Shape
}

extension Tensor {
  package var gradientSlot: GradientSlot { GradientSlot(variable: variable, shape: shape) }
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

  /// Those of the parameters by which the present pass is differentiated.
  package static func leaves(among parameters: [Parameter]) -> [Parameter] {
    guard let current else { return [] }
    return parameters.filter { current.leaf(of: $0) != nil }
  }

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

  /// Walks back from `result` with its gradient; `sums` hold what earlier passes added up and come
  /// back with this pass on top, in the order of the parameters.
  func walkBack(
    from result: Tensor, gradient: Tensor, taking sums: consuming [Tensor?]
  ) -> [Tensor?] {
    let leafCount = sums.count
    let gradients = Gradients(tape: self, count: variableCount, leaves: sums, watch: watch)
    gradients.add(gradient, to: result)
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
  package func wants(_ tensor: Tensor) -> Bool { wants(tensor.gradientSlot) }

  /// As above, for a tensor whose bytes are gone.
  package func wants(_ slot: GradientSlot) -> Bool {
    slot.variable?.tape == ObjectIdentifier(tape)
  }

  /// Adds a gradient; the tensor is not copied unless two of them meet.
  package func add(_ gradient: Tensor, to tensor: Tensor) {
    add(gradient, to: tensor.gradientSlot)
  }

  /// As above, for a tensor whose bytes are gone.
  package func add(_ gradient: Tensor, to slot: GradientSlot) {
    guard let variable = slot.variable, wants(slot) else { return }
    precondition(
      gradient.shape.count == slot.shape.count,
      "gradient of shape \(gradient.shape) for a tensor of shape \(slot.shape)")
    watch?.visit(gradient: gradient, from: place)
    guard slots[variable.index] != nil else {
      slots[variable.index] = gradient.viewed(as: slot.shape)
      return
    }
    let sum = accumulator(for: slot)
    sum.add(gradient)
    slots[variable.index] = sum
  }

  /// The float32 sum of the gradients so far (zeros if none), to be changed in place and handed
  /// back with `set`. Only for a tensor that is wanted.
  package func accumulator(for tensor: Tensor) -> Tensor { accumulator(for: tensor.gradientSlot) }

  package func accumulator(for slot: GradientSlot) -> Tensor {
    guard let index = slot.variable?.index, var sum = take(index: index) else {
      return .zeros(slot.shape)
    }
    if sum.dtype == .float32 && sum.isUniquelyReferenced() { return sum }
    return sum.dtype == .float32 ? sum.copied() : sum.converted(to: .float32)
  }

  /// Hands back what `accumulator` gave, changed.
  package func set(_ sum: Tensor, for tensor: Tensor) { set(sum, for: tensor.gradientSlot) }

  package func set(_ sum: Tensor, for slot: GradientSlot) {
    watch?.visit(gradient: sum, from: place)
    if let index = slot.variable?.index { slots[index] = sum }
  }

  /// The gradient so far, handed over: nil where there is none.
  func take(_ tensor: Tensor) -> Tensor? { tensor.variable.flatMap { take(index: $0.index) } }

  fileprivate func take(index: Int) -> Tensor? {
    defer { slots[index] = nil }
    return slots[index]
  }
}
