// Linear layers on stored weights: every type, row count and instruction set against plain sums.

import CLoRAKernels
import Foundation
import LoRATensor
import LoRATestSupport
import Testing

private let instructionSets: [String] = ["baseline", "v3", "v4"].filter { isa in
  lk_linear_rows_with_isa(isa, LK_F32, nil, 0, 0, nil, 0) == 1
}

/// A weight in a file's bytes, off any alignment, with the floats that lk_convert makes of it.
private struct StoredWeight {
  let type: lk_dtype
  let out: Int
  let bytes: [UInt8]
  let offset: Int
  let values: [Float]

  init(_ dtype: DType, out: Int, input: Int, narrow: Bool, random: inout Random) {
    type = dtype.kernelType
    self.out = out
    offset = dtype == .float32 ? 4 : dtype.isQuantized ? 1 : 2
    let count = out * input
    var stored: [UInt8]
    if dtype.isQuantized {
      stored = (0..<dtype.byteCount(of: count)).map { _ in UInt8(random.index(below: 256)) }
      // The scale, and the minimum where there is one: halves between 2^-8 and 2^-5, both signs.
      let halves = dtype == .q4_1 || dtype == .q5_1 ? 2 : 1
      for block in stride(from: 0, to: stored.count, by: dtype.bytesPerBlock) {
        for half in 0..<halves {
          let exponent = UInt8(0x1C + random.index(below: 12))
          stored[block + 2 * half + 1] = exponent | (random.index(below: 2) == 0 ? 0x80 : 0)
        }
      }
    } else {
      let dense = random.normal([count]).converted(to: dtype)
      stored = withExtendedLifetime(dense) {
        Array(UnsafeRawBufferPointer(start: dense.pointer, count: dtype.byteCount(of: count)))
      }
    }
    bytes = [UInt8](repeating: 0xAA, count: offset) + stored
    values = Self.floats(stored, type, count, narrow: narrow)
  }

  private static func floats(
    _ bytes: [UInt8], _ type: lk_dtype, _ count: Int, narrow: Bool
  ) -> [Float] {
    var result = [Float](repeating: 0, count: count)
    if narrow {
      var half = [UInt16](repeating: 0, count: count)
      lk_convert(type, bytes, LK_BF16, &half, count)
      lk_convert(LK_BF16, half, LK_F32, &result, count)
    } else {
      lk_convert(type, bytes, LK_F32, &result, count)
    }
    return result
  }
}

/// One call with everything a layer can have, and the same in double precision.
private struct Call {
  let narrow: Bool
  let rows: Int
  let input: Int
  let x: [Float]
  let weight: StoredWeight
  let ranks: [Int]
  let a: [Float]
  let b: [Float]
  let bias: [Float]
  let residual: [Float]
  let scale: Float = 1.75

  init(_ dtype: DType, rows: Int, input: Int, out: Int, ranks: [Int], narrow: Bool) {
    var random = Random(seed: UInt64(rows * 1000 + input + out))
    self.narrow = narrow
    self.rows = rows
    self.input = input
    self.ranks = ranks
    func normal(_ count: Int) -> [Float] { random.normal([count]).elements }
    func rounded(_ values: [Float]) -> [Float] {
      narrow
        ? Tensor(values, shape: [values.count]).converted(to: .bfloat16).elements : values
    }
    x = rounded(normal(rows * input))
    let rank = ranks.reduce(0, +)
    a = rounded(normal(rank * input))
    // s·b is rounded; 1.75·b with few bits is exact, so that the reference needs no rounding.
    b = normal(rank * out).map { ($0 * 8).rounded() / 8 }
    bias = normal(out)
    residual = normal(rows * out)
    weight = StoredWeight(dtype, out: out, input: input, narrow: narrow, random: &random)
  }

