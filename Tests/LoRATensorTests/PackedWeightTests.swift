// Packed weights: every element where oneDNN's order BA16a64b2a has it, from every stored type; and
// the head's loss in parts of the vocabulary against the loss of whole logits.

import CLoRAKernels
import LoRATensor
import LoRATestSupport
import Testing

struct PackedWeightTests {
  /// The place of (k, n) in a matrix of `depth` rows, by the formula at the head of pack_body.h.
  private func place(_ k: Int, _ n: Int, depth: Int) -> Int {
    let blocks = (depth + 31) / 32
    return ((n / 64 * blocks + k / 32) * 16 + k % 32 / 2) * 128 + n % 64 * 2 + k % 2
  }

  private static let types: [DType] = [
    .float32, .float16, .bfloat16, .q4_0, .q4_1, .q5_0, .q5_1, .q8_0,
  ]

  @Test(arguments: types)
  func everyElementIsInItsPlace(dtype: DType) {
    let quantised = dtype.isQuantized
    for (rows, columns) in [(1, 32), (17, 64), (64, 96), (67, 160), (130, 576)]
      + (quantised ? [] : [(1, 1), (5, 7), (67, 33), (16, 31)])
    {
      var random = Random(seed: UInt64(rows * 1000 + columns))
      let count = rows * columns
      let weight: Tensor
      if quantised {
        weight = Tensor(uninitialized: [rows, columns], dtype: dtype)
        let bytes = weight.pointer.assumingMemoryBound(to: UInt8.self)
        for i in 0..<dtype.byteCount(of: count) { bytes[i] = UInt8(random.index(below: 256)) }
        // Scales and minima that are numbers: f16 with exponents around 2^-8.
        for block in stride(from: 0, to: dtype.byteCount(of: count), by: dtype.bytesPerBlock) {
          for half in 0..<(dtype == .q4_1 || dtype == .q5_1 ? 2 : 1) {
            bytes[block + 2 * half + 1] =
              UInt8(0x1C + random.index(below: 12)) | (random.index(below: 2) == 0 ? 0x80 : 0)
          }
        }
      } else {
        weight = random.normal([rows, columns]).converted(to: dtype)
      }
      let plain = halves(weight)
      for (transposed, beside) in [(false, 0), (true, 0), (true, 1), (true, 16), (true, 48)] {
        let more = random.normal([rows, max(beside, 1)]).converted(to: .bfloat16)
        let extra = halves(more)
        let depth = transposed ? columns + beside : rows
        let width = transposed ? rows : columns
        let expected = expectedOrder(depth: depth, width: width) { k, n in
          guard transposed else { return plain[k * columns + n] }
          return k < columns ? plain[n * columns + k] : extra[n * beside + k - columns]
        }
        let packed = pack(
          weight, transposed: transposed, beside: beside == 0 ? nil : more, depth, width)
        let wrong = zip(packed, expected).enumerated().first { $1.0 != $1.1 }?.offset
        #expect(
          wrong == nil && packed.count == expected.count,
          "\(dtype.rawValue) \(rows)×\(columns) \(transposed) beside \(beside): element \(wrong ?? -1)"
        )
      }
    }
  }

  private func expectedOrder(depth: Int, width: Int, _ at: (Int, Int) -> UInt16) -> [UInt16] {
    var expected = [UInt16](repeating: 0, count: lk_packed_count(depth, width))
    for k in 0..<depth { for n in 0..<width { expected[place(k, n, depth: depth)] = at(k, n) } }
    return expected
  }

  /// lk_pack into memory that held something else.
  private func pack(
    _ weight: Tensor, transposed: Bool, beside: Tensor?, _ depth: Int, _ width: Int
  ) -> [UInt16] {
    var packed = [UInt16](repeating: 0xABCD, count: lk_packed_count(depth, width))
    packed.withUnsafeMutableBufferPointer { out in
      var packing = lk_packing()
      packing.type = weight.dtype.kernelType
      packing.weight = UnsafeRawPointer(weight.pointer)
      packing.rows = weight.shape[0]
      packing.columns = weight.shape[1]
      packing.transpose = transposed ? 1 : 0
      packing.beside = beside.map {
        UnsafePointer($0.pointer.assumingMemoryBound(to: UInt16.self))
      }
      packing.beside_columns = beside?.shape[1] ?? 0
      packing.packed = out.baseAddress
      withExtendedLifetime((weight, beside)) { lk_pack(&packing) }
    }
    return packed
  }

  /// The elements as bf16, by lk_convert.
  private func halves(_ tensor: Tensor) -> [UInt16] {
    var result = [UInt16](repeating: 0, count: tensor.count)
    withExtendedLifetime(tensor) {
      lk_convert(tensor.dtype.kernelType, tensor.pointer, LK_BF16, &result, tensor.count)
    }
    return result
  }

  /// More than one block of rows and of words, neither full at the end: log-probabilities, loss and
  /// gradient as those of whole logits. Sums of 4,133 terms in float32 in another order.
  @Test func headInPartsIsTheWholeHead() {
    let (rows, width, words) = (headRowBlock + 3, 33, headWordBlock + 37)
    var random = Random(seed: 11)
    let hidden = Parameter(random.normal([rows, width]))
    let head = random.normal([words, width])
    let targets = (0..<rows).map { _ in Int32(random.index(below: words)) }
    var whole: [Float] = []
    let (loss, gradients) = valueAndGradient(of: [hidden]) {
      let zeros = Tensor.zeros([rows, words])
      let logits = linear(.plain(hidden.tensor), [LinearOperand(weight: head)], residual: zeros)[0]
      let result = logitCrossEntropy(logits, targets: targets, scale: 0.25)
      whole = result.logProbabilities
      return result.loss
    }
    var parts: [Float] = []
    let (lossOfParts, gradientsOfParts) = valueAndGradient(of: [hidden]) {
      let result = headCrossEntropy(hidden.tensor, head: head, targets: targets, scale: 0.25)
      parts = result.logProbabilities
      return result.loss
    }
    expectClose(actual: parts, expected: whole, atol: 1e-5, rtol: 1e-5, name: "log p")
    expectClose(
      actual: [lossOfParts.item], expected: [loss.item], atol: 0, rtol: 1e-5, name: "loss")
    expectClose(
      actual: gradientsOfParts[0].elements, expected: gradients[0].elements, atol: 1e-5, rtol: 1e-4,
      name: "dhidden")
    let evaluated = headCrossEntropy(hidden.value, head: head, targets: targets, scale: 0.25)
    #expect(evaluated.logProbabilities == parts)
  }
}
