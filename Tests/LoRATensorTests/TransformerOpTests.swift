// Attention, rotary positions, normalisation, gating and the head against PyTorch.

import Foundation
import LoRATensor
import LoRATestSupport
import Testing

struct TransformerOpTests {
  @Test(arguments: ["attention_d16", "attention_d16_long", "attention_d64", "attention_d64_long"])
  func attention(file: String) throws {
    let fixture = try OpFixture(file)
    #expect(!fixture.cases.isEmpty)
    for name in fixture.cases {
      // Sharp scores (times 8) turn a rounding of s by 2^-24·|s| into that much of p and of ds.
      let atol: Float = name.hasSuffix("sharp") ? 1e-4 : 2e-5
      try checkAttention(fixture, name, dtype: .float32, atol: atol, rtol: 2e-5)
      // bf16 inputs are rounded to 2^-9, as are the weights p and ds: errors add up to a few 2^-8 of
      // the values' size. Sharp scores multiply that by their size: not compared.
      if !name.hasSuffix("sharp") {
        try checkAttention(fixture, name, dtype: .bfloat16, atol: 0.06, rtol: 0.03)
      }
    }
  }

  private func checkAttention(
    _ fixture: OpFixture, _ name: String, dtype: DType, atol: Float, rtol: Float
  ) throws {
    let lengths = try fixture.tensors.integers("\(name)/lengths")
    let qShape = try fixture.tensors.shape("\(name)/q")
    let kShape = try fixture.tensors.shape("\(name)/k")
    func flat(_ key: String) throws -> Tensor {
      let shape = try fixture.tensors.shape("\(name)/\(key)")
      return Tensor(
        try fixture.tensors.floats("\(name)/\(key)"), shape: [shape[0], shape[1] * shape[2]])
    }
    let parameters = try ["q", "k", "v"].map { Parameter(try flat($0)) }
    let dy = try flat("dy")
    var y = Tensor(0)
    let (_, gradients) = valueAndGradient(of: parameters) {
      let inputs = parameters.map { parameter in
        var input = parameter.tensor.converted(to: dtype)
        input.variable = parameter.tensor.variable
        return input
      }
      y = causalAttention(
        q: inputs[0], k: inputs[1], v: inputs[2], packing: Packing(lengths: lengths),
        heads: qShape[1], kvHeads: kShape[1])
      return projection(y, on: dy)
    }
    try fixture.expect(y, "\(name)/y", atol: atol, rtol: rtol)
    for (gradient, key) in zip(gradients, ["dq", "dk", "dv"]) {
      try fixture.expect(gradient, "\(name)/\(key)", atol: atol, rtol: rtol)
    }
  }

  /// Lengths around the backward step's blocks of 64 rows and tiles of 256 keys, in one pack.
  @Test func attentionAcrossTiles() {
    var random = Random(seed: 5)
    let lengths = [257, 1, 520, 64]
    let (heads, kvHeads, d) = (3, 1, 4)
    let rows = lengths.reduce(0, +)
    let values = [heads, kvHeads, kvHeads].map { random.normal([rows, $0 * d]) }
    let dy = random.normal([rows, heads * d])
    let parameters = values.map { Parameter($0) }
    let (_, gradients) = valueAndGradient(of: parameters) {
      projection(
        causalAttention(
          q: parameters[0].tensor, k: parameters[1].tensor, v: parameters[2].tensor,
          packing: Packing(lengths: lengths), heads: heads, kvHeads: kvHeads), on: dy)
    }
    let expected = plainAttentionGradients(
      values.map { $0.elements.map(Double.init) }, dy: dy.elements.map(Double.init),
      lengths: lengths, heads: heads, d: d)
    for (gradient, reference) in zip(gradients, expected) {
      expectClose(
        actual: gradient.elements, expected: reference.map(Float.init), atol: 2e-5, rtol: 2e-5)
    }
  }

