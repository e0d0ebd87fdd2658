// What a training run will need of memory, computed from sizes before the first step.

package import LoRAModels
import LoRANN
import LoRATensor

/// The parts of a run's peak memory, in bytes.
package struct MemoryPlan: Sendable {
  /// The base model's weights and tables.
  package let base: Int
  /// The adapter: values, gradients, and AdamW's two moments, 4 bytes each.
  package let adapter: Int
  /// What a pass keeps for its way back.
  package let activations: Int
  /// Buffers of the operation under way: the logits of a block of rows, or a layer's gradients.
  package let work: Int
  /// The program, its libraries, the tokenizer, and the kernels that oneDNN compiles.
  package let program: Int

  package var total: Int { base + adapter + activations + work + program }

  /// The plan of a run.
  ///
  /// - Parameters:
  ///   - model: with its adapter.
  ///   - weights: where its linear weights will be.
  ///   - recomputation: what is computed twice instead of being kept.
  ///   - passTokens: the tokens of the largest pass.
  ///   - rank: of pairs that all layers will have, where the adapter is not there yet.
  package init(
    _ model: Llama, weights: BaseWeights, recomputation: Recomputation, passTokens: Int,
    rank: Int? = nil
  ) {
    let sizes = model.configuration
    let element = model.computeType.byteCount(of: 1)
    let tokens = (passTokens + 31) / 32 * 32
    let trained = model.trainableParameters
    let linear = model.linearWeightBytes
    let isMapped = weights == .mapped
    // An embedding's table stays in the file: of it only the rows of the data's tokens are touched.
    base = isMapped ? linear.now : linear.resident
    let layers = model.namedModules.compactMap { $0.child.module as? Linear }
    let expected = rank.map { r in layers.reduce(0) { $0 + r * ($1.inFeatures + $1.outFeatures) } }
    adapter = (expected ?? trained.reduce(0) { $0 + $1.parameter.value.count }) * 4 * 4

    let q = sizes.headCount * sizes.headDimension
    let kv = sizes.keyValueHeadCount * sizes.headDimension
    let ranks =
      rank.map { $0 * layers.count / max(sizes.layerCount, 1) }
      ?? trained.filter { $0.path.contains(".lora_A.") }
      .reduce(0) { $0 + $1.parameter.value.shape[0] } / max(sizes.layerCount, 1)
    // Bytes per token: the residual stream twice, q, k, v and the attention's output, its log-sums,
    // gate and up, the norms' statistics, and the low-rank paths' P.
    let residual = 4 * sizes.hiddenSize
    let attention = residual + element * (2 * q + 2 * kv) + 4 * sizes.headCount + 4
    let mlp = residual + 2 * element * sizes.intermediateSize + 4
    let layer = attention + mlp + element * ranks
    let kept =
      switch recomputation {
      case .nothing: sizes.layerCount * layer
      case .mlp: sizes.layerCount * (layer - mlp + residual) + mlp
      case .layers: sizes.layerCount * residual + layer
      }
    activations = tokens * kept

    let head = MemoryPlan.headBlock(sizes, element: element)
    let backward =
      tokens * (4 * element * sizes.intermediateSize + 4 * residual)
      + tokens * kv * 4 * 4
    work = max(head, backward) + (isMapped ? model.largestConvertedWeight : 0)
    program = 120 << 20
  }

  /// The logits of a block of rows and, where they are of another type, their gradient.
  private static func headBlock(_ sizes: ModelConfiguration, element: Int) -> Int {
    headRowBlock * sizes.vocabularySize * (4 + (element == 4 ? 0 : element))
  }
}

extension Dataset {
  /// The tokens of the largest pass that a run can make of the rows: a pass holds rows up to the
  /// budget, or one row that is longer.
  package func largestPass(of options: TrainingOptions) -> Int {
    let lengths = examples.map(\.tokens.count).sorted(by: >)
    let batch = lengths.prefix(options.batchSize).reduce(0, +)
    return max(lengths.first ?? 0, min(options.tokenBudget, batch))
  }
}
