// The plain linear layer, and what every layer that can stand in its place has in common.

public import LoRATensor

/// A layer that maps [..., in] to [..., out] by a weight: plain, or with low-rank paths beside it.
public protocol LinearLayer: Module {
  /// The extent of the input's last axis.
  var inFeatures: Int { get }
  /// The extent of the output's last axis.
  var outFeatures: Int { get }
  /// The layer as the linear operation sees it; layers that share an input run as one.
  var operand: LinearOperand { get }
}

extension LinearLayer {
  /// The layer's output for x [..., in], float32 or bfloat16: [..., out] of the same type.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    precondition(
      x.shape.rank >= 1 && x.shape.lastDimension == inFeatures,
      "Linear(\(inFeatures) → \(outFeatures)): the input's shape \(x.shape) does not end in "
        + "\(inFeatures)")
    return linear(.plain(x), [operand])[0]
  }
}

/// y = x·Wᵀ + b.
public final class Linear: LinearLayer {
  /// W, [out, in].
  public let weight: Parameter
  /// b, [out].
  public let bias: Parameter?

  /// A layer with uniform ±1/√in weights and bias, as PyTorch starts `nn.Linear`.
  ///
  /// - Parameter seed: the same seed gives the same layer; without one, each layer is another.
  public init(_ inFeatures: Int, _ outFeatures: Int, bias: Bool = true, seed: UInt64? = nil) {
    precondition(
      inFeatures > 0 && outFeatures > 0, "Linear: \(inFeatures) → \(outFeatures) features")
    var random = Random(seed: seed ?? Random.nextSeed())
    let bound = 1 / Float(inFeatures).squareRoot()
    weight = Parameter(random.uniform([outFeatures, inFeatures], low: -bound, high: bound))
    self.bias = bias ? Parameter(random.uniform([outFeatures], low: -bound, high: bound)) : nil
  }

  /// A layer with given weights: W [out, in] of any type, b [out]; frozen unless asked otherwise.
  public init(weight: Tensor, bias: Tensor? = nil, isTrainable: Bool = false) {
    precondition(
      weight.shape.rank == 2 && bias.map { $0.shape == [weight.shape[0]] } ?? true,
      "Linear: a weight of shape \(weight.shape) with a bias of shape "
        + "\(bias?.shape.description ?? "none")")
    self.weight = Parameter(weight, isTrainable: isTrainable)
    self.bias = bias.map { Parameter($0, isTrainable: isTrainable) }
  }

  public var inFeatures: Int { weight.value.shape[1] }
  public var outFeatures: Int { weight.value.shape[0] }

  public var parameters: [(name: String, parameter: Parameter)] {
    [("weight", weight)] + (bias.map { [("bias", $0)] } ?? [])
  }

  public var operand: LinearOperand { LinearOperand(weight: weight.tensor, bias: bias?.tensor) }
}
