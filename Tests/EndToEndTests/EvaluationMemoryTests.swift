// The memory of evaluation, on a tiny model so that what grows would be seen.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing

struct EvaluationMemoryTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func rows(_ count: Int) throws -> String {
    let lines = (0..<count).map {
      #"{"prompt": "say \#($0 % 97)", "completion": " a lot of words \#($0 % 89)!"}"#
    }
    return try folder.write(Array(lines.joined(separator: "\n").utf8), to: "rows-\(count).jsonl")
  }

  /// The most memory that the command had, in MB, and what it printed.
  private func run(_ verb: String, _ arguments: [String]) throws -> (Double, LoraResult) {
    var peak = 0.0
    let result = try LoraProcess.run(
      [verb, "--model", Fixture.path("folder/tied-f32")] + arguments
    ) { process in
      while process.isRunning {
        let status =
          (try? String(
            contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)) ?? ""
        if let value = status.firstMatch(of: /VmHWM:\s+(\d+) kB/).flatMap({ Double($0.1) }) {
          peak = max(peak, value / 1024)
        }
        usleep(2_000)
      }
    }
    #expect(result.exitCode == 0, "\(result.errors)")
    return (peak, result)
  }

  /// Five times the rows: the same memory, once the file is longer than the pieces it is read in.
  @Test func theMemoryOfEvaluationDoesNotGrow() throws {
    func peak(_ count: Int) throws -> Double {
      let (peak, result) = try run("eval", ["--data", try rows(count), "--json"])
      let object = try #require(try JSONValue(parsing: result.output).objectValue)
      #expect(object["rows"]?.integerValue == count)
      return peak
    }
    let few = try peak(20_000)
    let many = try peak(100_000)
    // The tokens alone of the 80,000 rows more (28 each, 4 bytes) would take 9 MB, their text 5 MB.
    #expect(many < few + 5, "\(few) MB for 20,000 rows, \(many) MB for 100,000")
  }

  /// The same in a run: its evaluation rows are read anew each time, their places are all it keeps.
  @Test func theMemoryOfARunDoesNotGrowWithItsEvaluation() throws {
    func peak(_ count: Int) throws -> Double {
      let output = folder.file("out-\(count)")
      let (peak, result) = try run(
        "train",
        [
          "--data", try rows(8), "--eval-data", try rows(count), "--output", output, "--max-steps",
          "1", "--batch-size", "2",
        ])
      #expect(result.output.contains("perplexity"))
      return peak
    }
    let few = try peak(20_000)
    let many = try peak(100_000)
    // As examples, the 80,000 rows more would take 20 MB (tokens, mask and heads of arrays); their
    // places are 1.3 MB.
    #expect(many < few + 8, "\(few) MB for 20,000 rows, \(many) MB for 100,000")
  }
}
