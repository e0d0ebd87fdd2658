// Greedy answers: the same tokens in every process, with any number of threads, of a merged model.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing

@Suite(.serialized) struct GreedyTests {
  private let folder: TemporaryFolder
  private let base = Fixture.path("folder/tied-f32")

  init() throws { folder = try TemporaryFolder() }

  private func tokens(_ arguments: [String]) throws -> [Int] {
    let result = try LoraProcess.run(
      [
        "generate", "--prompt", "say 3", "--raw", "--max-tokens", "32", "--json", "--precision",
        "float32",
      ] + arguments)
    #expect(result.exitCode == 0, "\(result.errors)")
    let object = try #require(try JSONValue(parsing: result.output).objectValue)
    return try #require(object["tokens"]?.arrayValue).compactMap(\.integerValue)
  }

  @Test func theSameTokensWhereverTheyAreMade() throws {
    // Learned so well that no rounding decides a token.
    let rows = (1...8).map {
      #"{"prompt": "say \#($0)", "completion": " \#($0) \#($0 * 7) and \#(90 - $0), no more"}"#
    }
    let data = try folder.write(Array(rows.joined(separator: "\n").utf8), to: "rows.jsonl")
    let adapter = folder.file("adapter")
    let trained = try LoraProcess.run([
      "train", "--model", base, "--data", data, "--output", adapter, "--batch-size", "8",
      "--max-steps", "120", "--learning-rate", "2e-2", "--rank", "8", "--precision", "float32",
    ])
    #expect(trained.exitCode == 0, "\(trained.errors)")
    let first = try tokens(["--model", base, "--adapter", adapter, "--threads", "2"])
    #expect(first.count > 8)
    #expect(try first != tokens(["--model", base]))
    for threads in ["1", "2", "3"] {
      #expect(
        try tokens(["--model", base, "--adapter", adapter, "--threads", threads]) == first,
        "\(threads) threads")
    }
    let merged = try LoraProcess.run([
      "merge", "--model", base, "--adapter", adapter, "--output", folder.file("merged"),
    ])
    #expect(merged.exitCode == 0, "\(merged.errors)")
    #expect(try tokens(["--model", folder.file("merged")]) == first)
  }
}
