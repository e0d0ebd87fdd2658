// Times, and what the programs that compare them read.

import Foundation
import LoRATensor

/// The median time of `rounds` calls, after three that are not counted.
func medianSeconds(rounds: Int, _ body: () -> Void) -> Double {
  for _ in 0..<3 { body() }
  return (0..<rounds).map { _ in seconds(body) }.median
}

/// The time of one call.
func seconds(_ body: () -> Void) -> Double {
  let start = ContinuousClock.now
  body()
  return start.duration(to: .now).inSeconds
}

/// One way there and back: what PyTorch calls `y.backward(dy)`.
func forwardAndBackward(_ parameters: [Parameter], upstream dy: Tensor, _ body: () -> Tensor) {
  _ = valueAndGradient(of: parameters) {
    let y = body()
    return Tape.record(Tensor(0), inputs: [y]) { _, gradients in gradients.add(dy, to: y) }
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