  /// y by the kernels, of the rows in `range` alone.
  func run(_ isa: String, _ range: Range<Int>, bf16Output: Bool = false) -> [Float] {
    let count = range.count * weight.out
    let guarded = Tensor.full([count + 1], 12345).converted(to: bf16Output ? .bfloat16 : .float32)
    let type: DType = narrow ? .bfloat16 : .float32
    let input = Tensor(x, shape: [rows, self.input]).rows(range).converted(to: type)
    let residual = Tensor(self.residual, shape: [rows, weight.out]).rows(range)
    let (a, b) = (Tensor(a, shape: [a.count]), Tensor(b, shape: [b.count]))
    let bias = Tensor(bias, shape: [weight.out])
    var rank = 0
    let pairs = ranks.map { r in
      defer { rank += r }
      return lk_low_rank(
        a: a.floats + rank * self.input, b: b.floats + rank * weight.out, rank: r, scale: scale,
        rows: nil)
    }
    let ok = withExtendedLifetime((guarded, input, residual, a, b, bias)) {
      pairs.withUnsafeBufferPointer { pairs in
        weight.bytes.withUnsafeBytes { bytes in
          let layer = lk_row_layer(
            type: weight.type, weight: bytes.baseAddress.map { $0 + weight.offset },
            out: weight.out, bias: bias.floats, pairs: pairs.baseAddress,
            pair_count: pairs.count, residual: bf16Output ? nil : UnsafePointer(residual.floats),
            y: guarded.pointer, y_type: guarded.dtype.kernelType)
          return lk_linear_rows_with_isa(
            isa, type.kernelType, input.pointer, range.count, self.input, [layer], 1)
        }
      }
    }
    #expect(ok == 1)
    let y = guarded.elements
    #expect(y[count] == Tensor(12345).converted(to: guarded.dtype).item, "wrote behind the result")
    return Array(y[..<count])
  }

  var expected: [Float] {
    (0..<rows).flatMap { row -> [Float] in
      let x = self.x[row * input..<(row + 1) * input].map(Double.init)
      func dot(_ values: ArraySlice<Float>) -> Double {
        zip(x, values).reduce(0) { $0 + $1.0 * Double($1.1) }
      }
      let p = (0..<ranks.reduce(0, +)).map { dot(a[$0 * input..<($0 + 1) * input]) }
      return (0..<weight.out).map { out in
        var sum = dot(weight.values[out * input..<(out + 1) * input])
        var first = 0
        for rank in ranks {
          for k in 0..<rank {
            sum += Double(scale * b[first * weight.out + out * rank + k]) * p[first + k]
          }
          first += rank
        }
        return Float(sum + Double(bias[out]) + Double(residual[row * weight.out + out]))
      }
    }
  }
}

struct StoredWeightTests {
  static let types: [DType] = [
    .float32, .float16, .bfloat16, .q4_0, .q4_1, .q5_0, .q5_1, .q8_0,
  ]

  @Test(arguments: types, instructionSets)
  func equalsPlainSums(type: DType, isa: String) {
    let widths = type.isQuantized ? [32, 96, 576] : [1, 31, 64, 100]
    for narrow in [false, true] {
      for (index, rows) in (1...17).enumerated() {
        let width = widths[index % widths.count]
        let out = [1, 7, 33, 50][index % 4]
        let ranks = [[], [16], [3], [20, 5]][index / 4 % 4]
        let call = Call(type, rows: rows, input: width, out: out, ranks: ranks, narrow: narrow)
        expectClose(
          actual: call.run(isa, 0..<rows), expected: call.expected, atol: 2e-4, rtol: 2e-6,
          name: "\(type) \(rows)×\(width)→\(out) ranks \(ranks) narrow \(narrow)")
      }
    }
  }

  /// A row alone, among others, and on other numbers of threads: the same bits.
  @Test(arguments: types, instructionSets)
  func aRowDependsOnItselfAlone(type: DType, isa: String) {
    // Nobody else computes meanwhile: the number of threads is the process's.
    Engine.run { compareRowsAlone(type: type, isa: isa) }
  }

