// What the micro benchmarks time: the parts of a step in the sizes of SmolLM2-135M.

import LoRATensor

struct StepParts {
  let rows: Int
  let rank: Int
  let type: DType

  private let hidden = 576
  private let inner = 1536
  private let vocabulary = 49_152
  private let heads = 9
  private let kvHeads = 3
  private let headDimension = 64

  private var element: Double { Double(type.byteCount(of: 1)) }

  /// The layers that share an input.
  private var shapes: [(name: String, input: Int, outputs: [Int])] {
    [
      ("q, k, v", hidden, [hidden, kvHeads * headDimension, kvHeads * headDimension]),
      ("o", hidden, [hidden]), ("gate, up", hidden, [inner, inner]), ("down", inner, [hidden]),
    ]
  }

  /// The large products by themselves; the head's in the blocks in which a step forms them.
  func products() -> [Part] {
    let sizes = shapes.flatMap { shape in
      Set(shape.outputs).sorted(by: >).map { (shape.name, rows, shape.input, $0) }
    }
    return (sizes + [("head", min(rows, headRowBlock), hidden, vocabulary)]).flatMap {
      name, rows, input, output -> [Part] in
      let x = numbers([rows, input], type)
      let weight = numbers([output, input], type)
      let y = Tensor.zeros([rows, output], dtype: name == "head" ? .float32 : type)
      let dy = numbers([rows, output], type)
      let dx = Tensor.zeros([rows, input], dtype: type)
      let work = Part.Work.flops(2 * Double(rows) * Double(input) * Double(output))
      return [
        Part(name: "product \(name): X·Wᵀ \(rows)×\(input)×\(output)", work: work) {
          gemm(x, weight, transposeB: true, into: y)
        },
        Part(name: "product \(name): dY·W \(rows)×\(output)×\(input)", work: work) {
          gemm(dy, weight, into: dx)
        },
      ]
    }
  }

  /// The six products of one pair, as bare calls.
  func lowRank() -> [Part] {
    [(hidden, inner), (inner, hidden)].flatMap { input, output -> [Part] in
      let x = numbers([rows, input], type)
      let dy = numbers([rows, output], type)
      let a = numbers([rank, input], type)
      let b = numbers([output, rank], type)
      let p = numbers([rows, rank], type)
      let y = Tensor.zeros([rows, output], dtype: type)
      let dx = Tensor.zeros([rows, input], dtype: type)
      let dp = Tensor.zeros([rows, rank], dtype: type)
      let da = Tensor.zeros([rank, input])
      let db = Tensor.zeros([output, rank])
      let name = "low rank \(input)→\(output): "
      func part(_ what: String, _ width: Int, _ body: @escaping () -> Void) -> Part {
        let flops = 2 * Double(rows) * Double(rank) * Double(width)
        return Part(name: name + what, work: .flops(flops), body: body)
      }
      return [
        part("P = X·Aᵀ", input) { gemm(x, a, transposeB: true, into: dp) },
        part("Y = P·Bᵀ", output) { gemm(p, b, transposeB: true, into: y) },
        part("G = dY·B", output) { gemm(dy, b, into: dp) },
        part("dB = dYᵀ·P", output) { gemm(dy, p, transposeA: true, into: db) },
        part("dA = Gᵀ·X", input) { gemm(p, x, transposeA: true, into: da) },
        part("dX = G·A", input) { gemm(p, a, into: dx) },
      ]
    }
  }

