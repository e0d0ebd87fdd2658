// Rotary positions and causal attention over packed sequences.

import CLoRAKernels
import Foundation

/// Where the sequences of a pack begin: sequence i has the rows `starts[i] ..< starts[i + 1]`.
package struct Packing: Sendable {
  package let starts: [Int32]
  /// The position of each row in its own sequence, from 0.
  package let positions: [Int32]

  /// Sequences of the given lengths, back to back.
  package init(lengths: [Int]) {
    var starts: [Int32] = [0]
    var positions: [Int32] = []
    for length in lengths {
      positions += (0..<Int32(length))
      starts.append(Int32(positions.count))
    }
    self.starts = starts
    self.positions = positions
  }

  package var tokenCount: Int { positions.count }
  package var sequenceCount: Int { starts.count - 1 }
}

/// The angles of rotary position embedding: cos and sin of position·θ^(-2i/d) for i < d/2.
///
/// Source: Su et al. 2021 (RoFormer). `factors` divide the frequencies (Llama 3's `rope_freqs`).
package struct RotaryTable: Sendable {
  package let cosine: Tensor  // [positions, d/2]
  package let sine: Tensor
  package let headDimension: Int

  package init(positions: Int, headDimension: Int, base: Double, factors: [Float]? = nil) {
    precondition(headDimension % 2 == 0, "RotaryTable: head dimension \(headDimension) is odd")
    let half = headDimension / 2
    self.headDimension = headDimension
    cosine = Tensor(uninitialized: [positions, half])
    sine = Tensor(uninitialized: [positions, half])
    for i in 0..<half {
      // Angles in float32 from a float32 frequency, as transformers computes them.
      let exponent = Float(2 * i) / Float(headDimension)
      let frequency = Float(1 / pow(base, Double(exponent))) / (factors?[i] ?? 1)
      for position in 0..<positions {
        let angle = Float(position) * frequency
        cosine.floats[position * half + i] = Float(cos(Double(angle)))
        sine.floats[position * half + i] = Float(sin(Double(angle)))
      }
    }
  }
}

/// Rotates the heads of `x` [rows, heads·d] by the angles of their positions; pairs (i, i + d/2).
///
/// The gradient is the inverse rotation of the upstream one.
package func rotary(_ x: Tensor, positions: [Int32], table: RotaryTable) -> Tensor {
  let limit = table.cosine.shape[0]
  precondition(
    positions.count == x.shape.rows && x.shape.lastDimension % table.headDimension == 0
      && positions.allSatisfy { $0 >= 0 && Int($0) < limit },
    "rotary: \(positions.count) positions below \(limit) for an input of shape \(x.shape)")
  func rotated(_ t: Tensor, sign: Float) -> Tensor {
    let result = t.copied()
    lk_rope(
      t.dtype.kernelType, result.pointer, positions, table.cosine.floats, table.sine.floats, sign,
      t.shape.rows, t.shape.lastDimension / table.headDimension, table.headDimension)
    return result
  }
  let slot = x.gradientSlot
  return Tape.record(rotated(x, sign: 1), inputs: [x]) { dy, gradients in
    gradients.add(rotated(dy, sign: -1), to: slot)
  }
}

/// Causal attention of packed sequences, each row seeing its own sequence up to itself.
///
/// softmax(q·kᵀ/√d)·v per head; a key/value head serves heads/kvHeads query heads (GQA). Kept for
/// the backward step: q, k, v, the output, and log Σ exp of each row.
/// - Parameters:
///   - q: [tokens, heads·d]; `k`, `v`: [tokens, kvHeads·d]; float32 or bfloat16.
/// - Returns: [tokens, heads·d].
package func causalAttention(
  q: Tensor, k: Tensor, v: Tensor, packing: Packing, heads: Int, kvHeads: Int
) -> Tensor {
  let d = q.shape.lastDimension / heads
  precondition(
    q.shape == [packing.tokenCount, heads * d] && k.shape == [packing.tokenCount, kvHeads * d]
      && v.shape == k.shape && heads % kvHeads == 0 && q.dtype == k.dtype && k.dtype == v.dtype,
    "causalAttention: q \(q.shape), k \(k.shape), v \(v.shape) for \(heads) heads on \(kvHeads) and "
      + "\(packing.tokenCount) tokens")
  func withArguments(_ body: (UnsafePointer<lk_attention>) -> Void) {
    packing.starts.withUnsafeBufferPointer { starts in
      var arguments = lk_attention()
      arguments.type = q.dtype.kernelType
      arguments.q = UnsafeRawPointer(q.pointer)
      arguments.k = UnsafeRawPointer(k.pointer)
      arguments.v = UnsafeRawPointer(v.pointer)
      arguments.heads = heads
      arguments.kv_heads = kvHeads
      arguments.d = d
      arguments.starts = starts.baseAddress
      arguments.sequences = packing.sequenceCount
      arguments.scale = 1 / Float(d).squareRoot()
      body(&arguments)
    }
  }
  let output = Tensor(uninitialized: q.shape, dtype: q.dtype)
  let keeps = Tape.records([q, k, v])
  let lse = keeps ? Tensor(uninitialized: [packing.tokenCount, heads]) : nil
  withArguments { lk_attention_forward($0, output.pointer, lse?.floats) }
  guard let lse else { return output }
  return Tape.record(output, inputs: [q, k, v]) { dy, gradients in
    let dq = Tensor(uninitialized: q.shape, dtype: q.dtype)
    let dk = Tensor(uninitialized: k.shape, dtype: k.dtype)
    let dv = Tensor(uninitialized: v.shape, dtype: v.dtype)
    let upstream = dy.converted(to: q.dtype)
    withArguments {
      lk_attention_backward(
        $0, output.pointer, lse.floats, upstream.pointer, dq.pointer, dk.pointer, dv.pointer)
    }
    gradients.add(dq, to: q)
    gradients.add(dk, to: k)
    gradients.add(dv, to: v)
  }
}

/// Attention of one new token per row over the cached keys and values of its sequence.
///
/// - Parameters:
///   - q: [rows, heads·d]; `keys[i]`, `values[i]`: [at least lengths[i], kvHeads·d].
package func decodeAttention(
  q: Tensor, keys: [Tensor], values: [Tensor], lengths: [Int], heads: Int, kvHeads: Int
) -> Tensor {
  let d = q.shape.lastDimension / heads
  let output = Tensor(uninitialized: q.shape, dtype: q.dtype)
  let keyPointers = keys.map { UnsafeRawPointer($0.pointer) as UnsafeRawPointer? }
  let valuePointers = values.map { UnsafeRawPointer($0.pointer) as UnsafeRawPointer? }
  lk_attention_decode(
    q.dtype.kernelType, q.pointer, keyPointers, valuePointers, lengths.map(Int32.init),
    q.shape.rows, heads, kvHeads, d, 1 / Float(d).squareRoot(), output.pointer)
  return output
}
