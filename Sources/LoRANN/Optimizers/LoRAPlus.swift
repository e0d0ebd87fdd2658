// LoRA+: B learns faster than A, by a fixed ratio of the learning rates.

public import LoRATensor

/// The rates of LoRA+ (Hayou et al. 2024, 2402.12354), grouped as PEFT's
/// `create_loraplus_optimizer` does it: B and everything with one axis (DoRA's magnitudes, biases) at
/// ratio·η, A at η, factors of embeddings at a rate of their own; biases do not decay.
///
/// - Parameters:
///   - parameters: what is trained, with its paths; the variations come in this order.
///   - ratio: η_B/η_A, at least 1; 16 is the paper's, with a rate about half of LoRA's.
///   - learningRate: η, against which the embeddings' rate is set.
///   - embeddingRate: the rate of `lora_embedding_A` and `lora_embedding_B`.
public func loraPlusVariations(
  _ parameters: [(path: String, parameter: Parameter)], ratio: Float, learningRate: Float,
  embeddingRate: Float = 1e-6
) -> [ParameterVariation] {
  parameters.map { path, parameter in
    if path.contains("lora_embedding_") {
      return ParameterVariation(rateFactor: embeddingRate / learningRate)
    }
    guard path.contains("lora_B") || parameter.value.shape.rank == 1 else {
      return ParameterVariation()
    }
    return ParameterVariation(
      rateFactor: ratio, weightDecay: path.contains("bias") ? 0 : nil)
  }
}
