// What the command sets before its threads begin, seen from outside.

import Foundation
import LoRATestSupport
import Testing

struct ThreadWaitingTests {
  /// The environment of a run under way, by the names that matter.
  private func environment(after shell: String) throws -> [String] {
    let folder = try TemporaryFolder()
    let rows = try folder.write(
      Array(#"{"prompt": "say it", "completion": " it!"}"#.utf8), to: "rows.jsonl")
    var seen: [String] = []
    let result = try LoraProcess.run(
      [
        "train", "--model", Fixture.path("folder/tied-f32"), "--data", rows, "--output",
        folder.file("out"), "--max-steps", "200", "--rank", "2",
      ], limits: shell
    ) { process in
      // Until the command runs instead of the shell that starts it, and not for ever.
      let path = "/proc/\(process.processIdentifier)/"
      for _ in 0..<10_000 where process.isRunning {
        let arguments = try? String(contentsOfFile: path + "cmdline", encoding: .utf8)
        let text = try? String(contentsOfFile: path + "environ", encoding: .utf8)
        if arguments?.hasPrefix(LoraProcess.path) == true, let text, !text.isEmpty {
          seen = text.split(separator: "\0").map(String.init).filter {
            $0.hasPrefix("GOMP_SPINCOUNT") || $0.hasPrefix("OMP_WAIT_POLICY")
          }
          if !seen.isEmpty { break }
        }
        usleep(1000)
      }
    }
    #expect(result.exitCode == 0, "\(result.errors)")
    return seen
  }

  @Test func threadsSpinForAShortTime() throws {
    #expect(
      try environment(after: "unset GOMP_SPINCOUNT OMP_WAIT_POLICY") == ["GOMP_SPINCOUNT=5000"])
  }

  @Test(arguments: ["OMP_WAIT_POLICY=active", "GOMP_SPINCOUNT=7"])
  func whatTheUserHasSetStays(setting: String) throws {
    #expect(
      try environment(after: "unset GOMP_SPINCOUNT OMP_WAIT_POLICY; export \(setting)")
        == [setting])
  }
}
