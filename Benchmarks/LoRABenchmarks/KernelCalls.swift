// Calls of our own kernels for Benchmarks/gate.sh, which counts their instructions; nothing is timed.

import ArgumentParser
import LoRANN
import LoRATensor

struct KernelCalls: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernels", abstract: "Calls each kernel of our own on fixed sizes, once.")

  private var rows: Int { 64 }
  private var hidden: Int { 576 }

  func run() {
    let x = Parameter(numbers([rows, hidden], .float32))
    let weight = Tensor.full([hidden], 1)
    for type in [DType.float32, .bfloat16] {
      let narrow = Parameter(x.value.converted(to: type))
      forwardAndBackward([x], upstream: [narrow.value]) {
        [rmsNorm(x.tensor, weight: weight, epsilon: 1e-5, dtype: type)]
      }
      forwardAndBackward([narrow], upstream: [narrow.value]) {
        [gated(narrow.tensor, narrow.tensor, activation: .silu)]
      }
      let table = RotaryTable(positions: rows, headDimension: 64, base: 10_000)
      _ = rotary(narrow.value, positions: Array(0..<Int32(rows)), table: table)
      _ = dropout(narrow.value, DropoutMask(probability: 0.05, seed: 1, stream: 2))
      _ = decodeAttention(
        q: narrow.value.part(1, hidden), keys: [narrow.value], values: [narrow.value],
        lengths: [rows], heads: 9, kvHeads: 9)
      generateRow(narrow.value.part(1, hidden))
    }
    _ = x.value.part(8, 4096).crossEntropy(targets: [0, 1, 2, 3, 4, 5, 6, 7])
    AdamW([x], learningRate: 1e-3).step([x.value])
  }

  /// A linear layer on one row, its weight as stored: blocks whose bytes are as good as any.
  private func generateRow(_ row: Tensor) {
    for type in [DType.q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .float16] {
      let stored = Tensor.zeros([256, hidden], dtype: type)
      PassContext.with({ $0.readsStoredWeights = true }) { _ = Linear(weight: stored)(row) }
      _ = stored.converted(to: row.dtype)
    }
  }
}
