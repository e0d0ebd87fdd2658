// Times, and what the programs that compare them read.

import Foundation
import LoRATensor

/// The time of one call.
func seconds(_ body: () -> Void) -> Double {
  let start = ContinuousClock.now
  body()
  return start.duration(to: .now).inSeconds
}

/// There and back: what PyTorch calls `y.backward(dy)`, for several results.
func forwardAndBackward(_ parameters: [Parameter], upstream: [Tensor], _ body: () -> [Tensor]) {
  _ = valueAndGradient(of: parameters) {
    let results = body()
    return Tape.record(Tensor(0), inputs: results) { _, gradients in
      for (y, dy) in zip(results, upstream) { gradients.add(dy, to: y) }
    }
  }
}

/// Prints a result as one line of JSON, keys in snake_case.
func printJSON(_ result: some Encodable) throws {
  let encoder = JSONEncoder()
  encoder.keyEncodingStrategy = .convertToSnakeCase
  encoder.outputFormatting = .sortedKeys
  print(String(decoding: try encoder.encode(result), as: UTF8.self))
}

extension Duration {
  var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

extension [Double] {
  var median: Double {
    let sorted = sorted()
    guard !sorted.isEmpty else { return .nan }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }
}
