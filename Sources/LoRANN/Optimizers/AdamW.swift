// AdamW: Adam with weight decay decoupled from the gradient.

import CLoRAKernels
public import LoRATensor

/// How an optimizer treats one parameter differently.
public struct ParameterVariation: Sendable, Hashable {
  /// What the learning rate is multiplied by.
  public var rateFactor: Float
  /// The decay in place of the optimizer's.
  public var weightDecay: Float?

  /// A variation; by default there is none.
  public init(rateFactor: Float = 1, weightDecay: Float? = nil) {
    self.rateFactor = rateFactor
    self.weightDecay = weightDecay
  }
}

/// AdamW (Loshchilov & Hutter 2019), step for step what `torch.optim.AdamW` does.
///
///   m ← β₁m + (1−β₁)g,  v ← β₂v + (1−β₂)g²
///   w ← w(1 − ηλ) − η/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)
public final class AdamW {
  /// η, the step size; set it before each step from the schedule.
  public var learningRate: Float
  /// β₁ and β₂, the memories of the gradient and of its square.
  public let betas: (Float, Float)
  /// ε, what keeps the quotient finite.
  public let epsilon: Float
  /// λ, the decay of the weights.
  public let weightDecay: Float
  /// The parameters, in the order in which gradients are given.
  public let parameters: [Parameter]
  /// What is different for each of them; empty: nothing.
  public let variations: [ParameterVariation]

  package private(set) var firstMoments: [Tensor]
  package private(set) var secondMoments: [Tensor]
  package private(set) var stepCount = 0

  /// An optimizer with moments 0.
  ///
  /// - Parameter variations: other rates and decays, one entry per parameter, for instance those of
  ///   LoRA+; empty for none.
  public init(
    _ parameters: [Parameter], learningRate: Float, betas: (Float, Float) = (0.9, 0.999),
    epsilon: Float = 1e-8, weightDecay: Float = 0.01, variations: [ParameterVariation] = []
  ) {
    precondition(
      variations.isEmpty || variations.count == parameters.count,
      "AdamW: \(variations.count) variations for \(parameters.count) parameters")
    self.parameters = parameters
    self.variations = variations
    self.learningRate = learningRate
    self.betas = betas
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    firstMoments = parameters.map { .zeros($0.value.shape) }
    secondMoments = parameters.map { .zeros($0.value.shape) }
  }

  /// Changes the parameters by one step.
  ///
  /// - Parameter gradientScale: multiplies the gradients first, for instance to clip their norm.
  public func step(_ gradients: [Tensor], gradientScale: Float = 1) {
    precondition(
      gradients.count == parameters.count,
      "AdamW: \(gradients.count) gradients for \(parameters.count) parameters")
    stepCount += 1
    var options = lk_adamw_options()
    options.learning_rate = learningRate
    options.beta1 = betas.0
    options.beta2 = betas.1
    options.epsilon = epsilon
    options.weight_decay = weightDecay
    options.bias_correction1 = correction(betas.0)
    options.bias_correction2 = correction(betas.1)
    options.gradient_scale = gradientScale
    for (index, parameter) in parameters.enumerated() {
      let gradient = gradients[index]
      if !variations.isEmpty {
        options.learning_rate = learningRate * variations[index].rateFactor
        options.weight_decay = variations[index].weightDecay ?? weightDecay
      }
      precondition(
        gradient.shape == parameter.value.shape,
        "AdamW: a gradient of shape \(gradient.shape) for a parameter of shape "
          + "\(parameter.value.shape)")
      // A value that someone else still reads (a snapshot, a tape) is not changed under them.
      parameter.makeUnique()
      lk_adamw(
        parameter.value.floats, gradient.floats, firstMoments[index].floats,
        secondMoments[index].floats, &options, gradient.count)
    }
  }

  /// Goes on from earlier moments, so that the next step is the one that would have followed.
  package func restore(stepCount: Int, firstMoments: [Tensor], secondMoments: [Tensor]) {
    for (index, parameter) in parameters.enumerated() {
      precondition(
        firstMoments[index].shape == parameter.value.shape
          && secondMoments[index].shape == parameter.value.shape,
        "AdamW: moments of another shape than the parameter's \(parameter.value.shape)")
    }
    self.stepCount = stepCount
    self.firstMoments = firstMoments
    self.secondMoments = secondMoments
  }

  private func correction(_ beta: Float) -> Float {
    var power = 1.0
    for _ in 0..<stepCount { power *= Double(beta) }
    return Float(1 - power)
  }
}

/// The norm of all gradients together: √ Σ g².
public func globalNorm(_ gradients: [Tensor]) -> Float {
  let sum = gradients.reduce(into: 0.0) { $0 += lk_sum_of_squares($1.floats, $1.count) }
  return Float(sum.squareRoot())
}

/// What gradients are multiplied by so that their norm is at most `maximum`, as PyTorch's
/// `clip_grad_norm_`: min(1, maximum / (norm + 1e-6)).
public func clippingScale(norm: Float, maximum: Float) -> Float {
  min(1, maximum / (norm + 1e-6))
}
