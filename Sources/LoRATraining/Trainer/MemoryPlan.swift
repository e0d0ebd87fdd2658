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
  /// The program, its libraries, the tokenizer, the kernels that oneDNN compiles.
  package let program = 82 << 20

  package var total: Int { base + adapter + activations + work + program }
}

/// The sizes that plans are made from: the model is walked once for all of them.
package struct MemorySizes: Sendable {
  private let tokens: Int
  private let layerCount: Int
  private let linear: (now: Int, resident: Int)
  private let largestConverted: Int
  private let adapter: Int
  // Of a layer and a token: the residual stream, the MLP's share, and all of it.
  private let residual: Int
  private let mlp: Int
  private let layer: Int
  // Of an operation: at the head, and on the way back through a layer.
  private let head: Int
  private let backward: Int

  /// - Parameters:
  ///   - model: with its adapter.
  ///   - passTokens: the tokens of the largest pass.
  ///   - supervisedTokens: the most of a pass that carry loss; nil: all.
  ///   - rank: of pairs that all layers will have, where the adapter is not there yet.
  package init(
    _ model: Llama, passTokens: Int, supervisedTokens: Int? = nil, rank: Int? = nil
  ) {
    let sizes = model.configuration
    let element = model.computeType.byteCount(of: 1)
    tokens = (passTokens + 31) / 32 * 32
    layerCount = sizes.layerCount
    linear = model.linearWeightBytes
    largestConverted = model.largestConvertedWeight
    let trained = model.trainableParameters
    let layers = model.namedModules.compactMap { $0.child.module as? Linear }
    let expected = rank.map { r in layers.reduce(0) { $0 + r * ($1.inFeatures + $1.outFeatures) } }
    adapter = (expected ?? trained.reduce(0) { $0 + $1.parameter.value.count }) * 4 * 4

    let q = sizes.headCount * sizes.headDimension
    let kv = sizes.keyValueHeadCount * sizes.headDimension
    let ranks =
      rank.map { $0 * layers.count / max(sizes.layerCount, 1) }
      ?? trained.filter { $0.path.contains(".lora_A.") }
      .reduce(0) { $0 + $1.parameter.value.shape[0] } / max(sizes.layerCount, 1)
    // Bytes per token: the norms' quotients and their statistics, q, k, v and the attention's output,
    // its log-sums, gate and up, and the low-rank paths' P.
    residual = 4 * sizes.hiddenSize
    let quotient = element * sizes.hiddenSize + 4
    let magnitudes = model.magnitudeCost
    let attention =
      quotient + element * (2 * q + 2 * kv + magnitudes.attention) + 4 * sizes.headCount
    mlp = quotient + element * (2 * sizes.intermediateSize + magnitudes.mlp)
    layer = attention + mlp + element * ranks
    // The logits of a block of rows; of the words worked together their gradient and the head's part.
    let rows = min(headRowBlock, supervisedTokens ?? passTokens)
    head =
      rows * sizes.vocabularySize * 4 + headWordBlock * (rows + sizes.hiddenSize) * element
    backward =
      tokens * (4 * element * sizes.intermediateSize + 4 * residual)
      + tokens * kv * 4 * 4
  }

  /// The plan of a run.
  ///
  /// - Parameters:
  ///   - weights: where the linear weights will be. An embedding's table stays in the file: of it
  ///     only the rows of the data's tokens are touched.
  ///   - recomputation: what is computed twice instead of being kept.
  package func plan(_ weights: BaseWeights, _ recomputation: Recomputation) -> MemoryPlan {
    // What is computed again is there when the head's work is over.
    let (kept, again) =
      switch recomputation {
      case .nothing: (layerCount * layer, 0)
      case .mlp: (layerCount * (layer - mlp + residual), mlp)
      case .layers: (layerCount * residual, layer)
      }
    let work = max(head, backward + tokens * again)
    let isMapped = weights == .mapped
    return MemoryPlan(
      base: isMapped ? linear.now : linear.resident, adapter: adapter, activations: tokens * kept,
      work: work + largestConverted)
  }
}

extension Llama {
  /// The elements per token of a layer that DoRA keeps beside what a plain pair keeps: the rotated
  /// outputs and the products that a residual is added to; with dropout also every layer's input,
  /// whole and dropped, and every output (WeightDecomposed.swift).
  fileprivate var magnitudeCost: (attention: Int, mlp: Int) {
    let pairs = namedModules.compactMap { $0.child.module as? LoRALinear }.flatMap(\.pairs)
    guard pairs.contains(where: { $0.pair.magnitude?.isTrainable == true }) else { return (0, 0) }
    let hidden = configuration.hiddenSize
    let inner = configuration.intermediateSize
    let q = configuration.headCount * configuration.headDimension
    let kv = configuration.keyValueHeadCount * configuration.headDimension
    guard pairs.contains(where: { $0.pair.dropout > 0 }) else { return (q + kv + hidden, hidden) }
    return (4 * hidden + q + (q + 2 * kv + hidden), 3 * hidden + 2 * inner + (2 * inner + hidden))
  }
}

extension Dataset {
  /// The most tokens, and the most that carry loss, of a pass of a run: its steps are packed as the
  /// trainer will.
  package func largestPass(of options: TrainingOptions) -> (tokens: Int, supervised: Int) {
    let lengths = examples.map(\.tokens.count)
    let perEpoch = max(options.stepsPerEpoch(examples: lengths.count), 1)
    let steps = options.totalSteps(examples: lengths.count)
    let supervised = examples.map(\.supervisedCount)
    var largest = (tokens: 0, supervised: 0)
    for first in stride(from: 0, to: steps, by: perEpoch) {
      let order = dataOrder(
        count: lengths.count, batchSize: options.batchSize, epoch: first / perEpoch,
        seed: options.shuffle ? options.seed : nil)
      for batch in order.prefix(steps - first) {
        for pack in packs(batch.map { lengths[$0] }, tokenBudget: options.tokenBudget) {
          let tokens = pack.reduce(0) { $0 + lengths[batch[$1]] }
          let carrying = pack.reduce(0) { $0 + supervised[batch[$1]] }
          largest = (max(largest.tokens, tokens), max(largest.supervised, carrying))
        }
      }
    }
    return largest
  }
}
