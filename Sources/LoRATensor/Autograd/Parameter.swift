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

  /// What adapters put in this parameter's place: modules trained whole, trained biases.
  public private(set) var replacements: [(name: String, parameter: Parameter)] = []
  /// The adapter whose replacement takes part; none: the parameter itself does.
  public var activeReplacement: String?
  /// Whether any replacement takes part.
  package var areReplacementsEnabled = true

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
    if let replacement = actingReplacement { return replacement.tensor }
    guard let tape = Tape.current, let variable = tape.leaf(of: self) else { return value }
    var result = value
    result.variable = variable
    return result
  }

  /// What takes this parameter's place in the present pass.
  private var actingReplacement: Parameter? {
    guard !replacements.isEmpty else { return nil }
    return replacements.last { name, _ in
      let isActive = areReplacementsEnabled && name == activeReplacement
      return PassContext.rows(of: name, isActive: isActive) == .all
    }?.parameter
  }

  /// Gives an adapter's value another name.
  package func renameReplacement(_ name: String, to newName: String) {
    for index in replacements.indices where replacements[index].name == name {
      replacements[index].name = newName
    }
    if activeReplacement == name { activeReplacement = newName }
  }

  /// Lets an adapter's own value take this parameter's place.
  package func replace(_ name: String, by parameter: Parameter) {
    replacements.append((name, parameter))
    activeReplacement = name
  }

  /// Takes an adapter's value away.
  package func removeReplacement(_ name: String) {
    replacements.removeAll { $0.name == name }
    if activeReplacement == name { activeReplacement = replacements.last?.name }
  }
}