  private func compareRowsAlone(type: DType, isa: String) {
    let threads = Engine.threadCount
    defer { Engine.threadCount = threads }
    for narrow in [false, true] {
      let call = Call(type, rows: 17, input: 160, out: 211, ranks: [4, 16], narrow: narrow)
      for bf16Output in [false, true] {
        let all = call.run(isa, 0..<17, bf16Output: bf16Output).map(\.bitPattern)
        for range in [0..<1, 5..<6, 16..<17, 1..<3, 2..<5, 3..<7, 4..<9, 0..<8, 7..<16] {
          let part = call.run(isa, range, bf16Output: bf16Output).map(\.bitPattern)
          #expect(
            part == Array(all[range.lowerBound * 211..<range.upperBound * 211]),
            "rows \(range), narrow \(narrow)")
        }
        for count in [1, 2, 3, 5] {
          Engine.threadCount = count
          #expect(call.run(isa, 0..<17, bf16Output: bf16Output).map(\.bitPattern) == all)
        }
        Engine.threadCount = threads
      }
    }
  }

  /// The operation with the stored weight equals the one that converts it.
  @Test(arguments: [DType.float32, .bfloat16]) func equalsTheConvertingOperation(type: DType) {
    var random = Random(seed: 5)
    let x = random.normal([3, 64]).converted(to: type)
    let residual = random.normal([3, 48])
    let pair = LowRankOperand(
      a: random.normal([4, 64]), b: random.normal([48, 4]), scale: 0.5)
    let layers = [
      LinearOperand(
        weight: random.normal([48, 64]).converted(to: .float16), bias: random.normal([48]),
        pairs: [pair]),
      LinearOperand(weight: random.normal([80, 64]), pairs: []),
    ]
    func run() -> [[Float]] {
      linear(.plain(x), layers).map(\.elements)
        + linear(.plain(x), [layers[0]], residual: residual).map(\.elements)
    }
    let converted = run()
    let stored = PassContext.with({ $0.readsStoredWeights = true }) { run() }
    for (a, b) in zip(stored, converted) {
      expectClose(
        actual: a, expected: b, atol: type == .float32 ? 1e-4 : 0.15,
        rtol: type == .float32 ? 1e-5 : 0.01)
    }
  }

  /// A pair that acts on some rows leaves the others as they are without it, bit for bit.
  @Test func aPairActsOnItsRows() {
    var random = Random(seed: 6)
    let x = random.normal([5, 64])
    let layer = LinearOperand(weight: random.normal([48, 64]))
    let pair = LowRankOperand(
      a: random.normal([4, 64]), b: random.normal([48, 4]), scale: 0.5)
    func run(_ rows: [Range<Int>]??) -> [Float] {
      var adapted = layer
      if let rows {
        var chosen = pair
        chosen.rows = rows
        adapted.pairs = [chosen]
      }
      return PassContext.with({ $0.readsStoredWeights = true }) {
        linear(.plain(x), [adapted])[0].elements
      }
    }
    let (without, with) = (run(nil), run(.some(nil)))
    let mixed = run([0..<1, 3..<5])
    for row in 0..<5 {
      let range = row * 48..<(row + 1) * 48
      #expect(Array(mixed[range]) == Array((row == 1 || row == 2 ? without : with)[range]))
      #expect(Array(without[range]) != Array(with[range]))
    }
  }

  /// A layer in training mode has dropout, whose masks are those of whole passes.
  @Test func dropoutIsLeftToTheConvertingOperation() {
    let mask = DropoutMask(probability: 0.5, seed: 1, stream: 0, rowKeys: nil)
    let one = Tensor.full([1, 1], 1)
    let pair = LowRankOperand(a: one, b: one, scale: 1, dropout: mask)
    let layer = LinearOperand(weight: one, pairs: [pair])
    PassContext.with({ $0.readsStoredWeights = true }) {
      #expect(!PassContext.readsStoredWeights(of: [layer]))
      #expect(PassContext.readsStoredWeights(of: [LinearOperand(weight: one)]))
    }
    #expect(!PassContext.readsStoredWeights(of: [LinearOperand(weight: one)]))
  }
}
