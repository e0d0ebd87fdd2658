// Control characters of data, of generated text and of names never reach a terminal.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing

@Suite(.serialized) struct ControlCharacterTests {
  private static let model = Fixture.path("folder/tied-f32")
  /// Clears a screen, rings, as one C1 character (CSI), turns the direction of writing round.
  private static let hostile = "\u{1B}[2J\u{7}\u{9B}m\u{202E}\u{7F}\rx"
  private static let shown = #"\u001B[2J\u0007\u009Bm\u202E\u007F\u000Dx"#

  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func file(_ rows: [JSONValue], _ name: String = "rows.jsonl") throws -> String {
    let lines = rows.map { $0.serialized(.compact) }
    return try folder.write(Array(lines.joined(separator: "\n").utf8), to: name)
  }

  /// What a terminal gets of both streams.
  private func onTerminal(_ arguments: [String]) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: LoraProcess.path)
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    let terminal = try #require(Terminal(width: 2000))
    process.standardOutput = terminal.handle
    process.standardError = terminal.handle
    try process.run()
    process.waitUntilExit()
    return try terminal.text()
  }

  /// No control character but the line break, the tab and what the command itself writes: the end of
  /// a line that is drawn anew, colours.
  private func expectClean(
    _ text: String, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let ours = text.replacing(#/\r\u{1B}\[K|\u{1B}\[[0-9;]*m/#, with: "")
    let left = ours.unicodeScalars.filter {
      ($0.properties.generalCategory == .control && $0 != "\n" && $0 != "\t")
        || (0x202A...0x202E).contains($0.value) || (0x2066...0x2069).contains($0.value)
    }
    #expect(left.isEmpty, "\(left.map(\.value))", sourceLocation: sourceLocation)
  }

  /// Rows as `check` and `train` show them, and answers of `eval` and `generate` by a model that has
  /// learned to write control characters.
  @Test func rowsAndAnswers() throws {
    let answer = Self.hostile
    let rows = try file(
      (1...4).map {
        .object(["prompt": .string("say \($0) \(answer)"), "completion": .string(" \(answer)")])
      })
    let adapter = folder.file("out")
    let run = ["--model", Self.model, "--data", rows, "--batch-size", "4", "--rank", "8"]
    let trained = try onTerminal(
      [
        "train", "--output", adapter, "--max-steps", "60", "--learning-rate", "3e-2",
        "--modules-to-save", "norm,lm_head",
      ] + run)
    expectClean(trained)
    #expect(trained.contains("say 1 " + Self.shown))
    let checked = try onTerminal(["check"] + run)
    expectClean(checked)
    #expect(checked.contains("say 1 " + Self.shown))

    let asked = ["--model", Self.model, "--adapter", adapter]
    let samples = try onTerminal(
      ["eval", "--data", rows, "--generate", "--samples", "4"] + asked)
    expectClean(samples)
    // On one line: the carriage return is one of its breaks.
    let line = Self.shown.replacing(#"\u000D"#, with: " ⏎ ")
    #expect(samples.contains("asked    say 1 " + line), "\(samples)")
    let prompt =
      ["generate", "--raw", "--max-tokens", "30", "--prompt", "say 1 \(answer)"]
      + asked
    let generated = try onTerminal(prompt)
    expectClean(generated)
    #expect(generated == " " + Self.shown + "\n")
    // JSON on a terminal stays JSON of the same text.
    let json = try onTerminal(prompt + ["--json"])
    expectClean(json)
    let object = try JSONValue(parsing: json).objectValue
    #expect(object?["text"] == .string(" " + answer))
    // A pipe gets the bytes.
    #expect(try LoraProcess.run(prompt).output == " " + answer + "\n")
  }

  /// Errors quote keys, roles and names of files; the error stream is clean wherever it goes.
  @Test func errors() throws {
    let path = folder.file("name" + Self.hostile)
    let role = try file([
      .object(["messages": .array([.object(["role": .string(Self.hostile)])])])
    ])
    let keys = try file([.object([Self.hostile: 1])], "keys.jsonl")
    let yaml = try folder.write(Array("\"\\e[2Jkey\": 1".utf8), to: "run.yaml")
    let cases = [
      (["eval", "--data", path, "--model", Self.model], "name" + Self.shown),
      (["eval", "--data", role, "--model", Self.model], Self.shown),
      (["eval", "--data", keys, "--model", Self.model], Self.shown),
      (["train", "--config", yaml], #"the key \u001B[2Jkey is unknown"#),
      (["inspect", path], "name" + Self.shown),
      (["generate", "--model", path, "--prompt", "x"], "name" + Self.shown),
      (
        ["score", "--model", "m", "--data", "d", "--bad" + Self.hostile], "--bad" + Self.shown
      ),
    ]
    for (arguments, part) in cases {
      let result = try LoraProcess.run(arguments)
      #expect(result.exitCode != 0)
      expectClean(result.errors)
      #expect(result.errors.contains(part), "\(result.errors)")
      let text = try onTerminal(arguments)
      expectClean(text)
      #expect(text.contains(part))
    }
  }
}