  /// The layers that share an input as one operation, there and back: plain and with pairs.
  func layers() -> [(plain: Part, adapted: Part)] {
    shapes.map { name, input, outputs in
      let x = Parameter(numbers([rows, input], type))
      let dys = outputs.map { numbers([rows, $0], type) }
      let weights = outputs.map { numbers([$0, input], type, deviation: 0.05) }
      let pairs = outputs.map { out in
        (
          a: Parameter(numbers([rank, input], .float32, deviation: 0.02)),
          b: Parameter(numbers([out, rank], .float32, deviation: 0.02))
        )
      }
      func part(adapted: Bool) -> Part {
        let base = outputs.reduce(0) { $0 + 2 * input * $1 } * 2
        let extra = outputs.reduce(0) { $0 + 2 * rank * (input + $1) } * 3
        return Part(
          name: "\(adapted ? "LoRALinear" : "plain layer") \(name): there and back",
          work: .flops(Double(rows * (base + (adapted ? extra : 0))))
        ) {
          let parameters = [x] + (adapted ? pairs.flatMap { [$0.a, $0.b] } : [])
          forwardAndBackward(parameters, upstream: dys) {
            let operands = zip(weights, pairs).map { weight, pair in
              LinearOperand(
                weight: weight,
                pairs: adapted ? [LowRankOperand(a: pair.a.tensor, b: pair.b.tensor, scale: 2)] : []
              )
            }
            return linear(.plain(x.tensor), operands)
          }
        }
      }
      return (part(adapted: false), part(adapted: true))
    }
  }

  /// Normalisation, gate, attention, and cross-entropy with the head.
  func others() -> [Part] { normalization() + gate() + [rows, 4096].flatMap(attention) + [head()] }

  private func normalization() -> [Part] {
    let x = Parameter(numbers([rows, hidden], .float32))
    let weight = Tensor.full([hidden], 1)
    let dy = numbers([rows, hidden], type)
    let count = Double(rows * hidden)
    return thereAndBack(
      "RMSNorm", forward: .bytes(count * (4 + element)), both: .bytes(count * (12 + 2 * element)),
      of: [x], upstream: dy
    ) { rmsNorm(x.tensor, weight: weight, epsilon: 1e-5, dtype: type) }
  }

  private func gate() -> [Part] {
    let gate = Parameter(numbers([rows, inner], type))
    let up = Parameter(numbers([rows + 1, inner], type).rows(0..<rows))
    let dy = numbers([rows, inner], type)
    let count = Double(rows * inner) * element
    return thereAndBack(
      "SwiGLU", forward: .bytes(3 * count), both: .bytes(8 * count), of: [gate, up], upstream: dy
    ) { gated(gate.tensor, up.tensor, activation: .silu) }
  }

  private func attention(_ length: Int) -> [Part] {
    let width = heads * headDimension
    let q = Parameter(numbers([length, width], type))
    let k = Parameter(numbers([length, kvHeads * headDimension], type))
    let v = Parameter(numbers([length + 1, kvHeads * headDimension], type).rows(0..<length))
    let dy = numbers([length, width], type)
    let packing = Packing(lengths: [length])
    // Two products of the causal half forward, five backward.
    let product = 2 * Double(length) * Double(length + 1) / 2 * Double(width)
    return thereAndBack(
      "attention 1×\(length)", forward: .flops(2 * product), both: .flops(7 * product),
      of: [q, k, v], upstream: dy
    ) {
      causalAttention(
        q: q.tensor, k: k.tensor, v: v.tensor, packing: packing, heads: heads, kvHeads: kvHeads)
    }
  }

  private func head() -> Part {
    let x = Parameter(numbers([rows, hidden], type))
    let weight = numbers([vocabulary, hidden], type, deviation: 0.05)
    let targets = (0..<rows).map { Int32($0 * 91 % vocabulary) }
    return Part(
      name: "cross-entropy with the head: there and back",
      work: .flops(4 * Double(rows) * Double(hidden) * Double(vocabulary))
    ) {
      _ = valueAndGradient(of: [x]) {
        headCrossEntropy(x.tensor, head: weight, targets: targets, scale: 1e-3).loss
      }
    }
  }

  private func thereAndBack(
    _ name: String, forward: Part.Work, both: Part.Work, of parameters: [Parameter],
    upstream dy: Tensor, _ body: @escaping () -> Tensor
  ) -> [Part] {
    [
      Part(name: "\(name): forward", work: forward) { _ = body() },
      Part(name: "\(name): there and back", work: both) {
        forwardAndBackward(parameters, upstream: [dy]) { [body()] }
      },
    ]
  }
}
