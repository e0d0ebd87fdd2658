// The least work of a training step, and how fast this machine multiplies matrices right now.

import LoRAModels
import LoRANN
import LoRATensor

/// The floating-point operations that a LoRA step cannot avoid.
///
/// Counted: every linear layer forward and dX (2·m·in·out each; never dW of a frozen weight), the
/// low-rank pairs forward and backward (three times 2·m·r·(in + out)), the head forward and dX on
/// supervised rows only, and attention over the causal half: QKᵀ and PV forward, five products of
/// that size backward (S again, dP, dQ, dK, dV). Norms, activations and AdamW count as nothing.
struct StepWork {
  let flops: Double

  init(_ sizes: ModelConfiguration, lengths: [Int], supervised: Int, rank: Int) {
    let tokens = Double(lengths.reduce(0, +))
    let hidden = Double(sizes.hiddenSize)
    let inner = Double(sizes.intermediateSize)
    let q = Double(sizes.headCount * sizes.headDimension)
    let kv = Double(sizes.keyValueHeadCount * sizes.headDimension)
    let shapes = [
      (hidden, q), (hidden, kv), (hidden, kv), (q, hidden), (hidden, inner), (hidden, inner),
      (inner, hidden),
    ]
    let layers = Double(sizes.layerCount)
    let base = shapes.reduce(0) { $0 + 2 * tokens * $1.0 * $1.1 } * layers * 2
    let pairs = shapes.reduce(0) { $0 + 2 * tokens * Double(rank) * ($1.0 + $1.1) } * layers * 3
    let head = 2 * 2 * Double(supervised) * hidden * Double(sizes.vocabularySize)
    // Σ t over the rows of a sequence is half of length².
    let scores = lengths.reduce(0.0) { $0 + Double($1) * Double($1 + 1) / 2 }
    let attention = 2 * scores * q * layers * 7
    flops = base + pairs + head + attention
  }
}

/// The rate of the step's own large products, with the model's own weights, in FLOP/s.
///
/// Every linear layer of the model once forward (X·Wᵀ) and once for dX (dY·W) with `rows` rows, as
/// bare calls of oneDNN: what a step would take if it were nothing but these.
func productRate(_ model: Llama, rows: Int) -> Double {
  let layers = model.namedModules.compactMap { entry -> Linear? in
    let adapted = entry.child.module as? LoRALinear
    return entry.path == "lm_head" ? nil : (adapted?.base ?? entry.child.module) as? Linear
  }
  var seen = Set<ObjectIdentifier>()
  let weights = layers.filter { seen.insert(ObjectIdentifier($0)).inserted }.map(\.weight.value)
  let widest = weights.map { max($0.shape[0], $0.shape[1]) }.max() ?? 1
  let a = Tensor.zeros([rows, widest], dtype: model.computeType)
  let c = Tensor.zeros([rows, widest], dtype: model.computeType)
  var flops = 0.0
  var seconds = 0.0
  for stored in weights {
    let weight = stored.converted(to: model.computeType)
    let (out, input) = (weight.shape[0], weight.shape[1])
    let start = ContinuousClock.now
    gemm(a.part(rows, input), weight, transposeB: true, into: c.part(rows, out))
    gemm(a.part(rows, out), weight, into: c.part(rows, input))
    seconds += start.duration(to: .now).inSeconds
    flops += 4 * Double(rows) * Double(out) * Double(input)
  }
  return flops / seconds
}
