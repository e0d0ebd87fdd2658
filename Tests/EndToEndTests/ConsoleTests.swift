// What people see on a narrow terminal, and what a file gets.

import Foundation
import LoRATestSupport
import Testing

@Suite(.serialized) struct ConsoleTests {
  private let folder: TemporaryFolder
  private let model: String

  init() throws {
    folder = try TemporaryFolder()
    model = Fixture.path("folder/tied-f32")
    let lines = (1...24).map { #"{"prompt": "say \#($0)", "completion": " \#($0)!"}"# }
    try folder.write(Array(lines.joined(separator: "\n").utf8), to: "r.jsonl")
    try folder.write(Array(#"{"prompt": "a"}"#.utf8), to: "bad.jsonl")
  }

  /// Runs a command in the folder, on a terminal or with its streams in files.
  private func lines(_ arguments: [String], width: UInt16?) throws -> [String] {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: LoraProcess.path)
    process.arguments = arguments
    process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
    process.standardInput = FileHandle.nullDevice
    let text: String
    if let width {
      let terminal = try #require(Terminal(width: width))
      process.standardOutput = terminal.handle
      process.standardError = terminal.handle
      try process.run()
      process.waitUntilExit()
      text = try terminal.text()
    } else {
      let path = try folder.write([], to: "both")
      let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
      process.standardOutput = handle
      process.standardError = handle
      try process.run()
      process.waitUntilExit()
      text = try String(contentsOfFile: path, encoding: .utf8)
    }
    // A line that redraws itself is many.
    return text.replacingOccurrences(of: "\r\u{1B}[K", with: "\n").split(separator: "\n")
      .map(String.init)
  }

  /// Whether a line fits, or is one word that a terminal has to break.
  private func fits(_ line: String, _ width: Int) -> Bool {
    line.count <= width || !line.drop { $0 == " " }.contains(" ")
  }

  private func words(_ lines: [String]) -> [Substring] {
    lines.flatMap { $0.split(separator: " ") }
  }

  /// Errors: what, where and what to do, no line wider than the terminal; a file gets the same words
  /// in lines that are not broken.
  @Test(arguments: [
    ["eval", "--data", "bad.jsonl"], ["check", "--data", "bad.jsonl"],
    ["check", "--data", "r.jsonl", "--rank", "0"],
    ["check", "--data", "r.jsonl", "--target-modules", "none"],
  ])
  func errorsFit(arguments: [String]) throws {
    let all = arguments + ["--model", model]
    let (whole, narrow) = (try lines(all, width: nil), try lines(all, width: 40))
    #expect(words(narrow) == words(whole))
    #expect(whole.contains { !fits($0, 40) } && whole.contains { $0.hasPrefix("hint: ") })
    for line in narrow { #expect(fits(line, 40), "\(line)") }
  }

  /// Summaries and the live line.
  @Test(arguments: [["check"], ["eval"], ["train", "--output", "out"]], [40, 80] as [UInt16])
  func summariesFit(arguments: [String], width: UInt16) throws {
    var all = arguments + ["--model", model, "--data", "r.jsonl"]
    if arguments[0] != "eval" { all += ["--rank", "2", "--batch-size", "2"] }
    let narrow = try lines(all + (arguments[0] == "check" ? ["--samples", "0"] : []), width: width)
    for line in narrow where !line.hasPrefix("<|") {
      #expect(fits(line, Int(width)), "\(line)")
    }
    #expect(words(narrow).contains(arguments[0] == "eval" ? "perplexity" : "trainable"))
    guard arguments[0] == "train" else { return }
    let live = narrow.filter { $0.contains("tok/s") && $0.contains("ETA") }
    #expect(live.count >= 11 && live.allSatisfy { $0.contains("loss ") })
    #expect(live.contains { $0.hasPrefix("[#") } == (width == 80))
  }

  @Test func aFileGetsWholeLines() throws {
    let arguments = ["check", "--model", model, "--data", "r.jsonl", "--samples", "0"]
    let text = try lines(arguments, width: nil)
    #expect(text.contains { $0.hasPrefix("memory: ") && $0.count > 80 })
    #expect(!text.contains { $0.hasPrefix(" ") || $0.contains("\u{1B}") })
  }
}
