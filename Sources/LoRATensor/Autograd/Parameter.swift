// A tensor that training may change.

/// A tensor that a module holds and an optimizer may change.
///
/// Read it through `tensor`: under `valueAndGradient(of:)` that is where the tape begins.
public final class Parameter {
  /// The present value, without a place on any tape.
  public package(set) var value: Tensor {
    get { stored }
    set {
      stored = newValue
      version &+= 1
    }
  }
  /// Counts the changes of the value, for what is derived from it and kept.
  package private(set) var version: UInt64 = 0
  private var stored: Tensor
  /// Whether training changes it; a frozen parameter costs no gradient.
  public var isTrainable: Bool

  /// A parameter with an initial value.
  public init(_ value: Tensor, isTrainable: Bool = true) {
    stored = value.detached
    self.isTrainable = isTrainable
  }

  /// Replaces the value by another of the same shape.
  public func load(_ value: Tensor) {
    precondition(
      value.shape == self.value.shape,
      "Parameter: a value of shape \(value.shape) for one of shape \(self.value.shape)")
    self.value = value.detached
  }

  /// Copies the value if anyone else shares its bytes: they are about to be changed in place.
  package func makeUnique() {
    if !stored.isUniquelyReferenced() { stored = stored.copied() }
    version &+= 1
  }

  /// The value, connected to the tape that records this parameter, if one does.
  public var tensor: Tensor {
    guard let tape = Tape.current, let variable = tape.leaf(of: self) else { return value }
    var result = value
    result.variable = variable
    return result
  }
}