  /// dq, dk, dv by the definition, in double precision; all heads share one key/value head.
  private func plainAttentionGradients(
    _ qkv: [[Double]], dy: [Double], lengths: [Int], heads: Int, d: Int
  ) -> [[Double]] {
    let (q, k, v) = (qkv[0], qkv[1], qkv[2])
    var result = qkv.map { [Double](repeating: 0, count: $0.count) }
    let scale = 1 / Double(d).squareRoot()
    var start = 0
    for length in lengths {
      for i in start..<start + length {
        for h in 0..<heads {
          let at = (i * heads + h) * d
          func dot(_ x: [Double], _ from: Int, _ y: [Double], _ to: Int) -> Double {
            (0..<d).reduce(0) { $0 + x[from + $1] * y[to + $1] }
          }
          let weights = (start...i).map { exp(dot(q, at, k, $0 * d) * scale) }
          let sum = weights.reduce(0, +)
          let p = weights.map { $0 / sum }
          let dp = (start...i).map { dot(dy, at, v, $0 * d) }
          let delta = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
          for (index, j) in (start...i).enumerated() {
            let ds = p[index] * (dp[index] - delta) * scale
            for c in 0..<d {
              result[0][at + c] += ds * k[j * d + c]
              result[1][j * d + c] += ds * q[at + c]
              result[2][j * d + c] += p[index] * dy[at + c]
            }
          }
        }
      }
      start += length
    }
    return result
  }

  /// Decoding one token against a cache equals the last row of the full attention.
  @Test(arguments: [DType.float32, .bfloat16])
  func decodeEqualsFull(dtype: DType) {
    var random = Random(seed: 1)
    let lengths = [1, 7, 65]
    let packing = Packing(lengths: lengths)
    let q = random.normal([73, 6 * 16]).converted(to: dtype)
    let k = random.normal([73, 2 * 16]).converted(to: dtype)
    let v = random.normal([73, 2 * 16]).converted(to: dtype)
    let full = causalAttention(q: q, k: k, v: v, packing: packing, heads: 6, kvHeads: 2)
    let ranges = lengths.indices.map { Int(packing.starts[$0])..<Int(packing.starts[$0 + 1]) }
    for (range, length) in zip(ranges, lengths) {
      let last = range.upperBound - 1..<range.upperBound
      let one = decodeAttention(
        q: q.rows(last), keys: [k.rows(range)], values: [v.rows(range)], lengths: [length],
        heads: 6, kvHeads: 2)
      expectClose(
        actual: one.elements, expected: full.rows(last).elements,
        atol: dtype == .float32 ? 1e-6 : 0.02, rtol: dtype == .float32 ? 1e-5 : 0.02)
    }
  }

  @Test func rmsNorm() throws {
    let fixture = try OpFixture("rms_norm")
    for name in fixture.cases {
      let (y, gradients) = try rmsNorm(of: fixture, name, dtype: .float32)
      try fixture.expect(y, "\(name)/y", atol: 1e-6, rtol: 1e-5)
      try fixture.expect(gradients[0], "\(name)/dx", atol: 2e-5, rtol: 2e-5)
      try fixture.expect(gradients[1], "\(name)/dweight", atol: 1e-5, rtol: 1e-5)
    }
  }

  /// The value of a case, and its gradients with respect to x and the weight.
  private func rmsNorm(
    of fixture: OpFixture, _ name: String, dtype: DType
  ) throws -> (y: Tensor, gradients: [Tensor]) {
    let epsilon = try fixture.number("\(name)/eps")
    return try fixture.differentiated(name, inputs: ["x", "weight"]) {
      LoRATensor.rmsNorm($0[0], weight: $0[1], epsilon: epsilon, dtype: dtype)
    }
  }

  /// Forward x·rstd·w is rounded once; the way back keeps x·rstd alone, rounded, and multiplies that by
  /// w. In float32 both have the same bits.
  @Test(arguments: [DType.float32, .bfloat16], [1, 7, 37, 576])
  func rmsNormAgainOnTheWayBack(dtype: DType, width: Int) throws {
    // Whole numbers: their squares add up to the same in any order.
    let values = (0..<3 * width).map { Float($0 * 7 % 13) - 6 }
    let x = Tensor(values, shape: [3, width])
    let scales = (0..<width).map { 0.5 + Float($0 * 5 % 11) / 7 }
    let norm = Tensor(scales, shape: [width])
    func rounded(_ value: Float) -> Float {
      Tensor([value], shape: [1]).converted(to: dtype).converted(to: .float32).elements[0]
    }
    let quotients = (0..<3).flatMap { row in
      let own = values[row * width..<(row + 1) * width]
      let rstd = 1 / (own.reduce(0) { $0 + $1 * $1 } / Float(width) + 1e-5).squareRoot()
      return own.map { $0 * rstd }
    }
    let expected = quotients.enumerated().map { rounded($1 * scales[$0 % width]) }
    let again = quotients.enumerated().map { rounded(rounded($1) * scales[$0 % width]) }
    let y = LoRATensor.rmsNorm(x, weight: norm, epsilon: 1e-5, dtype: dtype)
    #expect(y.elements == expected)

    // dW = dYᵀ·X, where dY is 1 at the place (row, row).
    let weight = Parameter(.zeros([3, width]))
    let (_, gradients) = valueAndGradient(of: [weight]) {
      let input = LinearInput.normalized(x, weight: norm, epsilon: 1e-5, dtype: dtype)
      let output = linear(input, [LinearOperand(weight: weight.tensor)])[0]
      let unit = Tensor((0..<9).map { $0 % 4 == 0 ? 1 : 0 }, shape: [3, 3])
      return projection(output, on: unit)
    }
    #expect(gradients[0].elements == again)
    #expect(dtype == .bfloat16 || again == expected)
  }

