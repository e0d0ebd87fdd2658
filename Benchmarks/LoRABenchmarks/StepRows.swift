// The rows that steps are timed on: random tokens, or those of a file that another program reads too.

import ArgumentParser
import Foundation
import LoRATensor
import LoRATraining

struct StepRows: ParsableArguments {
  @Option(help: "Rows of a step.") var rows = 4
  @Option(help: "Tokens of a row.") var length = 512
  @Option(help: "The share of a row's tokens, at its end, that carries loss.") var supervised = 1.0
  @Option(help: "Rows differ in length by up to this share.") var spread = 0.0
  @Option(help: "Instead of random rows: a file of lines {\"tokens\": [ids], \"mask\": [0 or 1]}.")
  var data: String?

  private struct Line: Decodable {
    let tokens: [Int32]
    let mask: [Int]
  }

  /// The rows of all steps; step i takes the i-th `rows` of them, from the start again at the end.
  func examples(steps: Int, vocabulary: Int) throws -> [Example] {
    guard let data else { return random(count: rows * steps, vocabulary: vocabulary) }
    guard let text = try? String(contentsOfFile: data, encoding: .utf8) else {
      throw ValidationError("--data: \(data) cannot be read")
    }
    let examples = try text.split(separator: "\n").enumerated().map { index, line in
      let row = try JSONDecoder().decode(Line.self, from: Data(line.utf8))
      guard row.tokens.count == row.mask.count,
        row.tokens.allSatisfy({ $0 >= 0 && Int($0) < vocabulary })
      else {
        throw ValidationError(
          "\(data), line \(index + 1): needs as many mask as tokens, and ids below \(vocabulary)")
      }
      return Example(
        tokens: row.tokens, mask: row.mask.map { $0 != 0 }, line: index + 1, file: data)
    }
    guard examples.count >= rows else {
      throw ValidationError("\(data) has \(examples.count) rows; a step takes \(rows)")
    }
    return examples
  }

  private func random(count: Int, vocabulary: Int) -> [Example] {
    var random = Random(seed: 3)
    return (0..<count).map { row in
      let slack = Int(Double(length) * spread)
      let count = length - (slack > 0 ? random.index(below: slack) : 0)
      let first = count - Int(Double(count) * supervised)
      return Example(
        tokens: (0..<count).map { _ in Int32(random.index(below: vocabulary)) },
        mask: (0..<count).map { $0 >= max(first, 1) }, line: row + 1, file: "random")
    }
  }
}
