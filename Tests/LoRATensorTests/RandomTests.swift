// Random numbers: Philox against its published answers, and what is drawn from it place by place.

import CLoRAKernels
import Foundation
import LoRAJSON
import LoRATensor
import LoRATestSupport
import Testing

struct RandomTests {
  private static func philox(_ counter: [UInt32], seed: UInt64) -> [UInt32] {
    var words = counter
    lk_philox(&words, UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
    return words
  }

  @Test func publishedAnswers() throws {
    let file = try JSONValue(parsing: Fixture.text("ops/philox.json"))
    let vectors = try #require(file.objectValue?["vectors"]?.arrayValue)
    #expect(vectors.count >= 9)
    for vector in vectors {
      func words(_ key: String) throws -> [UInt32] {
        try #require(vector.objectValue?[key]?.arrayValue).map {
          UInt32(try #require($0.numberValue))
        }
      }
      let key = try words("key")
      #expect(
        Self.philox(try words("counter"), seed: UInt64(key[1]) << 32 | UInt64(key[0]))
          == (try words("output")), "\(vector)")
    }
  }

  private static let seed: UInt64 = 0x1234_5678_9ABC_DEF0

  /// Element (row, column) is dropped where word column%4 of the counter (column/4, row key, stream)
  /// lies below p·2³²: for widths around the 32 that are drawn at once, and keys of 64 bits.
  @Test(arguments: [1, 3, 4, 31, 32, 33, 63, 64, 65, 130], [DType.float32, .bfloat16])
  func aMaskIsAFunctionOfThePlace(width: Int, type: DType) {
    let keys: [UInt64] = [7, 0, 0xFEDC_BA98_7654_3210]
    let mask = DropoutMask(probability: 0.375, seed: Self.seed, stream: 9, rowKeys: keys)
    var random = Random(seed: 3)
    let x = random.normal([keys.count, width]).converted(to: type)
    let y = dropout(x, mask).elements
    let values = x.elements
    for (row, key) in keys.enumerated() {
      for column in 0..<width {
        let drawn = Self.philox(
          [
            UInt32(column / 4), UInt32(truncatingIfNeeded: key),
            UInt32(truncatingIfNeeded: key >> 32),
            9,
          ], seed: Self.seed)[column % 4]
        // 1/(1 - 0.375), in float32 as the kernel has it.
        let kept = Tensor(values[row * width + column] * (1 / 0.625)).converted(to: type).item
        #expect(
          y[row * width + column] == (drawn < 0x6000_0000 ? 0 : kept),
          "row \(row), column \(column)")
      }
    }
  }

  /// Numbers of a tensor come from counter place/4, on any number of threads and at every length.
  @Test(arguments: [1, 2, 5, 31, 32, 33, 67, 100_003]) func numbersByPlace(count: Int) {
    var random = Random(seed: Self.seed)
    _ = random.uniform([1])  // streams are counted: the second tensor has stream 1
    let uniform = random.uniform([count], low: -1, high: 3).elements
    let normal = random.normal([count], mean: 2, deviation: 0.5).elements
    for place in Set([0, 1, 2, 3, 4, 30, 31, 32, 63, 64, 32_767, 32_768, 99_999, count - 1])
    where place < count {
      func words(_ stream: UInt32) -> [Double] {
        Self.philox([UInt32(place / 4), 0, stream, 0], seed: Self.seed).map { Double($0 >> 8) }
      }
      let expected = -1 + 4 * words(1)[place % 4] * 0x1p-24
      #expect(abs(Double(uniform[place]) - expected) < 1e-6, "place \(place)")
      // Box–Muller: a pair of words is a radius and an angle.
      let pair = place % 4 / 2 * 2
      let radius = (-2 * log((words(2)[pair] + 1) * 0x1p-24)).squareRoot()
      let angle = words(2)[pair + 1] * 0x1p-24 * 2 * Double.pi
      let standard = radius * (place % 2 == 0 ? cos(angle) : sin(angle))
      #expect(abs(Double(normal[place]) - (2 + 0.5 * standard)) < 3e-6, "place \(place)")
    }
  }
}