  /// The gradient that goes through a kept bfloat16 quotient, against float32.
  @Test func rmsNormInBFloat16() throws {
    let fixture = try OpFixture("rms_norm")
    for name in fixture.cases {
      let (_, gradients) = try rmsNorm(of: fixture, name, dtype: .bfloat16)
      // The quotient and dy are rounded to 2^-9 of their size, and sums of rows are made of them. dx
      // has the factor rstd: about 270 where x is small.
      let isSmall = name.hasSuffix("small")
      try fixture.expect(gradients[0], "\(name)/dx", atol: isSmall ? 1 : 0.02, rtol: 0.01)
      try fixture.expect(gradients[1], "\(name)/dweight", atol: 0.03, rtol: 0.01)
    }
  }

  @Test func swiglu() throws {
    let fixture = try OpFixture("swiglu")
    for name in fixture.cases {
      let (y, gradients) = try fixture.differentiated(name, inputs: ["gate", "up"]) {
        gated($0[0], $0[1], activation: .silu)
      }
      try fixture.expect(y, "\(name)/y", atol: 1e-5, rtol: 1e-5)
      try fixture.expect(gradients[0], "\(name)/dgate", atol: 1e-4, rtol: 1e-5)
      try fixture.expect(gradients[1], "\(name)/dup", atol: 1e-5, rtol: 1e-5)
    }
  }

  @Test func rotaryPositions() throws {
    let fixture = try OpFixture("rope")
    for name in fixture.cases {
      let positions = try fixture.tensors.integers("\(name)/positions").map { Int32($0) }
      let dimension = try fixture.tensors.shape("\(name)/q")[2]
      let table = RotaryTable(
        positions: Int(positions.max() ?? 0) + 1, headDimension: dimension,
        base: Double(try fixture.number("\(name)/theta")))
      for key in ["q", "k"] {
        let shape = try fixture.tensors.shape("\(name)/\(key)")
        let x = Parameter(
          try fixture.tensor("\(name)/\(key)").reshaped([shape[0], shape[1] * shape[2]]))
        let dy = try fixture.tensor("\(name)/d\(key)_rotated")
        var y = Tensor(0)
        let (_, gradients) = valueAndGradient(of: [x]) {
          y = rotary(x.tensor, positions: positions, table: table)
          return projection(y, on: dy)
        }
        // At position p an angle is exact to p·2^-24: the rotation can be off by that much.
        let atol = 1e-6 + Float(positions.max() ?? 0) * 4e-7
        try fixture.expect(y, "\(name)/\(key)_rotated", atol: atol, rtol: 1e-5)
        try fixture.expect(gradients[0], "\(name)/d\(key)", atol: atol, rtol: 1e-5)
      }
    }
  }

  @Test func headCrossEntropyOnSupervisedRows() throws {
    let fixture = try OpFixture("cross_entropy")
    for name in fixture.cases {
      let targets = try fixture.tensors.integers("\(name)/targets")
      let count = try fixture.tensors.integers("\(name)/count")[0]
      let hidden = Parameter(try fixture.tensor("\(name)/hidden"))
      let head = try fixture.tensor("\(name)/weight")
      let rows = targets.indices.filter { targets[$0] >= 0 }
      let (loss, gradients) = valueAndGradient(of: [hidden]) {
        headCrossEntropy(
          gatherRows(hidden.tensor, rows), head: head, targets: rows.map { Int32(targets[$0]) },
          scale: 1 / Float(max(count, 1))
        ).loss
      }
      if fixture.has("\(name)/loss") {
        try fixture.expect(loss, "\(name)/loss", atol: 1e-6, rtol: 1e-5)
      }
      try fixture.expect(gradients[0], "\(name)/dhidden", atol: 1e-6, rtol: 2e-5)
    }
  }
}
